// Card: what the parts of one simulated device have in common: its engines, each of which does one
// operation at a time, first come first served. Slices of one card share its links to the host (one
// per direction) and, where they are the whole card, its compute engine.
//
// Threads: thread-safe. Times are nanoseconds of the driver's clock, virtual or real.
#ifndef HET_DEVICES_SIMULATED_CARD_H_
#define HET_DEVICES_SIMULATED_CARD_H_

#include <algorithm>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace het::simulated {

// A span of time on an engine.
struct Span {
  int64_t start = 0;
  int64_t end = 0;
};

class Engine {
 public:
  // The first time from `ready` on at which the engine is free for `nanos`: reserved.
  Span Reserve(int64_t ready, int64_t nanos) {
    absl::MutexLock lock(&mutex_);
    const int64_t start = std::max(ready, free_at_);
    free_at_ = start + nanos;
    return {start, free_at_};
  }
  // What was reserved took until `nanos`.
  void Extend(int64_t nanos) {
    absl::MutexLock lock(&mutex_);
    free_at_ = std::max(free_at_, nanos);
  }

 private:
  absl::Mutex mutex_;
  int64_t free_at_ ABSL_GUARDED_BY(mutex_) = 0;
};

struct Card {
  Engine compute;
  Engine to_device;
  Engine from_device;
};

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_CARD_H_
