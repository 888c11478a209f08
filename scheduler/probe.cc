#include "scheduler/probe.h"

#include <algorithm>
#include <bitset>
#include <cmath>

namespace het::scheduler {
namespace {

using SliceSet = std::bitset<kMaxSlices>;

// Permitted transfers between the slices that can work at all.
struct Adjacency {
  std::vector<SliceSet> out;
  std::vector<SliceSet> in;

  Adjacency(const TickModel& model, const std::vector<int>& active, int64_t bottleneck)
      : out(model.slices()), in(model.slices()) {
    for (int u : active) {
      for (int v : active) {
        if (u == v || model.LinkTicks(u, v) > bottleneck) continue;
        out[u].set(v);
        in[v].set(u);
      }
    }
  }

  // Whether swapping a and b maps the permitted transfers to themselves. These swaps generate a
  // group, so the relation is transitive and one representative per class is enough to compare
  // with.
  bool Swappable(int a, int b) const {
    SliceSet others;
    others.set();
    others.reset(a);
    others.reset(b);
    return ((out[a] ^ out[b]) & others).none() && ((in[a] ^ in[b]) & others).none() &&
           out[a].test(b) == out[b].test(a);
  }
};

}  // namespace

Probe::Probe(const TickModel& model, int64_t bottleneck, LayerWeights* weights, int rounds)
    : model_(model), fitted_(model.layers() + 1, 0) {
  Classify(bottleneck);
  if (weights != nullptr) FitWeights(*weights, rounds);
  FillCapacities();
}

void Probe::FillCapacities() {
  for (Class& c : classes_) {
    for (int p = 0; p < kPotentials; ++p) {
      c.capacity[p] = 0;
      for (int i = 0; i < layers(); ++i) {
        c.capacity[p] = std::max(c.capacity[p], phi(p)[c.reach[i]] - phi(p)[i]);
      }
      total_[p] += c.capacity[p] * c.count();
    }
  }
}

// Looks for weights that sum to 1 and let the slices cover as little as possible in total: less
// than 1 proves that they cannot cover all layers. Layers that more of the heaviest runs contain
// get lighter (Arora, Hazan and Kale, "The multiplicative weights update method", 2012). Any
// weights are valid, so nothing depends on convergence.
void Probe::FitWeights(LayerWeights& weights, int rounds) {
  const int n = layers();
  LayerWeights best = weights;
  double least = 1e300;
  std::vector<double> sums(n + 1);
  std::vector<int> cover(n + 1);
  std::vector<double> factor(model_.slices() + 1);
  const auto covered = [&](const LayerWeights& w) {
    for (int i = 0; i < n; ++i) sums[i + 1] = sums[i] + w[i];
    std::fill(cover.begin(), cover.end(), 0);
    double total = 0;
    for (const Class& c : classes_) {
      int heaviest = 0;
      for (int i = 1; i < n; ++i) {
        if (sums[c.reach[i]] - sums[i] > sums[c.reach[heaviest]] - sums[heaviest]) heaviest = i;
      }
      total += c.count() * (sums[c.reach[heaviest]] - sums[heaviest]);
      cover[heaviest] += c.count();
      cover[c.reach[heaviest]] -= c.count();
    }
    if (total / sums[n] < least) {
      least = total / sums[n];
      best = w;
      for (double& weight : best) weight /= sums[n];
    }
  };
  for (int p = 0; p < kMeasures && weights.empty(); ++p) {
    const std::vector<int64_t>& measure = model_.measure(p);
    if (measure.back() == 0) continue;
    LayerWeights start(n);
    for (int i = 0; i < n; ++i) start[i] = static_cast<double>(measure[i + 1] - measure[i]);
    covered(start);
  }
  if (weights.empty()) {
    weights = best;
    for (double& weight : weights) weight = 0.99 * weight + 0.01 / n;  // zero could never grow
  }
  for (int round = 0; round < rounds && least >= 1; ++round) {
    covered(weights);
    const double rate = 0.3 / std::sqrt(1.0 + round);
    for (size_t runs = 0; runs < factor.size(); ++runs) factor[runs] = std::exp(-rate * runs);
    double total = 0;
    int runs = 0;
    for (int i = 0; i < n; ++i) {
      runs += cover[i];
      weights[i] *= factor[runs];
      total += weights[i];
    }
    for (double& weight : weights) weight /= total;
  }
  weights = best;
  for (int i = 0; i < n; ++i)
    fitted_[i + 1] = fitted_[i] + std::llround(std::ldexp(weights[i], 40));
}

void Probe::Classify(int64_t bottleneck) {
  std::vector<int> active;
  std::vector<std::vector<int>> reach;
  std::vector<int> scratch;
  for (int v = 0; v < model_.slices(); ++v) {
    model_.FillReach(v, bottleneck, scratch);
    bool works = false;
    for (int i = 0; i < layers() && !works; ++i) works = scratch[i] > i;
    if (!works) continue;
    active.push_back(v);
    reach.push_back(scratch);
  }
  const Adjacency adjacency(model_, active, bottleneck);
  for (size_t a = 0; a < active.size(); ++a) {
    const int v = active[a];
    Class* home = nullptr;
    for (Class& c : classes_) {
      if (c.reach == reach[a] && adjacency.Swappable(c.members[0], v)) {
        home = &c;
        break;
      }
    }
    if (home == nullptr) {
      home = &classes_.emplace_back();
      home->reach = std::move(reach[a]);
    }
    home->members.push_back(v);
  }
  std::vector<std::vector<char>> follows(classes_.size(), std::vector<char>(classes_.size(), 0));
  for (size_t u = 0; u < classes_.size(); ++u) {
    for (size_t v = 0; v < classes_.size(); ++v) {
      const std::vector<int>& to = classes_[v].members;
      // A class of one never follows itself; calling it permitted lets more classes share a group.
      const int target = u == v ? (to.size() > 1 ? to[1] : -1) : to[0];
      follows[u][v] = target < 0 || adjacency.out[classes_[u].members[0]].test(target);
    }
  }
  Group(follows);
}

void Probe::Group(const std::vector<std::vector<char>>& follows) {
  std::vector<int> representative;
  for (size_t u = 0; u < classes_.size(); ++u) {
    int group = -1;
    for (size_t g = 0; g < representative.size() && group < 0; ++g) {
      if (follows[representative[g]] == follows[u]) group = static_cast<int>(g);
    }
    if (group < 0) {
      group = static_cast<int>(representative.size());
      representative.push_back(static_cast<int>(u));
      may_follow_.insert(may_follow_.end(), follows[u].begin(), follows[u].end());
    }
    classes_[u].group = group;
  }
  group_count_ = static_cast<int>(representative.size());
}

bool Probe::ProvenInfeasible() const {
  for (int p = 0; p < kPotentials; ++p) {
    if (total_[p] < phi(p).back()) return true;
  }
  for (int i = 0; i < layers(); ++i) {
    bool fits = false;
    for (const Class& c : classes_) fits = fits || c.reach[i] > i;
    if (!fits) return true;
  }
  return false;
}

int Probe::LowestUseful(const Amounts& remaining) const {
  int lowest = 0;
  for (int p = 0; p < kPotentials; ++p) {
    const std::vector<int64_t>& sums = phi(p);
    const int64_t needed = sums.back() - remaining[p];
    if (needed <= sums[lowest]) continue;
    lowest = static_cast<int>(std::lower_bound(sums.begin() + lowest, sums.end(), needed) -
                              sums.begin());
  }
  return lowest;
}

std::vector<Stage> AssignMembers(const Probe& probe, const std::vector<ChainLink>& chain) {
  std::vector<int> used(probe.class_count(), 0);
  std::vector<Stage> stages;
  for (const ChainLink& link : chain) {
    const int slice = probe.classes()[link.cls].members[used[link.cls]++];
    stages.push_back({slice, link.begin, link.end});
  }
  return stages;
}

}  // namespace het::scheduler
