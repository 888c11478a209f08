#include "scheduler/naive_split.h"

#include <cmath>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace het::scheduler {
namespace {

// Gives slice v the layers up to targets[v], or as many of them as it holds.
std::vector<Stage> Deal(const Instance& instance, const std::vector<int>& targets) {
  std::vector<Stage> stages;
  int begin = 0;
  for (int v = 0; v < instance.SliceCount(); ++v) {
    const SliceSpec& slice = instance.slices[v];
    int64_t room = slice.memory_bytes - slice.reserved_bytes;
    int end = begin;
    while (end < targets[v] && instance.LayerBytes(end) <= room) room -= instance.LayerBytes(end++);
    if (end > begin) stages.push_back({v, begin, end});
    begin = end;
  }
  return stages;
}

absl::StatusOr<Plan> Split(const Instance& instance, const std::vector<double>& shares) {
  const int layers = instance.LayerCount();
  double total = 0;
  for (double share : shares) total += share;
  std::vector<int> targets;
  double sum = 0;
  for (double share : shares) {
    sum += share;
    targets.push_back(total > 0 ? static_cast<int>(std::lround(layers * sum / total)) : layers);
  }
  for (const std::vector<int>& attempt : {targets, std::vector<int>(shares.size(), layers)}) {
    std::vector<Stage> stages = Deal(instance, attempt);
    if (!stages.empty() && stages.back().end == layers)
      return PlanFromStages(instance, std::move(stages));
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("memory: the slices, filled in the order they are listed, do not hold all ",
                   layers, " layers"));
}

}  // namespace

absl::StatusOr<Plan> SplitEvenly(const Instance& instance) {
  return Split(instance, std::vector<double>(instance.slices.size(), 1.0));
}

absl::StatusOr<Plan> SplitByMemory(const Instance& instance) {
  std::vector<double> shares;
  for (const SliceSpec& slice : instance.slices)
    shares.push_back(static_cast<double>(slice.memory_bytes));
  return Split(instance, shares);
}

}  // namespace het::scheduler
