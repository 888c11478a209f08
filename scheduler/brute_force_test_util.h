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

// The same by dynamic programming over (set of slices, last slice, layers done), for up to 9 slices
// and 20 layers: large enough that several slices are left out and links decide.
class FullProgram {
 public:
  explicit FullProgram(const Instance& instance) : instance_(instance) {}

  double Best() {
    const size_t slices = instance_.slices.size();
    const size_t layers = instance_.layers.size();
    const double infinity = std::numeric_limits<double>::infinity();
    const auto at = [&](size_t set, size_t last, size_t done) {
      return (set * slices + last) * (layers + 1) + done;
    };
    std::vector<double> value((size_t{1} << slices) * slices * (layers + 1), infinity);
    double best = infinity;
    for (size_t set = 1; set < size_t{1} << slices; ++set) {
      for (size_t v = 0; v < slices; ++v) {
        if ((set >> v & 1) == 0) continue;
        const size_t before = set ^ (size_t{1} << v);
        for (size_t begin = 0; begin < layers; ++begin) {
          // The cheapest way to stand at `begin` with v next.
          double reached = before == 0 && begin == 0 ? 0 : infinity;
          for (size_t u = 0; u < slices; ++u) {
            if ((before >> u & 1) == 0 || begin == 0) continue;
            const double sum = value[at(before, u, begin)];
            const double transfer = instance_.links.empty() ? 0 : instance_.links[u][v].Ms();
            const double with = Join(sum, transfer);
            if (with < reached) reached = with;
          }
          if (reached == infinity) continue;
          const SliceSpec& slice = instance_.slices[v];
          double ms = 0;
          int64_t bytes = slice.reserved_bytes;
          for (size_t end = begin; end < layers; ++end) {
            ms += slice.ms_per_layer[end];
            bytes += instance_.layers[end].weight_bytes + instance_.layers[end].kv_bytes;
            if (bytes > slice.memory_bytes) break;
            double& kept = value[at(set, v, end + 1)];
            const double with = Join(reached, ms);
            if (with < kept) kept = with;
          }
        }
        const double all = value[at(set, v, layers)];
        if (all < best) best = all;
      }
    }
    return best;
  }

 private:
  double Join(double a, double b) const {
    if (instance_.objective == Objective::kLatency) return a + b;
    return a > b ? a : b;
  }

  const Instance& instance_;
};

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_BRUTE_FORCE_TEST_UTIL_H_
