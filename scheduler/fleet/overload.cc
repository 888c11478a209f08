#include "scheduler/fleet/overload.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <random>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "scheduler/fleet/placer.h"
#include "scheduler/fleet/window.h"

namespace het::fleet {

std::vector<int> OverloadArrivals(const std::vector<Job>& jobs, int64_t capacity_milli,
                                  double arrival, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int> sorted(jobs.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&jobs](int a, int b) { return jobs[a].name < jobs[b].name; });
  std::vector<int> order = sorted;
  for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random() % (i + 1)]);
  int64_t asked = 0;
  for (const Job& job : jobs) asked += job.spec.TotalMilli();
  const double target = arrival * static_cast<double>(capacity_milli);
  if (asked == 0) return order;
  while (static_cast<double>(asked) > target && !order.empty()) {
    const size_t i = random() % order.size();
    asked -= jobs[order[i]].spec.TotalMilli();
    order.erase(order.begin() + static_cast<std::ptrdiff_t>(i));
  }
  while (true) {
    const int job = sorted[random() % sorted.size()];
    // The study's own condition: one device's share of the next job, not the sum.
    if (static_cast<double>(asked + jobs[job].spec.milli) > target) break;
    asked += jobs[job].spec.TotalMilli();
    order.push_back(job);
  }
  return order;
}

absl::StatusOr<OverloadResult> RunOverload(const Fleet& fleet, const std::vector<Job>& jobs,
                                           absl::string_view policy_name,
                                           const OverloadOptions& options,
                                           const std::function<bool(bool)>& on_placed) {
  HET_ASSIGN_OR_RETURN(const std::unique_ptr<Policy> policy,
                       MakePolicy(policy_name, fleet.nodes, DemandOf(jobs)));
  if (options.window < 1 || options.window > kMaxWindow) {
    return absl::InvalidArgumentError(
        absl::StrCat("a window of ", options.window, " jobs; 1 to ", kMaxWindow, " will do"));
  }
  Cluster cluster(fleet.nodes, {policy->tracks_affinity(), policy->takes_first_node()});
  if (cluster.capacity_milli() == 0) {
    return absl::InvalidArgumentError("the fleet has no devices to allocate");
  }
  Placer placer(cluster, *policy, options.seed);
  std::vector<int> kinds;
  kinds.reserve(jobs.size());
  for (const Job& job : jobs) kinds.push_back(placer.Kind(job.spec));
  const std::vector<int> order =
      OverloadArrivals(jobs, cluster.capacity_milli(), options.arrival, options.seed);

  OverloadResult result;
  Window window(placer, options.window);
  const auto settle = [&](const Window::Decision& decision) {
    decision.placement ? ++result.placed : ++result.refused;
    if (decision.placement && jobs[static_cast<size_t>(decision.job)].spec.devices > 1) {
      ++result.multi;
      const Nearness nearness =
          cluster.NearnessOf(decision.placement->node, decision.placement->devices);
      result.multi_linked += nearness == Nearness::kLinked ? 1 : 0;
      result.multi_one_numa += nearness == Nearness::kOneNuma ? 1 : 0;
    }
    return !on_placed || on_placed(decision.placement.has_value());
  };
  bool go_on = true;
  for (size_t i = 0; i < order.size() && go_on; ++i) {
    ++result.arrived;
    policy->Observe(jobs[order[i]].spec);
    window.Add(kinds[order[i]], order[i]);
    while (window.full() && go_on) go_on = settle(window.Next());
  }
  while (!window.empty() && go_on) go_on = settle(window.Next());

  result.capacity_milli = cluster.capacity_milli();
  result.unallocated_milli = cluster.capacity_milli() - cluster.allocated_milli();
  result.evaluations = placer.evaluations();
  for (int n = 0; n < cluster.nodes(); ++n) {
    const NodeState& state = cluster.state(cluster.state_of(n));
    result.cores_milli += fleet.nodes[static_cast<size_t>(n)].cpu_milli;
    result.cores_unallocated_milli += state.cpu_milli;
    result.in_wholes_milli += int64_t{state.WholeDevices()} * kWholeDevice;
    result.in_parts_milli += state.FreeMilli() - int64_t{state.WholeDevices()} * kWholeDevice;
  }
  return result;
}

}  // namespace het::fleet
