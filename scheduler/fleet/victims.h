// Victims: who must leave a node so that a job fits.
//
// Pure. Threads: const access only.
#ifndef HET_SCHEDULER_FLEET_VICTIMS_H_
#define HET_SCHEDULER_FLEET_VICTIMS_H_

#include <optional>
#include <vector>

#include "scheduler/fleet/cluster.h"

namespace het::fleet {

struct Occupant {
  int job = 0;
  const JobSpec* spec = nullptr;
  DeviceSet devices = 0;  // by their number on the node
};

// The jobs, of those that may leave and in the order in which they would, that make room for
// `spec`; those that turn out not to be needed stay. Nothing where all of them would not do.
std::optional<std::vector<int>> VictimsFor(const Cluster& cluster, int node, const JobSpec& spec,
                                           const std::vector<Occupant>& may_leave);

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_VICTIMS_H_
