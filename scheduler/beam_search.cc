#include "scheduler/beam_search.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"

namespace het::scheduler {
namespace {

// A well-mixed odd number per class (SplitMix64's finaliser), so that sums tell multisets apart.
uint64_t ClassKey(int cls) {
  uint64_t z = (static_cast<uint64_t>(cls) + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (z ^ (z >> 31)) | 1;
}

class Beam {
 public:
  Beam(const Probe& probe, int width, SearchBudget& budget)
      : probe_(probe), width_(width), budget_(budget), used_(probe.class_count()) {
    for (int c = 0; c < probe.class_count(); ++c) keys_.push_back(ClassKey(c));
  }

  SearchResult Run() {
    if (probe_.ProvenInfeasible()) return {Verdict::kInfeasible, {}};
    nodes_.push_back({-1, -1, 0, 0, probe_.total(), 0});
    size_t first = 0;
    while (first < nodes_.size()) {
      const size_t last = nodes_.size();
      next_.clear();
      best_.clear();
      for (size_t n = first; n < last; ++n) {
        if (!Expand(static_cast<int>(n))) return {};
        if (goal_ >= 0) return {Verdict::kFeasible, AssignMembers(probe_, Trace())};
      }
      if (next_.size() > static_cast<size_t>(width_)) {
        std::nth_element(next_.begin(), next_.begin() + width_, next_.end(),
                         [](const Node& a, const Node& b) { return a.margin > b.margin; });
        next_.resize(width_);
      }
      nodes_.insert(nodes_.end(), next_.begin(), next_.end());
      first = last;
    }
    return {};
  }

 private:
  struct Node {
    int parent;
    int cls;  // of the last stage; -1 at the root
    int position;
    uint64_t key;  // of the multiset
    Amounts remaining;
    double margin;  // the smallest share of the whole by which the unused slices could cover more
                    // than the rest
  };

  bool Expand(int n) {
    std::fill(used_.begin(), used_.end(), 0);
    for (int at = n; nodes_[at].parent >= 0; at = nodes_[at].parent) ++used_[nodes_[at].cls];
    const Node node = nodes_[n];
    for (int cls = 0; cls < probe_.class_count(); ++cls) {
      const Probe::Class& c = probe_.classes()[cls];
      const int end = c.reach[node.position];
      if (end == node.position || used_[cls] == c.count()) continue;
      if (node.cls >= 0 && !probe_.MayFollow(probe_.classes()[node.cls].group, cls)) continue;
      if (budget_.expansions <= 0) return false;
      --budget_.expansions;
      ++budget_.spent;
      Node next = {n, cls, end, node.key + keys_[cls], node.remaining, 0};
      if (end == probe_.layers()) {
        nodes_.push_back(next);
        goal_ = static_cast<int>(nodes_.size()) - 1;
        return true;
      }
      for (int p = 0; p < kPotentials; ++p) next.remaining[p] -= c.capacity[p];
      next.margin = Margin(next);
      if (next.margin >= 0) Offer(next, c.group);
    }
    return true;
  }

  double Margin(const Node& node) const {
    double margin = 1e30;
    for (int p = 0; p < kPotentials; ++p) {
      const std::vector<int64_t>& phi = probe_.phi(p);
      if (phi.back() == 0) continue;
      const int64_t spare = phi[node.position] + node.remaining[p] - phi.back();
      margin = std::min(margin, static_cast<double>(spare) / static_cast<double>(phi.back()));
    }
    return margin;
  }

  // Keeps the furthest of the chains with one multiset and group; two multisets with one key would
  // cost one of them its place, no more.
  void Offer(const Node& node, int group) {
    const uint64_t key = node.key ^ (static_cast<uint64_t>(group) * 0xD6E8FEB86659FD93u);
    const auto [it, inserted] = best_.try_emplace(key, next_.size());
    if (inserted) {
      next_.push_back(node);
    } else if (node.position > next_[it->second].position) {
      next_[it->second] = node;
    }
  }

  std::vector<ChainLink> Trace() const {
    std::vector<ChainLink> chain;
    for (int at = goal_; nodes_[at].parent >= 0; at = nodes_[at].parent) {
      chain.push_back({nodes_[at].cls, nodes_[nodes_[at].parent].position, nodes_[at].position});
    }
    std::reverse(chain.begin(), chain.end());
    return chain;
  }

  const Probe& probe_;
  const int width_;
  SearchBudget& budget_;
  std::vector<uint64_t> keys_;
  std::vector<int> used_;
  std::vector<Node> nodes_;  // all kept chains, shortest first
  std::vector<Node> next_;
  absl::flat_hash_map<uint64_t, size_t> best_;  // into next_
  int goal_ = -1;
};

}  // namespace

SearchResult BeamSearch(const Probe& probe, int width, SearchBudget& budget) {
  return Beam(probe, width, budget).Run();
}

}  // namespace het::scheduler
