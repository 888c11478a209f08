// An Instance in whole numbers, as the searches see it.
//
// Times become ticks (int64), so that sums of layers are exact, equal stages are equal and
// "infeasible below B" has no rounding to argue about. Values above the scale's `max_ms` (a
// bottleneck that is known to be reachable) can be in no better plan and are clamped just above it,
// which keeps the resolution at about 1e-12 of the bottleneck.
//
// Internal to scheduler/. Threads: const access is safe from any number of threads.
#ifndef HET_SCHEDULER_TICK_MODEL_H_
#define HET_SCHEDULER_TICK_MODEL_H_

#include <array>
#include <cstdint>
#include <vector>

#include "scheduler/instance.h"
#include "scheduler/plan.h"

namespace het::scheduler {

// Ways to measure a run of layers, each additive, for bounds on what a set of slices can cover: the
// number of layers, their mean cost over the slices, their bytes.
inline constexpr int kMeasures = 3;

class TickModel {
 public:
  // A bottleneck that no stage or transfer exceeds.
  static constexpr int64_t kNoLimit = int64_t{1} << 61;

  // `instance` is valid and is not kept. `max_ms` >= 0.
  TickModel(const Instance& instance, double max_ms);

  int layers() const { return layers_; }
  int slices() const { return static_cast<int>(prefix_.size()); }
  int64_t StageTicks(int slice, int begin, int end) const {
    return prefix_[slice][end] - prefix_[slice][begin];
  }
  int64_t LinkTicks(int from, int to) const { return links_.empty() ? 0 : links_[from][to]; }
  bool has_links() const { return !links_.empty(); }
  int64_t Bottleneck(const std::vector<Stage>& stages) const;
  int64_t ToTicks(double ms) const;  // not clamped
  double ToMs(int64_t ticks) const { return static_cast<double>(ticks) / ticks_per_ms_; }
  // Rounding is below 1e-11 of this bottleneck.
  bool Resolves(int64_t bottleneck) const { return bottleneck >= int64_t{1} << 44; }

  // reach[i]: the end of the longest run from layer i that the slice can hold and finish within
  // `bottleneck`; i where it cannot take layer i at all. Monotone in i; reach[layers()] ==
  // layers().
  void FillReach(int slice, int64_t bottleneck, std::vector<int>& reach) const;

  // measure(p)[i]: the layers before i in measure p.
  const std::vector<int64_t>& measure(int p) const { return measures_[p]; }

  // Feasibility changes only at the time of some stage or transfer: the nearest of these below, or
  // -1, and above, or kNoLimit.
  int64_t LargestCandidateBelow(int64_t bottleneck) const;
  int64_t SmallestCandidateAbove(int64_t bottleneck) const;

  // Gives every slice this many bytes more, to ask what a plan would need.
  void AddMemory(int64_t bytes);

 private:
  int64_t Clamped(double ms) const;

  int layers_;
  double max_ms_;
  double ticks_per_ms_;
  std::vector<std::vector<int64_t>> prefix_;  // per slice, layers + 1 entries
  std::vector<std::vector<int64_t>> links_;
  std::vector<int64_t> bytes_;  // prefix of layer bytes
  std::vector<int64_t>
      available_;  // per slice, memory less reserved; negative where not even that fits
  std::array<std::vector<int64_t>, kMeasures> measures_;
};

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_TICK_MODEL_H_
