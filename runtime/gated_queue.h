// GatedQueue: a queue of a lease that shares its device in time. Operations are put on the device
// in batches, each with a pass of the gate: a batch ends with an operation that signals, with
// Flush, or when it is long. What it is not the lease's turn for is kept here, in order, and put on
// the device by the gate's thread; so is an operation that waits for something that is not reached
// yet, because it would hold the device while it does nothing.
//
// A decorator: the same contract as any Queue (devices/queue.h), but that a failure of a kept
// operation travels through its signal instead of the call. Ownership: owns the queue behind it;
// the gate lives as long. Threads: as any queue; the destructor waits until all is put and done, or
// fails what is kept when the lease has ended.
#ifndef HET_RUNTIME_GATED_QUEUE_H_
#define HET_RUNTIME_GATED_QUEUE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "devices/queue.h"
#include "runtime/gate.h"

namespace het::runtime {

class GatedQueue final : public Queue {
 public:
  static absl::StatusOr<std::unique_ptr<Queue>> Create(std::unique_ptr<Queue> behind,
                                                       Ref<Gate> gate);
  ~GatedQueue() override;

  int64_t busy_nanos() const override { return behind_->busy_nanos(); }
  void* native_handle() const override { return behind_->native_handle(); }

 private:
  using Put = absl::AnyInvocable<absl::Status(Queue& behind, const Sync& sync)>;
  struct Operation {
    Put put;
    absl::InlinedVector<Fence, 2> waits;
    Fence signal;
    bool flush = false;
    uint32_t commands = 1;  // that it is worth in a batch
  };

  GatedQueue(std::unique_ptr<Queue> behind, Ref<Gate> gate, Ref<Timeline> done);

  absl::Status DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                       const Sync& sync) override;
  absl::Status DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                      const Sync& sync) override;
  absl::Status DoCopy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                      uint64_t bytes, const Sync& sync) override;
  absl::Status DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                      const Sync& sync) override;
  absl::Status DoSubmit(const Launch& launch, const Sync& sync) override;
  absl::Status DoMultiply(const MatrixProduct& product, const Sync& sync) override;
  absl::StatusOr<Ref<Recording>> DoRecord(absl::Span<const Command> commands) override;
  absl::Status DoReplay(Recording& recording, const Sync& sync) override;
  absl::Status DoBarrier(const Sync& sync) override;
  absl::Status DoFlush() override;

  absl::Status Take(Operation operation);
  // Puts what can be put; asks for what is missing.
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status PutOne(Operation& operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False: a wait is not reached, and Advance comes again when it is.
  bool WaitsReached(Operation& operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasPass() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailKept(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Granted(absl::StatusOr<Gate::Pass> pass);
  void Reached();
  void Completed(const Gate::Pass& pass);
  // Runs what was put off because it may call back: without the lock.
  void RunPutOff() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::unique_ptr<Queue> behind_;
  const Ref<Gate> gate_;
  const Ref<Timeline> done_;  // a value per batch

  mutable absl::Mutex mutex_;
  std::deque<Operation> kept_ ABSL_GUARDED_BY(mutex_);
  std::optional<Gate::Pass> pass_ ABSL_GUARDED_BY(mutex_);  // of the batch that is open
  uint32_t batch_operations_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t batches_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t device_ns_ ABSL_GUARDED_BY(mutex_) = 0;   // of the queue behind, charged so far
  bool asked_ ABSL_GUARDED_BY(mutex_) = false;      // the gate will call Granted
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;    // a timeline will call Reached
  uint32_t callbacks_ ABSL_GUARDED_BY(mutex_) = 0;  // that are still to come: gate, waits, batches
  std::vector<absl::AnyInvocable<void()>> put_off_ ABSL_GUARDED_BY(mutex_);
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
  uint64_t estimate_ns_ ABSL_GUARDED_BY(mutex_);  // moving average of a batch
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_GATED_QUEUE_H_
