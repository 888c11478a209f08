// VirtualClock: time that passes only when somebody drives it, event by event. All devices of one
// simulated driver in timing mode share one, so a run of hours takes seconds and comes out the same
// each time.
//
// Events run on the driving thread, one at a time, without locks held: they may add events, submit
// work and drive the clock themselves. Events at the same time run in the order they were added.
// Background events (a fault due at some time) do not keep the clock running: it is idle when only
// those are left.
//
// Threads: everything is thread-safe. One thread drives at a time; another that wants to waits
// until it may or has what it wants. Only a run driven by one thread is deterministic.
#ifndef HET_DEVICES_SIMULATED_VIRTUAL_CLOCK_H_
#define HET_DEVICES_SIMULATED_VIRTUAL_CLOCK_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"

namespace het::simulated {

class VirtualClock final : public Clock {
 public:
  using Event = absl::AnyInvocable<void()>;

  // Nanoseconds since the driver was made.
  int64_t NowNanos() const { return now_.load(std::memory_order_acquire); }
  // There is no other time here.
  int64_t MonotonicNanos() const override { return NowNanos(); }
  int64_t BoottimeNanos() const override { return NowNanos(); }
  int64_t WallNanos() const override { return NowNanos(); }

  // Runs `event` at `nanos`, or now when that is past.
  void At(int64_t nanos, Event event, bool background = false);

  // Drives until `done()` or until the clock is idle; whether it is done. `done` is asked under the
  // clock's lock: it must only read atomics.
  bool RunUntil(absl::FunctionRef<bool()> done);
  void RunUntilIdle();
  // Runs everything due by `nanos`, then it is `nanos` (if it is not later already).
  void AdvanceTo(int64_t nanos);

 private:
  struct Entry {
    Event event;
    bool background;
  };
  // Drives while `due(time of the next event)` and not `done()`.
  void Drive(absl::FunctionRef<bool()> done, absl::FunctionRef<bool(int64_t)> due)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits until this thread may drive, or `done()`; whether it drives, and must Leave.
  bool Enter(absl::FunctionRef<bool()> done) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Written by the driving thread under the lock. release/acquire: who sees the time sees what
  // happened before it.
  std::atomic<int64_t> now_{0};

  absl::Mutex mutex_;
  std::map<std::pair<int64_t, uint64_t>, Entry> events_ ABSL_GUARDED_BY(mutex_);
  uint64_t added_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t foreground_ ABSL_GUARDED_BY(mutex_) = 0;  // of events_
  std::thread::id driver_ ABSL_GUARDED_BY(mutex_);   // the thread that drives; none: default
};

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_VIRTUAL_CLOCK_H_
