// What is free on a node, in a form in which equal nodes are equal values: devices are sorted, so
// that placement looks at a kind of node once, however many of it there are.
//
// Threads: plain value.
#ifndef HET_SCHEDULER_FLEET_NODE_STATE_H_
#define HET_SCHEDULER_FLEET_NODE_STATE_H_

#include <array>
#include <cstdint>
#include <utility>

#include "scheduler/fleet/spec.h"

namespace het::fleet {

// A bit per device, by its place in NodeState::devices or, for a node, by its number there.
using DeviceSet = uint32_t;

struct NodeState {
  int32_t cpu_milli = 0;
  int32_t memory_mib = 0;
  int16_t model = 0;
  int8_t device_count = 0;
  bool device_memory_known = false;
  uint32_t affinity = 0;  // which shapes of job it holds (bit per shape), for clustering
  std::array<DeviceFree, kMaxDevices> devices{};  // fullest first; zeros beyond device_count
  bool operator==(const NodeState& other) const;

  int64_t FreeMilli() const;
  int WholeDevices() const;  // devices nobody uses
  bool DeviceFits(int device, const JobSpec& spec) const {
    return devices[device].milli >= spec.milli &&
           (!device_memory_known || devices[device].memory_mib >= spec.device_memory_mib);
  }
  int DevicesThatFit(const JobSpec& spec) const;
  bool Fits(const JobSpec& spec) const;
  void SortDevices();

  template <typename H>
  friend H AbslHashValue(H h, const NodeState& s) {
    h = H::combine(std::move(h), s.cpu_milli, s.memory_mib, s.model, s.device_count, s.affinity);
    for (int i = 0; i < s.device_count; ++i) {
      const DeviceFree& d = s.devices[i];
      h = H::combine(std::move(h), d.milli, d.memory_mib, d.island, d.numa);
    }
    return h;
  }
};

// An untouched node.
NodeState EmptyState(const NodeSpec& spec);

// The state with the job on the given devices (as many as it asks for, each of which fits).
NodeState WithJob(const NodeState& state, const JobSpec& spec, DeviceSet devices);

// The fullest devices that still fit the job, as many as it asks for: the tightest fit. For several
// devices: of the island that fits it with the fewest to spare, else of such a NUMA node, else of
// the whole node.
DeviceSet TightestDevices(const NodeState& state, const JobSpec& spec);

// How near the devices of a job are to each other.
enum class Nearness { kLinked, kOneNuma, kAcross };
Nearness NearnessOf(const NodeState& state, DeviceSet places);

// Clustering tells jobs apart by this: bit 0 fractions, bit n jobs of n whole devices.
inline uint32_t AffinityBit(const JobSpec& spec) {
  if (spec.devices == 0) return 0;
  return spec.milli < kWholeDevice ? 1u : 1u << (spec.devices < 31 ? spec.devices : 31);
}

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_NODE_STATE_H_
