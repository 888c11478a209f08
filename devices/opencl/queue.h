// ClQueue: an in-order cl_command_queue as a het Queue.
//
// A launch without waits and without a signal costs clSetKernelArg for what changed and one
// clEnqueue: no event, no allocation. A wait for work that is queued in the same context becomes an
// event wait list. Any other wait (another platform's queue, the host) holds the operation and all
// behind it back in the queue's backlog, until the timeline calls. User events are not used for
// that: PoCL 3.1 aborts the process when one of them fails. A signal takes the command's event,
// asks for a callback and flushes.
//
// busy_nanos(): the device's own timestamps, from the start of the first command after the last
// signal to the end of the command that signals (or of the last one before a wait), never counted
// twice. Pauses inside such a stretch, where the host was slower than the device, count as busy.
// Devices whose timestamps mean nothing (CL_DEVICE_PROFILING_TIMER_RESOLUTION 0: rusticl) are timed
// by the host clock at the completion callback, which adds the callback's delay.
//
// Threads, failures: as Queue. It must not be destroyed on a timeline's callback.
#ifndef HET_DEVICES_OPENCL_QUEUE_H_
#define HET_DEVICES_OPENCL_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "devices/opencl/completions.h"
#include "devices/opencl/device.h"
#include "devices/opencl/program.h"
#include "devices/queue.h"

namespace het::opencl {

class ClQueue final : public Queue {
 public:
  // Takes over `queue`. `profiles`: it was made with CL_QUEUE_PROFILING_ENABLE.
  ClQueue(ClDevice& device, QueueKind kind, cl_command_queue queue, bool profiles);
  ~ClQueue() override;

  int64_t busy_nanos() const override { return completions_->busy_nanos(); }
  void* native_handle() const override { return queue_; }

 private:
  // What is queued: (number of waits, waits or null, where the event goes or null).
  using Command = absl::FunctionRef<cl_int(cl_uint, const cl_event*, cl_event*)>;
  using Buffers = absl::InlinedVector<Buffer*, 2>;
  struct Deferred;
  // This queue's own copy of a kernel, and the arguments it has now.
  struct OwnKernel {
    cl_kernel kernel = nullptr;
    Ref<RefCounted> program;
    std::vector<uint64_t> buffers;  // serials
    std::vector<uint64_t> offsets;
    std::vector<std::byte> params;
  };
  // A wait for a command that is queued in this context.
  struct OpenWait {
    Fence fence;
    cl_event event = nullptr;  // retained
  };
  struct Issued {
    Ref<Record> record;
    absl::InlinedVector<OpenWait, 2> waits;
  };
  using IssuedList = absl::InlinedVector<Issued, 2>;

  absl::Status DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                       const Sync& sync) override;
  absl::Status DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                      const Sync& sync) override;
  absl::Status DoCopy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                      uint64_t bytes, const Sync& sync) override;
  absl::Status DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                      const Sync& sync) override;
  absl::Status DoSubmit(const Launch& launch, const Sync& sync) override;
  absl::Status DoBarrier(const Sync& sync) override;
  absl::Status DoFlush() override;

  // Issues `command` (any callable that can be copied), or defers it. `work`: not only a barrier.
  template <typename Callable>
  absl::Status Enqueue(const Sync& sync, absl::string_view what, bool work, const Buffers& uses,
                       Callable command);
  absl::Status EnqueueBarrier(const Sync& sync);
  absl::Status CheckLaunch(const Launch& launch, const ClKernel& kernel) const;

  // The backlog: operations whose waits the driver cannot take, and all behind them.
  bool MustDefer(const Sync& sync) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Ref<Deferred> Defer(const Sync& sync) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WatchWaits(const Ref<Deferred>& deferred) ABSL_LOCKS_EXCLUDED(mutex_);
  void WaitEnded(Deferred& deferred, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);

  // Hands a command to the driver now; what it issued is to be given to After without the lock.
  absl::Status Issue(const Sync& sync, absl::string_view what, bool work, Command command,
                     IssuedList& issued) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CloseStretch(IssuedList& issued) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `signal` will fail with refusal_, after what was issued before.
  void Refuse(const Fence& signal, IssuedList& issued) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status After(IssuedList& issued) ABSL_LOCKS_EXCLUDED(mutex_);
  void Keep(RefCounted& object) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<OwnKernel*> Own(const ClKernel& kernel) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SetArguments(OwnKernel& own, const Launch& launch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status IssueLaunch(const Launch& launch, const Sync& sync, IssuedList& issued)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ClDevice& device_;
  const Api& api_;
  const cl_command_queue queue_;
  const bool profiles_;
  const Ref<Completions> completions_;

  // Held while commands are handed to the driver: by the submitting thread, or by the one that
  // reached what the backlog waited for.
  absl::Mutex mutex_;
  Ref<Record> stretch_ ABSL_GUARDED_BY(mutex_);   // work since the last record
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);  // why nothing goes to the device any more
  absl::flat_hash_map<uint64_t, std::unique_ptr<OwnKernel>> kernels_
      ABSL_GUARDED_BY(mutex_);  // by ClKernel::serial()
  std::deque<Ref<Deferred>> backlog_ ABSL_GUARDED_BY(mutex_);
  int pumps_ ABSL_GUARDED_BY(mutex_) = 0;  // threads that work on the backlog
};

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_QUEUE_H_
