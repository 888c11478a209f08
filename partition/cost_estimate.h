// CostEstimate: what a launch will take, learned from what launches like it took. A moving average
// per key (a kernel and its grid, hashed by the caller) in a table of fixed size; a key that finds
// no room replaces another.
//
// Threads: thread-safe and wait-free; two threads that learn the same key at once may lose one
// sample. Times are nanoseconds of device time.
#ifndef HET_PARTITION_COST_ESTIMATE_H_
#define HET_PARTITION_COST_ESTIMATE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

namespace het {

class CostEstimate {
 public:
  // `unknown_ns` is the answer for a key never seen, until the average over all keys is known.
  explicit CostEstimate(uint64_t unknown_ns = 100'000) : overall_(unknown_ns) {}

  uint64_t Estimate(uint64_t key) const;
  // Nothing for a key never seen (or seen long ago).
  std::optional<uint64_t> Known(uint64_t key) const;
  void Learn(uint64_t key, uint64_t took_ns);

  // Mixes a kernel's identity and its number of work items into a key.
  static uint64_t Key(uint64_t kernel, uint64_t items);

 private:
  static constexpr uint32_t kEntries = 1024;
  static constexpr uint32_t kProbes = 4;
  struct Entry {
    std::atomic<uint64_t> key{0};
    std::atomic<uint64_t> ns{0};
  };

  std::array<Entry, kEntries> entries_;
  std::atomic<uint64_t> overall_;
};

}  // namespace het

#endif  // HET_PARTITION_COST_ESTIMATE_H_
