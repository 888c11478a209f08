#include "scheduler/fleet/cluster.h"

#include <bit>

namespace het::fleet {

Cluster::Cluster(const std::vector<NodeSpec>& nodes, const Options& options)
    : specs_(nodes), options_(options), ids_(0, Hash{&states_}, Equal{&states_}) {
  const size_t count = nodes.size();
  first_device_.resize(count);
  failed_.resize(count);
  node_state_.resize(count);
  next_.resize(count);
  previous_.resize(count);
  if (options.track_affinity) shapes_.resize(count);
  for (size_t n = 0; n < count; ++n) {
    const NodeSpec& spec = nodes[n];
    cpu_free_.push_back(spec.cpu_milli);
    memory_free_.push_back(spec.memory_mib);
    first_device_[n] = static_cast<uint32_t>(free_.size());
    for (int d = 0; d < spec.devices; ++d) free_.push_back(spec.Device(d));
    capacity_milli_ += int64_t{spec.devices} * spec.device_milli;
  }
  // The first node of a kind is the first to be used: lists grow at the head.
  for (int n = static_cast<int>(count) - 1; n >= 0; --n) Enter(n, Intern(EmptyState(nodes[n])));
}

StateId Cluster::Intern(const NodeState& state) {
  const auto found = ids_.find(state);
  if (found != ids_.end()) return *found;
  const StateId id = static_cast<StateId>(states_.size());
  states_.push_back({.state = state});
  counts_.push_back(0);
  if (options_.order_nodes) ordered_.emplace_back();
  ids_.insert(id);
  return id;
}

void Cluster::Enter(int node, StateId id) {
  Group& group = states_[id];
  node_state_[node] = id;
  previous_[node] = -1;
  next_[node] = group.head;
  if (group.head >= 0) previous_[group.head] = node;
  group.head = node;
  if (options_.order_nodes) ordered_[id].insert(node);
  if (counts_[id]++ > 0) return;
  group.place = static_cast<int>(active_.size());
  active_.push_back(id);
  activations_.push_back(id);
}

void Cluster::Leave(int node) {
  Group& group = states_[node_state_[node]];
  if (previous_[node] >= 0) {
    next_[previous_[node]] = next_[node];
  } else {
    group.head = next_[node];
  }
  if (next_[node] >= 0) previous_[next_[node]] = previous_[node];
  if (options_.order_nodes) ordered_[node_state_[node]].erase(node);
  if (--counts_[node_state_[node]] > 0) return;
  active_[group.place] = active_.back();
  states_[active_.back()].place = group.place;
  active_.pop_back();
  group.place = -1;
}

void Cluster::Refresh(int node) {
  NodeState state = EmptyState(specs_[node]);
  state.cpu_milli = cpu_free_[node];
  state.memory_mib = memory_free_[node];
  for (int i = 0; i < state.device_count; ++i) {
    if (!failed(node, i)) {
      state.devices[i] = free_[first_device_[node] + i];
    } else {
      state.devices[i] = {};
    }
  }
  state.SortDevices();
  if (options_.track_affinity) {
    for (int i = 0; i <= kMaxDevices; ++i)
      if (shapes_[node][i] > 0) state.affinity |= 1u << i;
  }
  const StateId id = Intern(state);
  if (id == node_state_[node]) return;
  Leave(node);
  Enter(node, id);
}

DeviceSet Cluster::Place(int node, const JobSpec& spec, DeviceSet places) {
  const NodeState& before = state(node_state_[node]);
  DeviceSet devices = 0;
  for (int place = 0; place < before.device_count; ++place) {
    if ((places >> place & 1) == 0) continue;
    for (int i = 0; i < before.device_count; ++i) {
      DeviceFree& free = free_[first_device_[node] + i];
      if ((devices >> i & 1) != 0 || failed(node, i) || free != before.devices[place]) continue;
      devices = static_cast<DeviceSet>(devices | 1u << i);
      break;
    }
  }
  for (int i = 0; i < before.device_count; ++i) {
    if ((devices >> i & 1) == 0) continue;
    DeviceFree& free = free_[first_device_[node] + i];
    free.milli -= spec.milli;
    if (before.device_memory_known) free.memory_mib -= spec.device_memory_mib;
  }
  cpu_free_[node] -= spec.cpu_milli;
  memory_free_[node] -= spec.memory_mib;
  allocated_milli_ += spec.TotalMilli();
  if (options_.track_affinity && spec.devices > 0)
    ++shapes_[node][std::countr_zero(AffinityBit(spec))];
  Refresh(node);
  return devices;
}

void Cluster::Remove(int node, const JobSpec& spec, DeviceSet devices) {
  for (int i = 0; i < specs_[node].devices; ++i) {
    if ((devices >> i & 1) == 0) continue;
    DeviceFree& free = free_[first_device_[node] + i];
    free.milli += spec.milli;
    if (specs_[node].device_memory_mib > 0) free.memory_mib += spec.device_memory_mib;
  }
  cpu_free_[node] += spec.cpu_milli;
  memory_free_[node] += spec.memory_mib;
  allocated_milli_ -= spec.TotalMilli();
  if (options_.track_affinity && spec.devices > 0)
    --shapes_[node][std::countr_zero(AffinityBit(spec))];
  Refresh(node);
}

void Cluster::FailDevice(int node, int device) {
  if (failed(node, device)) return;
  failed_[node] = static_cast<DeviceSet>(failed_[node] | 1u << device);
  capacity_milli_ -= specs_[node].device_milli;
  Refresh(node);
}

void Cluster::RepairDevice(int node, int device) {
  if (!failed(node, device)) return;
  failed_[node] = static_cast<DeviceSet>(failed_[node] & ~(1u << device));
  capacity_milli_ += specs_[node].device_milli;
  Refresh(node);
}

}  // namespace het::fleet
