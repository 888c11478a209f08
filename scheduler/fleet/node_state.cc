#include "scheduler/fleet/node_state.h"

#include <algorithm>

namespace het::fleet {

bool NodeState::operator==(const NodeState& other) const {
  return cpu_milli == other.cpu_milli && memory_mib == other.memory_mib && model == other.model &&
         device_count == other.device_count && device_memory_known == other.device_memory_known &&
         affinity == other.affinity &&
         std::equal(devices.begin(), devices.begin() + device_count, other.devices.begin());
}

int64_t NodeState::FreeMilli() const {
  int64_t sum = 0;
  for (int i = 0; i < device_count; ++i) sum += devices[i].milli;
  return sum;
}

int NodeState::WholeDevices() const {
  int count = 0;
  for (int i = 0; i < device_count; ++i) count += devices[i].milli == kWholeDevice ? 1 : 0;
  return count;
}

int NodeState::DevicesThatFit(const JobSpec& spec) const {
  int count = 0;
  for (int i = 0; i < device_count; ++i) count += DeviceFits(i, spec) ? 1 : 0;
  return count;
}

bool NodeState::Fits(const JobSpec& spec) const {
  if (cpu_milli < spec.cpu_milli || memory_mib < spec.memory_mib) return false;
  if (spec.devices == 0) return true;
  return spec.Accepts(model) && DevicesThatFit(spec) >= spec.devices;
}

void NodeState::SortDevices() { std::sort(devices.begin(), devices.begin() + device_count); }

NodeState EmptyState(const NodeSpec& spec) {
  NodeState state;
  state.cpu_milli = spec.cpu_milli;
  state.memory_mib = spec.memory_mib;
  state.model = static_cast<int16_t>(spec.model);
  state.device_count = static_cast<int8_t>(spec.devices);
  state.device_memory_known = spec.device_memory_mib > 0;
  for (int i = 0; i < spec.devices; ++i) state.devices[i] = spec.Device(i);
  return state;
}

NodeState WithJob(const NodeState& state, const JobSpec& spec, DeviceSet devices) {
  NodeState after = state;
  after.cpu_milli -= spec.cpu_milli;
  after.memory_mib -= spec.memory_mib;
  for (int i = 0; i < state.device_count; ++i) {
    if ((devices >> i & 1) == 0) continue;
    after.devices[i].milli -= spec.milli;
    if (state.device_memory_known) after.devices[i].memory_mib -= spec.device_memory_mib;
  }
  after.SortDevices();
  return after;
}

namespace {

// The fullest that fit, of those that `allowed` says.
template <typename Allowed>
DeviceSet Fullest(const NodeState& state, const JobSpec& spec, Allowed allowed) {
  DeviceSet chosen = 0;
  int needed = spec.devices;
  for (int i = 0; i < state.device_count && needed > 0; ++i) {
    if (!state.DeviceFits(i, spec) || !allowed(state.devices[i])) continue;
    chosen = static_cast<DeviceSet>(chosen | 1u << i);
    --needed;
  }
  return needed == 0 ? chosen : 0;
}

// Of the places (islands, NUMA nodes) that hold the whole job the one with the fewest devices that
// fit it; nothing where none does.
DeviceSet InOnePlace(const NodeState& state, const JobSpec& spec, int16_t DeviceFree::*place,
                     int16_t nowhere) {
  int least = kMaxDevices + 1;
  int16_t best = nowhere;
  for (int i = 0; i < state.device_count; ++i) {
    const int16_t here = state.devices[i].*place;
    if (here == nowhere) continue;
    int fitting = 0;
    for (int j = 0; j < state.device_count; ++j)
      fitting += state.devices[j].*place == here && state.DeviceFits(j, spec) ? 1 : 0;
    if (fitting < spec.devices || fitting >= least) continue;
    least = fitting;
    best = here;
  }
  if (best == nowhere) return 0;
  return Fullest(state, spec, [&](const DeviceFree& device) { return device.*place == best; });
}

}  // namespace

DeviceSet TightestDevices(const NodeState& state, const JobSpec& spec) {
  if (spec.devices > 1) {
    if (const DeviceSet linked = InOnePlace(state, spec, &DeviceFree::island, 0)) return linked;
    if (const DeviceSet near = InOnePlace(state, spec, &DeviceFree::numa, -1)) return near;
  }
  return Fullest(state, spec, [](const DeviceFree&) { return true; });
}

Nearness NearnessOf(const NodeState& state, DeviceSet places) {
  const DeviceFree* first = nullptr;
  bool linked = true, one_numa = true;
  for (int i = 0; i < state.device_count; ++i) {
    if ((places >> i & 1) == 0) continue;
    if (first == nullptr) first = &state.devices[i];
    linked &= state.devices[i].island == first->island && first->island != 0;
    one_numa &= state.devices[i].numa == first->numa;
  }
  return linked ? Nearness::kLinked : one_numa ? Nearness::kOneNuma : Nearness::kAcross;
}

}  // namespace het::fleet
