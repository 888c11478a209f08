// Placer: finds the cheapest node for a job without looking at every node.
//
// It keeps, per kind of job, the states it fits in a heap by cost. A decision reads the states that
// came up since this kind was last asked for, evaluates those once, and takes the top: the work
// grows with the changes to the fleet and with how many different states there are, not with nodes.
// Where a policy learns, the heaps of a kind are built anew after its costs changed.
//
// Deterministic for a seed. Not thread-safe. Borrows the cluster and the policy.
#ifndef HET_SCHEDULER_FLEET_PLACER_H_
#define HET_SCHEDULER_FLEET_PLACER_H_

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/fleet/cluster.h"
#include "scheduler/fleet/policy.h"

namespace het::fleet {

struct Placement {
  int node = 0;
  DeviceSet devices = 0;  // by their number on the node
  bool operator==(const Placement&) const = default;
};

class Placer {
 public:
  Placer(Cluster& cluster, const Policy& policy, uint64_t seed);

  // The number of a kind of job; the same for equal ones.
  int Kind(const JobSpec& spec);
  const JobSpec& spec(int kind) const { return kinds_[kind].spec; }

  struct Candidate {
    StateId state = 0;
    Choice choice;
  };
  // The cheapest state that fits, nothing if none does.
  std::optional<Candidate> Best(int kind);
  // Places there, on the node that the state names first (or a drawn one).
  Placement Place(int kind, const Candidate& candidate);
  std::optional<Placement> Place(int kind) {
    const auto best = Best(kind);
    if (!best) return std::nullopt;
    return Place(kind, *best);
  }

  const Policy& policy() const { return policy_; }
  int64_t evaluations() const { return evaluations_; }

 private:
  struct Entry {
    double cost;
    StateId state;
    DeviceSet places;
    // The least cost on top; among equals the state that came first.
    bool operator<(const Entry& other) const {
      return cost != other.cost ? cost > other.cost : state > other.state;
    }
  };
  struct KindIndex {
    JobSpec spec;
    std::vector<Entry> heap;
    std::vector<bool> known;  // by state: it is in the heap, or does not fit
    size_t read = 0;          // of the cluster's activations
    uint64_t version = 0;
    bool built = false;
    bool none = false;  // drawing policies: nothing fitted up to `read`
  };
  void Add(KindIndex& kind, StateId id);
  // Drops entries of states without nodes: from the top, and all when they are the most.
  void DropStale(KindIndex& kind);
  Candidate FirstAmongEquals(KindIndex& kind);
  std::optional<Candidate> Draw(KindIndex& kind);
  int DrawNode(KindIndex& kind);

  Cluster& cluster_;
  const Policy& policy_;
  std::mt19937_64 random_;
  std::vector<KindIndex> kinds_;
  absl::flat_hash_map<JobSpec, int> index_;
  int drawn_node_ = -1;
  std::vector<Entry> equals_;
  int64_t evaluations_ = 0;
};

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_PLACER_H_
