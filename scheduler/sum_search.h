// Chains with the smallest sum of stage and transfer costs: latency, or the bytes that a new plan
// moves.
//
// The cost of a stage is the sum of its layers' costs on its slice; runs are limited by `reach`, so
// that memory and a largest bottleneck need no word of their own here. Three searches share the
// problem: one for a given order of slices (polynomial, exact for that order), a local search over
// orders, and the exact search over multisets of slices.
//
// Internal to scheduler/. Pure; memory and work are bounded by the budget.
#ifndef HET_SCHEDULER_SUM_SEARCH_H_
#define HET_SCHEDULER_SUM_SEARCH_H_

#include <limits>
#include <vector>

#include "scheduler/set_search.h"
#include "scheduler/tick_model.h"

namespace het::scheduler {

inline constexpr double kNoChain = std::numeric_limits<double>::infinity();

struct SumProblem {
  int layers = 0;
  std::vector<std::vector<double>>
      prefix;  // per slice, layers + 1 entries: cost of the layers before i
  std::vector<std::vector<int>> reach;  // per slice, see TickModel::FillReach
  std::vector<std::vector<double>>
      links;                 // slices x slices, kNoChain where not permitted; empty: all 0
  std::vector<int64_t> phi;  // additive measure for capacity bounds, layers + 1 entries

  int slices() const { return static_cast<int>(prefix.size()); }
  double Link(int from, int to) const {
    return links.empty() || from == to ? 0.0 : links[from][to];
  }
};

struct SumChain {
  std::vector<Stage> stages;
  double cost = kNoChain;
};

// The cheapest chain whose slices appear in this order; slices may be left out. O(order^2 x
// layers).
SumChain BestInOrder(const SumProblem& problem, const std::vector<int>& order);

// Local search: moves one slice at a time within `order` while that helps, for about `operations`
// basic steps.
SumChain ImproveOrder(const SumProblem& problem, std::vector<int> order, int64_t operations);

struct SumProof {
  Verdict verdict =
      Verdict::kUnknown;   // kFeasible: `chain` is proven optimal; kInfeasible: there is no chain
  SumChain chain;          // the best known
  double lower_bound = 0;  // no chain costs less
};

// The exact search over (multiset of slice classes, last slice, layer), with `known` as the chain
// to beat.
SumProof ProveSum(const SumProblem& problem, SumChain known, SearchBudget& budget);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_SUM_SEARCH_H_
