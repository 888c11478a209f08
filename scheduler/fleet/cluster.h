// Cluster: what is free on each node of a fleet, grouped by equal state.
//
// Nodes that are alike share one state, and a state that comes back keeps its number; so placement
// costs what there are kinds of nodes, not nodes. `activations` lists, in order, every state that
// came to have nodes: an index over states (placer.h) reads on from where it stopped.
//
// Deterministic. Not thread-safe.
#ifndef HET_SCHEDULER_FLEET_CLUSTER_H_
#define HET_SCHEDULER_FLEET_CLUSTER_H_

#include <array>
#include <cstdint>
#include <deque>
#include <set>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "scheduler/fleet/node_state.h"

namespace het::fleet {

using StateId = uint32_t;

class Cluster {
 public:
  struct Options {
    bool track_affinity = false;  // states also tell apart which shapes of job a node holds
    bool order_nodes = false;     // FirstNode can be asked
  };
  explicit Cluster(const std::vector<NodeSpec>& nodes) : Cluster(nodes, Options()) {}
  Cluster(const std::vector<NodeSpec>& nodes, const Options& options);
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  int nodes() const { return static_cast<int>(specs_.size()); }
  const NodeSpec& spec(int node) const { return specs_[node]; }
  StateId state_of(int node) const { return node_state_[node]; }
  const NodeState& state(StateId id) const { return states_[id].state; }
  int count(StateId id) const { return counts_[id]; }
  // A node in this state; count(id) > 0.
  int AnyNode(StateId id) const { return states_[id].head; }
  // The first of the list in this state; with order_nodes only.
  int FirstNode(StateId id) const { return *ordered_[id].begin(); }
  const std::vector<StateId>& activations() const { return activations_; }
  // Every state that has nodes, in no particular order.
  const std::vector<StateId>& active() const { return active_; }
  DeviceFree device(int node, int device) const { return free_[first_device_[node] + device]; }
  // Of devices by their number on the node.
  Nearness NearnessOf(int node, DeviceSet devices) const {
    return fleet::NearnessOf(EmptyState(specs_[node]), devices);
  }

  // Puts a job on a node, on devices named by their place in its state; returns them by their
  // number on the node. The job fits.
  DeviceSet Place(int node, const JobSpec& spec, DeviceSet places);
  // Takes it off again; `devices` as Place returned them.
  void Remove(int node, const JobSpec& spec, DeviceSet devices);

  // A failed device has nothing free until it is repaired; the caller removes its jobs first.
  void FailDevice(int node, int device);
  void RepairDevice(int node, int device);
  bool failed(int node, int device) const { return (failed_[node] >> device & 1) != 0; }

  int64_t capacity_milli() const { return capacity_milli_; }  // devices that are not failed
  int64_t allocated_milli() const { return allocated_milli_; }

 private:
  struct Group {
    NodeState state;
    int head = -1;
    int place = -1;  // in active_
  };
  struct Hash {
    using is_transparent = void;
    const std::deque<Group>* groups;
    size_t operator()(StateId id) const { return absl::HashOf((*groups)[id].state); }
    size_t operator()(const NodeState& state) const { return absl::HashOf(state); }
  };
  struct Equal {
    using is_transparent = void;
    const std::deque<Group>* groups;
    const NodeState& Of(StateId id) const { return (*groups)[id].state; }
    static const NodeState& Of(const NodeState& state) { return state; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return Of(a) == Of(b);
    }
  };

  StateId Intern(const NodeState& state);
  void Refresh(int node);  // after free_ or cpu changed
  void Enter(int node, StateId id);
  void Leave(int node);

  std::vector<NodeSpec> specs_;
  Options options_;
  std::vector<int32_t> cpu_free_, memory_free_;
  std::vector<DeviceFree> free_;  // all devices of all nodes
  std::vector<uint32_t> first_device_;
  std::vector<DeviceSet> failed_;
  std::vector<std::array<uint16_t, kMaxDevices + 1>> shapes_;  // jobs by affinity bit, if tracked
  std::vector<StateId> node_state_;
  std::vector<int> next_, previous_;  // the nodes of one state form a list

  std::deque<Group> states_;
  std::vector<int> counts_;  // nodes by state; apart, as an index reads nothing else of most
  std::deque<std::set<int>> ordered_;  // nodes by state, if asked for
  absl::flat_hash_set<StateId, Hash, Equal> ids_;
  std::vector<StateId> active_;
  std::vector<StateId> activations_;
  int64_t capacity_milli_ = 0;
  int64_t allocated_milli_ = 0;
};

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_CLUSTER_H_
