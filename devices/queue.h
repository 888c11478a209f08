// Queue: an in-order stream of asynchronous work on one device. Every operation returns as soon as
// it is queued; it starts when the operations before it on this queue and its `waits` are done, and
// then signals `signal`.
//
// - A queue accepts only waits on timelines of its own driver, and only on values that are reached
// or whose signalling
//   operation was submitted before. Foreign waits are resolved by the executor on completion.
// - An operation that fails, or that waited on a failed timeline, is not run; the failure goes to
// its signal, or, when it
//   has none, to the next signal on this queue. After a failure everything queued later fails too
//   (the queue is broken).
// - Host memory handed to Write and Read stays valid until the operation completed. Buffers are
// kept alive by the queue. Threads: one thread at a time submits to a queue; different queues are
// independent. busy_nanos() is thread-safe. Errors: InvalidArgument (range, wrong device),
// FailedPrecondition (foreign wait), Unimplemented, DataLoss (device lost).
//
// Between BeginRecording and EndRecording operations are noted and not run (recording.h).
#ifndef HET_DEVICES_QUEUE_H_
#define HET_DEVICES_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "devices/buffer.h"
#include "devices/program.h"
#include "devices/timeline.h"

namespace het {

class Device;
class Recording;
struct Command;

enum class QueueKind { kCompute, kTransfer };

struct Sync {
  absl::Span<const Fence> waits = {};  // all of them
  Fence signal = {};                   // null timeline: none
};

struct BufferArg {
  Buffer* buffer = nullptr;
  uint64_t offset = 0;  // bytes
};

// What one launch costs, for accounting and simulated devices; zeros when the caller does not know.
struct WorkEstimate {
  double flops = 0;
  double bytes = 0;
  // Rows of the batch (tokens of a prompt, sequences of a decode step): simulated profiles are
  // tables over it.
  double batch = 0;
};

struct Launch {
  const Kernel* kernel = nullptr;
  uint32_t groups[3] = {1, 1, 1};  // work groups
  uint32_t group_size[3] = {1, 1,
                            1};  // work items in a group; native kernels get it as information
  absl::Span<const BufferArg> buffers;
  absl::Span<const std::byte> params;  // copied at submission
  WorkEstimate work;
};

// y[r][o] = sum over i of x[r][i] * w[o][i], plus the old y[r][o] with `accumulate`: rows times
// n_in activations by a matrix of n_out rows of n_in weights, all row-major and dense, but that
// rows of y may be further apart. y is f32 and sums are f32. Offsets are multiples of 16 bytes.
enum class MatrixType : uint32_t { kF32, kF16, kBF16 };  // of w and x
struct MatrixProduct {
  MatrixType type = MatrixType::kF32;
  uint32_t rows = 0, n_in = 0, n_out = 0;
  bool accumulate = false;
  uint32_t y_stride = 0;  // elements from one row of y to the next; 0: n_out
  BufferArg w, x, y;

  uint32_t stride() const { return y_stride == 0 ? n_out : y_stride; }
};
constexpr uint64_t MatrixElementBytes(MatrixType type) { return type == MatrixType::kF32 ? 4 : 2; }

class Queue {
 public:
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  // Waits for what is queued.
  virtual ~Queue();

  Device& device() const { return device_; }
  QueueKind kind() const { return kind_; }

  absl::Status Write(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                     const Sync& sync = {});
  absl::Status Read(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                    const Sync& sync = {});
  // Both buffers on this queue's device, or one of them on a device that it Reaches.
  absl::Status Copy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                    uint64_t bytes, const Sync& sync = {});
  absl::Status Fill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                    const Sync& sync = {});
  absl::Status Submit(const Launch& launch, const Sync& sync = {});
  // A launch of the vendor's matrix library. Unimplemented without kMultipliesMatrices. The library
  // may keep a workspace of its own per queue (tens of MiB), which is nobody's buffer.
  absl::Status Multiply(const MatrixProduct& product, const Sync& sync = {});
  // No work of its own: orders and signals.
  absl::Status Barrier(const Sync& sync);
  // Hands everything queued to the device. Work without a Flush (or a later signal) may stay
  // unstarted.
  absl::Status Flush();

  // Until EndRecording, launches, copies within the device and fills are noted and not run; they
  // take no waits and no signal. Anything else is refused (InvalidArgument), and EndRecording then
  // fails with that. Programs live until EndRecording at least. Unimplemented without kReplaysWork.
  absl::Status BeginRecording();
  absl::StatusOr<Ref<Recording>> EndRecording();
  // What EndRecording does with what was noted: nothing of the queue's own is touched. The commands
  // are another queue's of this device, or this one's.
  absl::StatusOr<Ref<Recording>> RecordCommands(absl::Span<const Command> commands);
  // All of it, in its order, as one operation of this queue.
  absl::Status Replay(Recording& recording, const Sync& sync = {});

  // Device-busy time of completed work, nanoseconds since the queue was made: never from submission
  // counts.
  virtual int64_t busy_nanos() const = 0;
  // The vendor's handle (cl_command_queue, CUstream, ...); null where there is none.
  virtual void* native_handle() const { return nullptr; }

 protected:
  Queue(Device& device, QueueKind kind);

 private:
  struct Notes;  // of a recording under way

  // InvalidArgument, which is the recording's failure too.
  absl::Status Spoil(absl::string_view what);
  absl::Status Note(Command command, const Sync& sync);
  absl::Status CheckSync(const Sync& sync) const;
  absl::Status CheckRange(const Buffer& buffer, uint64_t offset, uint64_t bytes,
                          absl::string_view what, bool peers = false) const;

  // Arguments are validated. `bytes` may be 0: then only the sync counts.
  virtual absl::Status DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                               const Sync& sync) = 0;
  virtual absl::Status DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                              const Sync& sync) = 0;
  virtual absl::Status DoCopy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                              uint64_t bytes, const Sync& sync) = 0;
  virtual absl::Status DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                              const Sync& sync) = 0;
  virtual absl::Status DoSubmit(const Launch& launch, const Sync& sync) = 0;
  virtual absl::Status DoMultiply(const MatrixProduct& product, const Sync& sync);
  // Not empty.
  virtual absl::StatusOr<Ref<Recording>> DoRecord(absl::Span<const Command> commands);
  virtual absl::Status DoReplay(Recording& recording, const Sync& sync);
  virtual absl::Status DoBarrier(const Sync& sync) = 0;
  virtual absl::Status DoFlush() = 0;

  Device& device_;
  const QueueKind kind_;
  std::unique_ptr<Notes> notes_;  // null: operations run
};

}  // namespace het

#endif  // HET_DEVICES_QUEUE_H_
