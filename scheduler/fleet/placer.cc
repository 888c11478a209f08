#include "scheduler/fleet/placer.h"

#include <algorithm>

namespace het::fleet {
namespace {

// Draws before every node is looked at: enough while a good part of the fleet fits.
constexpr int kDraws = 64;
// A heap this small beyond the fleet's states is not worth cleaning.
constexpr size_t kFewEntries = 256;

}  // namespace

Placer::Placer(Cluster& cluster, const Policy& policy, uint64_t seed)
    : cluster_(cluster), policy_(policy), random_(seed) {}

int Placer::Kind(const JobSpec& spec) {
  const auto [found, fresh] = index_.try_emplace(spec, static_cast<int>(kinds_.size()));
  if (fresh) {
    kinds_.emplace_back();
    kinds_.back().spec = spec;
  }
  return found->second;
}

void Placer::Add(KindIndex& kind, StateId id) {
  // A state never changes: one that came back is still in the heap, or still does not fit.
  if ((id < kind.known.size() && kind.known[id]) || cluster_.count(id) == 0) return;
  if (id >= kind.known.size()) kind.known.resize(std::max<size_t>(id + 1, 2 * kind.known.size()));
  kind.known[id] = true;
  const NodeState& state = cluster_.state(id);
  if (!state.Fits(kind.spec)) return;
  ++evaluations_;
  const Choice choice = policy_.Evaluate(state, kind.spec);
  kind.heap.push_back({choice.cost, id, choice.places});
  std::push_heap(kind.heap.begin(), kind.heap.end());
}

std::optional<Placer::Candidate> Placer::Best(int kind_number) {
  KindIndex& kind = kinds_[kind_number];
  if (policy_.draws()) return Draw(kind);
  const std::vector<StateId>& log = cluster_.activations();
  const bool anew = !kind.built || kind.version != policy_.version();
  if (anew) {
    kind.heap.clear();
    kind.known.clear();
    kind.built = true;
    kind.version = policy_.version();
  }
  // What is there now is the shorter list for a kind that was not asked for in a while.
  if (anew || log.size() - kind.read > cluster_.active().size()) {
    for (const StateId id : cluster_.active()) Add(kind, id);
  } else {
    for (size_t i = kind.read; i < log.size(); ++i) Add(kind, log[i]);
  }
  kind.read = log.size();
  DropStale(kind);
  if (kind.heap.empty()) return std::nullopt;
  if (policy_.takes_first_node()) return FirstAmongEquals(kind);
  const Entry& top = kind.heap.front();
  return Candidate{top.state, {top.cost, top.places}};
}

void Placer::DropStale(KindIndex& kind) {
  const auto is_stale = [this, &kind](const Entry& entry) {
    if (cluster_.count(entry.state) > 0) return false;
    kind.known[entry.state] = false;
    return true;
  };
  if (kind.heap.size() > 2 * cluster_.active().size() + kFewEntries) {
    std::erase_if(kind.heap, is_stale);
    std::make_heap(kind.heap.begin(), kind.heap.end());
  }
  while (!kind.heap.empty() && is_stale(kind.heap.front())) {
    std::pop_heap(kind.heap.begin(), kind.heap.end());
    kind.heap.pop_back();
  }
}

Placer::Candidate Placer::FirstAmongEquals(KindIndex& kind) {
  const double cost = kind.heap.front().cost;
  equals_.clear();
  while (!kind.heap.empty() && kind.heap.front().cost == cost) {
    std::pop_heap(kind.heap.begin(), kind.heap.end());
    const Entry entry = kind.heap.back();
    kind.heap.pop_back();
    if (cluster_.count(entry.state) > 0) {
      equals_.push_back(entry);
    } else {
      kind.known[entry.state] = false;
    }
  }
  const Entry* first = &equals_.front();
  for (const Entry& entry : equals_) {
    kind.heap.push_back(entry);
    std::push_heap(kind.heap.begin(), kind.heap.end());
    if (cluster_.FirstNode(entry.state) < cluster_.FirstNode(first->state)) first = &entry;
  }
  return {first->state, {first->cost, first->places}};
}

int Placer::DrawNode(KindIndex& kind) {
  const std::vector<StateId>& log = cluster_.activations();
  const auto fits = [this, &kind](StateId id) { return cluster_.state(id).Fits(kind.spec); };
  if (kind.none) {
    // Only a state that came up since can have changed that.
    for (; kind.read < log.size(); ++kind.read) {
      if (cluster_.count(log[kind.read]) > 0 && fits(log[kind.read])) kind.none = false;
    }
    if (kind.none) return -1;
  }
  const uint64_t nodes = static_cast<uint64_t>(cluster_.nodes());
  for (int i = 0; i < kDraws && nodes > 0; ++i) {
    const int drawn = static_cast<int>(random_() % nodes);
    if (fits(cluster_.state_of(drawn))) return drawn;
  }
  int node = -1;
  uint64_t fitting = 0;
  for (int n = 0; n < cluster_.nodes(); ++n) {
    if (fits(cluster_.state_of(n)) && random_() % ++fitting == 0) node = n;
  }
  kind.none = node < 0;
  kind.read = log.size();
  return node;
}

std::optional<Placer::Candidate> Placer::Draw(KindIndex& kind) {
  drawn_node_ = DrawNode(kind);
  if (drawn_node_ < 0) return std::nullopt;
  const StateId id = cluster_.state_of(drawn_node_);
  const NodeState& state = cluster_.state(id);
  DeviceSet places = TightestDevices(state, kind.spec);
  uint64_t fitting = 0;
  for (int i = 0; i < state.device_count && kind.spec.devices == 1; ++i) {
    if (state.DeviceFits(i, kind.spec) && random_() % ++fitting == 0)
      places = static_cast<DeviceSet>(1u << i);
  }
  return Candidate{id, {0, places}};
}

Placement Placer::Place(int kind, const Candidate& candidate) {
  const int node = policy_.draws()              ? drawn_node_
                   : policy_.takes_first_node() ? cluster_.FirstNode(candidate.state)
                                                : cluster_.AnyNode(candidate.state);
  return {node, cluster_.Place(node, kinds_[kind].spec, candidate.choice.places)};
}

}  // namespace het::fleet
