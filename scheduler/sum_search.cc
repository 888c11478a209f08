// The exact search of sum_search.h.
#include "scheduler/sum_search.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "scheduler/multiset_index.h"
#include "scheduler/row_table.h"

namespace het::scheduler {
namespace {

// Slices that are equal in cost, reach and links, and what a class of them can do at best.
struct SumClass {
  std::vector<int> members;
  int group = 0;         // classes whose links to all others are equal
  int64_t capacity = 0;  // phi of the largest run
  double entry = 0;      // cheapest transfer into it
  double rate = 0;       // least cost of a unit of phi beyond the cheapest slice's
  int count() const { return static_cast<int>(members.size()); }
};

bool Swappable(const SumProblem& problem, int a, int b) {
  if (problem.prefix[a] != problem.prefix[b] || problem.reach[a] != problem.reach[b]) return false;
  if (problem.links.empty()) return true;
  if (problem.Link(a, b) != problem.Link(b, a)) return false;
  for (int x = 0; x < problem.slices(); ++x) {
    if (x == a || x == b) continue;
    if (problem.Link(a, x) != problem.Link(b, x) || problem.Link(x, a) != problem.Link(x, b))
      return false;
  }
  return true;
}

class SumSearch {
 public:
  SumSearch(const SumProblem& problem, SumChain known, SearchBudget& budget)
      : problem_(problem), budget_(budget), width_(problem.layers + 1), best_(std::move(known)) {
    FillCheapest();
    Classify();
    FillCapacities();
  }

  SumProof Run() {
    std::vector<int> counts;
    for (const SumClass& c : classes_) counts.push_back(c.count());
    index_.emplace(counts);
    table_.emplace(RowCount() * width_, kNoChain);
    starts_.resize(width_);
    const double lower = std::min(RootBound(), best_.cost);
    if (!index_->fits()) return {Verdict::kUnknown, best_, lower};
    Add(0, new_bound_);
    for (size_t s = 0; s < multisets_.size(); ++s) {
      if (!Expand(static_cast<int>(s))) {
        return {Verdict::kUnknown, Best(), std::min(lower, Best().cost)};
      }
    }
    const SumChain best = Best();
    if (best.cost == kNoChain) return {Verdict::kInfeasible, best, kNoChain};
    return {Verdict::kFeasible, best, best.cost};
  }

 private:
  static constexpr int kRoot = 0;
  struct Goal {
    int state = -1;
    int cls = 0;
  };

  int Representative(int cls) const { return classes_[cls].members[0]; }

  // rest_cheapest_[i]: the layers from i on, each at its cheapest slice.
  void FillCheapest() {
    cheapest_.assign(problem_.layers, kNoChain);
    for (int v = 0; v < problem_.slices(); ++v) {
      for (int i = 0; i < problem_.layers; ++i) {
        if (problem_.reach[v][i] <= i) continue;
        cheapest_[i] = std::min(cheapest_[i], problem_.prefix[v][i + 1] - problem_.prefix[v][i]);
      }
    }
    rest_cheapest_.assign(width_, 0);
    for (int i = problem_.layers - 1; i >= 0; --i)
      rest_cheapest_[i] = rest_cheapest_[i + 1] + cheapest_[i];
  }

  void Classify() {
    for (int v = 0; v < problem_.slices(); ++v) {
      SumClass* home = nullptr;
      for (SumClass& c : classes_) {
        if (home == nullptr && Swappable(problem_, c.members[0], v)) home = &c;
      }
      if (home == nullptr) home = &classes_.emplace_back();
      home->members.push_back(v);
    }
    const int count = static_cast<int>(classes_.size());
    for (int u = 0; u < count; ++u) {
      std::vector<double> row(count);
      for (int v = 0; v < count; ++v) row[v] = problem_.Link(Representative(u), Representative(v));
      if (classes_[u].count() > 1) {
        row[u] = problem_.Link(classes_[u].members[0], classes_[u].members[1]);
      } else if (count > 1) {
        row[u] = row[u == 0 ? 1 : 0];  // never used; this value lets equal links share a group
      }
      const auto it = std::find(group_links_.begin(), group_links_.end(), row);
      classes_[u].group = static_cast<int>(it - group_links_.begin());
      if (it == group_links_.end()) group_links_.push_back(std::move(row));
    }
  }

  void FillCapacities() {
    const int count = static_cast<int>(classes_.size());
    for (int v = 0; v < count; ++v) {
      SumClass& c = classes_[v];
      const std::vector<int>& reach = problem_.reach[Representative(v)];
      for (int i = 0; i < problem_.layers; ++i) {
        c.capacity = std::max(c.capacity, problem_.phi[reach[i]] - problem_.phi[i]);
      }
      c.entry = kNoChain;
      for (int u = 0; u < count; ++u) {
        if (u == v && c.count() == 1) continue;
        c.entry = std::min(c.entry, group_links_[classes_[u].group][v]);
      }
      if (c.entry == kNoChain) c.entry = 0;  // nobody may hand to it: no transfer to count
    }
  }

  // With transfers a class's rate includes its entry, spread over all that it can hold.
  void FillRates(bool with_transfers) {
    for (SumClass& c : classes_) {
      const std::vector<int>& reach = problem_.reach[c.members[0]];
      const std::vector<double>& prefix = problem_.prefix[c.members[0]];
      c.rate = kNoChain;
      for (int i = 0; i < problem_.layers; ++i) {
        const int64_t phi = problem_.phi[i + 1] - problem_.phi[i];
        if (reach[i] <= i || phi == 0) continue;
        c.rate =
            std::min(c.rate, (prefix[i + 1] - prefix[i] - cheapest_[i]) / static_cast<double>(phi));
      }
      c.rate = std::max(c.rate, 0.0);
      if (with_transfers && c.capacity > 0) c.rate += c.entry / static_cast<double>(c.capacity);
    }
    by_rate_.resize(classes_.size());
    std::iota(by_rate_.begin(), by_rate_.end(), 0);
    std::sort(by_rate_.begin(), by_rate_.end(),
              [this](int a, int b) { return classes_[a].rate < classes_[b].rate; });
  }

  // A bound on all chains. The first stage has no transfer into it, so the bound that counts one
  // for every stage is too high by at most the costliest.
  double RootBound() {
    std::vector<int> all;
    double costliest = 0;
    for (const SumClass& c : classes_) {
      all.push_back(c.count());
      costliest = std::max(costliest, c.entry);
    }
    new_bound_.resize(width_);
    FillRates(false);
    FillBound(all, new_bound_);
    const double without = new_bound_[0];
    FillRates(true);
    FillBound(all, new_bound_);
    return std::max(without, new_bound_[0] - costliest);
  }

  // bound[i]: no set of `remaining` slices covers the layers from i on for less. Each layer costs
  // at least its cheapest slice's time; what the slices cost beyond that, transfers to them
  // included, is filled in by rate up to what each can hold.
  void FillBound(const std::vector<int>& remaining, std::vector<double>& bound) const {
    size_t next = 0;
    double room = 0;    // phi left at by_rate_[next - 1]
    double excess = 0;  // so far
    double rate = 0;
    bound[problem_.layers] = 0;
    for (int i = problem_.layers - 1; i >= 0; --i) {
      double need = static_cast<double>(problem_.phi[i + 1] - problem_.phi[i]);
      while (need > 0) {
        if (room <= 0) {
          if (next == by_rate_.size()) {
            std::fill(bound.begin(), bound.begin() + i + 1, kNoChain);
            return;
          }
          const SumClass& c = classes_[by_rate_[next]];
          room = static_cast<double>(c.capacity) * remaining[by_rate_[next]];
          rate = c.rate;
          ++next;
          continue;
        }
        const double taken = std::min(need, room);
        excess += taken * rate;
        need -= taken;
        room -= taken;
      }
      bound[i] = rest_cheapest_[i] + excess;
    }
  }

  // One row of costs per group and one of bounds.
  size_t RowCount() const { return group_links_.size() + 1; }
  double* Row(int state, size_t row) { return (*table_)[state] + row * width_; }

  int Add(uint64_t multiset, const std::vector<double>& bound) {
    multisets_.push_back(multiset);
    table_->Add();
    const int state = static_cast<int>(multisets_.size()) - 1;
    std::copy(bound.begin(), bound.end(), Row(state, RowCount() - 1));
    return state;
  }

  // starts_[i]: the cheapest chain over exactly this state's slices that ends at i, with the
  // transfer to `cls`.
  void FillStarts(int state, int cls) {
    std::fill(starts_.begin(), starts_.end(), kNoChain);
    if (state == kRoot) {
      starts_[0] = 0;
      return;
    }
    for (size_t g = 0; g < group_links_.size(); ++g) {
      const double link = group_links_[g][cls];
      if (link == kNoChain) continue;
      const double* row = Row(state, g);
      for (int i = 1; i < problem_.layers; ++i) starts_[i] = std::min(starts_[i], row[i] + link);
    }
  }

  // A little slack, so that rounding cannot cut the optimum off.
  bool Hopeless(double cost, double rest) const { return cost + rest > best_.cost * (1 + 1e-12); }

  bool Expand(int state) {
    for (int cls = 0; cls < static_cast<int>(classes_.size()); ++cls) {
      if (index_->Used(multisets_[state], cls) == classes_[cls].count()) continue;
      if (budget_.expansions <= 0) return false;
      --budget_.expansions;
      ++budget_.spent;
      FillStarts(state, cls);
      if (!Append(state, cls)) return false;
    }
    return true;
  }

  bool Append(int state, int cls) {
    const uint64_t multiset = multisets_[state] + index_->stride(cls);
    int target = index_->Find(multiset);
    if (target < 0) {
      std::vector<int> remaining(classes_.size());
      for (size_t c = 0; c < classes_.size(); ++c) {
        remaining[c] = classes_[c].count() - index_->Used(multiset, static_cast<int>(c));
      }
      new_bound_.resize(width_);
      FillBound(remaining, new_bound_);
    }
    const std::vector<double>& prefix = problem_.prefix[Representative(cls)];
    const std::vector<int>& reach = problem_.reach[Representative(cls)];
    const size_t group = classes_[cls].group;
    const double* bound = target >= 0 ? Row(target, RowCount() - 1) : new_bound_.data();
    window_.clear();
    size_t front = 0;
    for (int end = 1; end <= problem_.layers; ++end) {
      const int start = end - 1;
      if (starts_[start] < kNoChain && reach[start] >= end) {
        const double value = starts_[start] - prefix[start];
        while (window_.size() > front &&
               starts_[window_.back()] - prefix[window_.back()] >= value) {
          window_.pop_back();
        }
        window_.push_back(start);
      }
      while (front < window_.size() && reach[window_[front]] < end) ++front;
      if (front == window_.size()) continue;
      const double cost = starts_[window_[front]] - prefix[window_[front]] + prefix[end];
      if (end == problem_.layers) {
        if (cost < best_.cost) {
          best_ = {{}, cost};
          goal_ = {state, cls};
        }
        continue;
      }
      if (Hopeless(cost, bound[end])) continue;
      if (target < 0) {
        if (table_->WouldExceed(budget_.table_bytes)) return false;
        target = Add(multiset, new_bound_);
        index_->Slot(multiset) = target;
        bound = Row(target, RowCount() - 1);
      }
      double& kept = Row(target, group)[end];
      kept = std::min(kept, cost);
    }
    return true;
  }

  // The chain to return: the known one, or the goal's stages.
  SumChain Best() {
    if (goal_.state < 0) return best_;
    struct Visit {
      int cls, begin, end;
    };
    std::vector<Visit> visits;
    int state = goal_.state;
    int cls = goal_.cls;
    int end = problem_.layers;
    while (true) {
      const int begin = BestStart(state, cls, end).first;
      visits.push_back({cls, begin, end});
      if (state == kRoot) break;
      std::tie(state, cls) = Predecessor(state, cls, begin);
      end = begin;
    }
    std::vector<size_t> used(classes_.size(), 0);
    SumChain chain;
    chain.cost = best_.cost;
    for (auto it = visits.rbegin(); it != visits.rend(); ++it) {
      chain.stages.push_back({classes_[it->cls].members[used[it->cls]++], it->begin, it->end});
    }
    return chain;
  }

  // Where a last stage of `cls` up to `end` begins best, and that chain's cost.
  std::pair<int, double> BestStart(int state, int cls, int end) {
    const std::vector<double>& prefix = problem_.prefix[Representative(cls)];
    const std::vector<int>& reach = problem_.reach[Representative(cls)];
    FillStarts(state, cls);
    int best = 0;
    double cost = kNoChain;
    for (int i = 0; i < end; ++i) {
      if (reach[i] < end || starts_[i] == kNoChain) continue;
      const double total = starts_[i] - prefix[i] + prefix[end];
      if (total < cost) {
        cost = total;
        best = i;
      }
    }
    return {best, cost};
  }

  // The class that took `state`'s chain to `end` before `next`, and the state before it.
  std::pair<int, int> Predecessor(int state, int next, int end) {
    std::pair<int, int> best = {kRoot, next};
    double least = kNoChain;
    for (int cls = 0; cls < static_cast<int>(classes_.size()); ++cls) {
      if (index_->Used(multisets_[state], cls) == 0) continue;
      const uint64_t rest = multisets_[state] - index_->stride(cls);
      const int previous = rest == 0 ? kRoot : index_->Find(rest);
      if (previous < 0) continue;
      const double cost =
          BestStart(previous, cls, end).second + group_links_[classes_[cls].group][next];
      if (cost < least) {
        least = cost;
        best = {previous, cls};
      }
    }
    return best;
  }

  const SumProblem& problem_;
  SearchBudget& budget_;
  const size_t width_;
  SumChain best_;
  Goal goal_;
  std::vector<double> cheapest_;
  std::vector<double> rest_cheapest_;
  std::vector<SumClass> classes_;
  std::vector<std::vector<double>> group_links_;  // per group, to each class
  std::vector<int> by_rate_;
  std::optional<MultisetIndex> index_;
  std::vector<uint64_t> multisets_;
  std::optional<RowTable<double>> table_;
  std::vector<double> starts_;
  std::vector<double> new_bound_;
  std::vector<int> window_;
};

}  // namespace

SumProof ProveSum(const SumProblem& problem, SumChain known, SearchBudget& budget) {
  return SumSearch(problem, std::move(known), budget).Run();
}

}  // namespace het::scheduler
