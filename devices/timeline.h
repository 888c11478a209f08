// Timeline: a monotonic 64-bit fence with a failed state. Queues signal it when work completes; the
// host asks, is called back, or (only at the edge of the API) waits. A failed timeline stays
// failed: every later ask gets the failure, so that errors travel along the work they belong to.
//
// Threads: all members are thread-safe. Callbacks run on the thread that signals (a driver's
// completion thread, or the caller of OnReach when the value is already reached); they must be
// short and must not wait on a device. Ownership: reference-counted; whoever will signal or ask
// holds a Ref.
#ifndef HET_DEVICES_TIMELINE_H_
#define HET_DEVICES_TIMELINE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/ref.h"

namespace het {

class Driver;

class Timeline : public RefCounted {
 public:
  // OK when the value was reached, the failure otherwise.
  using Callback = absl::AnyInvocable<void(const absl::Status&)>;

  // `driver` is the one whose queues may wait on it; null: a host timeline, which no queue can wait
  // on unless reached.
  explicit Timeline(Driver* driver, uint64_t initial = 0) : driver_(driver), value_(initial) {}

  Driver* driver() const { return driver_; }
  // The largest value signalled so far. acquire: what was written before the signal is visible.
  uint64_t value() const { return value_.load(std::memory_order_acquire); }
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  // OK, or why the timeline failed.
  absl::Status status() const;

  // Raises the value and runs the callbacks it satisfies, in order of value. A value not above the
  // current one is ignored.
  void Signal(uint64_t value);
  // Fails every value that was not reached yet. The first failure stays.
  void Fail(absl::Status status);

  // Runs `callback` exactly once: when `value` is reached (OK) or the timeline fails (the failure).
  void OnReach(uint64_t value, Callback callback);

  // Blocks. DeadlineExceeded after `timeout`. Only for the edge of the API: no worker thread of het
  // calls it.
  absl::Status Wait(uint64_t value, absl::Duration timeout = absl::InfiniteDuration());

  // A new eventfd, owned by the caller, that becomes readable when `value` is reached or the
  // timeline fails.
  absl::StatusOr<int> EventFd(uint64_t value);

 private:
  // Called by Wait before it blocks, without locks: a device with a virtual clock makes progress
  // here.
  virtual void DoDrive(uint64_t value) { (void)value; }

  Driver* const driver_;
  std::atomic<uint64_t> value_;
  std::atomic<bool> failed_{false};

  mutable absl::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::multimap<uint64_t, Callback> callbacks_ ABSL_GUARDED_BY(mutex_);
};

// One point on a timeline. Holds no ownership beyond the Ref.
struct Fence {
  Ref<Timeline> timeline;
  uint64_t value = 0;
};

}  // namespace het

#endif  // HET_DEVICES_TIMELINE_H_
