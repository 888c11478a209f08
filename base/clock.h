// Clock: where het reads time, so that tests and simulations bring their own. Nanoseconds since an
// arbitrary start.
#ifndef HET_BASE_CLOCK_H_
#define HET_BASE_CLOCK_H_

#include <atomic>
#include <cstdint>

namespace het {

class Clock {
 public:
  virtual ~Clock() = default;
  // Monotonic, does not count suspend (CLOCK_MONOTONIC). Thread-safe.
  virtual int64_t MonotonicNanos() const = 0;
  // Counts suspend too (CLOCK_BOOTTIME): leases expire by this one.
  virtual int64_t BoottimeNanos() const = 0;
  // Wall clock, Unix epoch. For people and reports only, never for a decision.
  virtual int64_t WallNanos() const = 0;

  static const Clock& Real();
};

// A clock that moves only when told. Thread-safe.
class ManualClock : public Clock {
 public:
  int64_t MonotonicNanos() const override { return now_.load(); }
  int64_t BoottimeNanos() const override { return now_.load(); }
  int64_t WallNanos() const override { return now_.load(); }
  void AdvanceNanos(int64_t nanos) { now_.fetch_add(nanos); }

 private:
  std::atomic<int64_t> now_{0};
};

}  // namespace het

#endif  // HET_BASE_CLOCK_H_
