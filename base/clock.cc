#include "base/clock.h"

#include <time.h>

namespace het {
namespace {

int64_t Read(clockid_t id) {
  timespec now;
  clock_gettime(id, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

class RealClock : public Clock {
 public:
  int64_t MonotonicNanos() const override { return Read(CLOCK_MONOTONIC); }
  int64_t BoottimeNanos() const override { return Read(CLOCK_BOOTTIME); }
  int64_t WallNanos() const override { return Read(CLOCK_REALTIME); }
};

}  // namespace

const Clock& Clock::Real() {
  static const RealClock clock;
  return clock;
}

}  // namespace het
