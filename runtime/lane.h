// Lane: one queue of a device with the timeline that says when what was put there is done. Stages
// compute on one lane and transfer on others, so that both overlap.
//
// A queue that failed stays broken, so a lane whose work failed takes a new queue for the work
// after it (a lost device gives none). Ownership: keeps its lease alive; the destructor waits for
// what was put there. Threads: Submit by one thread at a time; the rest is thread-safe. Failures:
// through `done` only.
#ifndef HET_RUNTIME_LANE_H_
#define HET_RUNTIME_LANE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "runtime/lease.h"

namespace het::runtime {

class Lane {
 public:
  // Puts work on the queue; the last operation signals the fence.
  using Enqueue = absl::FunctionRef<absl::Status(QueueHandle& queue, const Fence& signal)>;
  // Called once: here when nothing could be put, else on a completing thread.
  using Done = absl::AnyInvocable<void(absl::Status)>;

  static absl::StatusOr<std::unique_ptr<Lane>> Create(Ref<LeaseHandle> lease, QueueKind kind);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  void Submit(Enqueue enqueue, Done done);

  // Waits for what was put here, as a queue's destructor does (which fails what a hung device will
  // never end, where the driver can); later work fails with Cancelled.
  void Close();
  // Blocks until what was put so far is done (a virtual clock makes progress here), at most
  // `timeout`. False when there was nothing. Only from the edge of the API.
  bool Drive(absl::Duration timeout);
  // Device-busy time of everything that completed here.
  int64_t busy_nanos() const;
  Device& device() const { return device_; }
  LeaseHandle& lease() const { return *lease_; }

 private:
  struct Generation {
    Ref<QueueHandle> queue;
    Ref<Timeline> timeline;
    std::atomic<uint64_t> submitted{0};
    std::atomic<uint64_t> outstanding{0};
    std::atomic<bool> broken{false};
  };

  Lane(Ref<LeaseHandle> lease, Device& device, QueueKind kind)
      : lease_(std::move(lease)), device_(device), kind_(kind) {}
  absl::StatusOr<std::shared_ptr<Generation>> MakeGeneration();
  absl::Status Renew();
  // Null and a status when nothing was put.
  absl::StatusOr<std::shared_ptr<Generation>> Put(Enqueue enqueue, uint64_t* value);
  std::shared_ptr<Generation> current() const;

  const Ref<LeaseHandle> lease_;
  Device& device_;
  const QueueKind kind_;

  absl::Mutex submit_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // held while something is put
  bool closed_ ABSL_GUARDED_BY(submit_mutex_) = false;

  mutable absl::Mutex mutex_;
  std::shared_ptr<Generation> current_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Generation>> retired_ ABSL_GUARDED_BY(mutex_);
  int64_t busy_before_ ABSL_GUARDED_BY(mutex_) = 0;  // of generations that are gone
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_LANE_H_
