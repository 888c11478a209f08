#include "scheduler/fleet/victims.h"

namespace het::fleet {
namespace {

// The node as it would be without some of the jobs; devices by number, unsorted.
NodeState Without(const Cluster& cluster, int node, const std::vector<Occupant>& leaving) {
  NodeState state = cluster.state(cluster.state_of(node));
  for (int d = 0; d < state.device_count; ++d) {
    state.devices[d] = cluster.failed(node, d) ? DeviceFree{} : cluster.device(node, d);
  }
  for (const Occupant& occupant : leaving) {
    state.cpu_milli += occupant.spec->cpu_milli;
    state.memory_mib += occupant.spec->memory_mib;
    for (int d = 0; d < state.device_count; ++d) {
      if ((occupant.devices >> d & 1) == 0) continue;
      state.devices[d].milli += occupant.spec->milli;
      if (state.device_memory_known)
        state.devices[d].memory_mib += occupant.spec->device_memory_mib;
    }
  }
  return state;
}

}  // namespace

std::optional<std::vector<int>> VictimsFor(const Cluster& cluster, int node, const JobSpec& spec,
                                           const std::vector<Occupant>& may_leave) {
  std::vector<Occupant> leaving;
  for (const Occupant& occupant : may_leave) {
    if (Without(cluster, node, leaving).Fits(spec)) break;
    leaving.push_back(occupant);
  }
  if (!Without(cluster, node, leaving).Fits(spec)) return std::nullopt;
  // Whoever was asked first may have made no difference.
  for (size_t i = 0; i < leaving.size();) {
    std::vector<Occupant> fewer = leaving;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    if (Without(cluster, node, fewer).Fits(spec)) {
      leaving = std::move(fewer);
    } else {
      ++i;
    }
  }
  std::vector<int> jobs;
  for (const Occupant& occupant : leaving) jobs.push_back(occupant.job);
  return jobs;
}

}  // namespace het::fleet
