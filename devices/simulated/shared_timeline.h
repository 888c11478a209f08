// SharedTimeline: a simulated device that several processes use at once, for measuring an arbiter
// without hardware. It is one in-order engine: a launch starts when the engine is free and ends its
// length later. It keeps its own books of who kept it busy in which second, so that a share is
// measured by the device and not by the arbiter under test.
//
// It lives in memory that the processes share (anonymous shared mapping, inherited by fork), has no
// lock and survives the death of any user. Threads: all members are thread-safe.
#ifndef HET_DEVICES_SIMULATED_SHARED_TIMELINE_H_
#define HET_DEVICES_SIMULATED_SHARED_TIMELINE_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace het::simulated {

class SharedTimeline {
 public:
  static constexpr uint32_t kClients = 64;
  static constexpr uint32_t kWindows = 1024;

  // Zeroed and shared with every child forked later. Windows of `window_ns` count from `start_ns`
  // (CLOCK_MONOTONIC); work before it is executed and not counted.
  static absl::StatusOr<SharedTimeline*> Create(int64_t start_ns, int64_t window_ns);
  static void Destroy(SharedTimeline* timeline);

  struct Run {
    int64_t start_ns;
    int64_t end_ns;
  };
  // Queues `length_ns` of work of `client`: when it runs. The caller's completion is at end_ns.
  Run Submit(uint32_t client, int64_t now_ns, int64_t length_ns);

  // Device time of `client` in window `window`, nanoseconds.
  int64_t Busy(uint32_t client, uint32_t window) const;
  int64_t free_at_ns() const { return free_at_.load(std::memory_order_relaxed); }

 private:
  SharedTimeline(int64_t start_ns, int64_t window_ns)
      : start_ns_(start_ns), window_ns_(window_ns) {}

  const int64_t start_ns_;
  const int64_t window_ns_;
  // The engine. relaxed everywhere: numbers that stand for themselves, read when all is over.
  alignas(64) std::atomic<int64_t> free_at_{0};
  struct alignas(64) Client {
    std::atomic<int64_t> busy[kWindows];
  } clients_[kClients] = {};
};

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_SHARED_TIMELINE_H_
