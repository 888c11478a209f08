// The oracle of the planner's tests: looks at every plan of a small instance, and shares no code
// with the searches.
#ifndef HET_SCHEDULER_BRUTE_FORCE_TEST_UTIL_H_
#define HET_SCHEDULER_BRUTE_FORCE_TEST_UTIL_H_

#include <limits>
#include <vector>

#include "scheduler/instance.h"

namespace het::scheduler {

// The objective of the best plan, infinity where none fits. Exponential: for up to 6 slices and 10
// layers.
class BruteForce {
 public:
  explicit BruteForce(const Instance& instance)
      : instance_(instance), used_(instance.slices.size(), false) {}

  double Best() {
    best_ = std::numeric_limits<double>::infinity();
    Extend(0, -1, 0, 0);
    return best_;
  }

 private:
  void Extend(size_t begin, int last, double bottleneck, double sum) {
    if (begin == instance_.layers.size()) {
      const double value = instance_.objective == Objective::kThroughput ? bottleneck : sum;
      if (value < best_) best_ = value;
      return;
    }
    for (size_t v = 0; v < instance_.slices.size(); ++v) {
      if (used_[v]) continue;
      const SliceSpec& slice = instance_.slices[v];
      double transfer = 0;
      if (last >= 0 && !instance_.links.empty()) {
        transfer = instance_.links[last][v].latency_ms + instance_.links[last][v].ms_per_transfer;
      }
      used_[v] = true;
      double ms = 0;
      int64_t bytes = slice.reserved_bytes;
      for (size_t end = begin; end < instance_.layers.size(); ++end) {
        ms += slice.ms_per_layer[end];
        bytes += instance_.layers[end].weight_bytes + instance_.layers[end].kv_bytes;
        if (bytes > slice.memory_bytes) break;
        double worst = bottleneck;
        if (ms > worst) worst = ms;
        if (transfer > worst) worst = transfer;
        Extend(end + 1, static_cast<int>(v), worst, sum + transfer + ms);
      }
      used_[v] = false;
    }
  }

  const Instance& instance_;
  std::vector<bool> used_;
  double best_ = 0;
};

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_BRUTE_FORCE_TEST_UTIL_H_
