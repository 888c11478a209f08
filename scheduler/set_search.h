// The exact answer to one Probe: dynamic programming over multisets of slice classes.
//
// For a multiset S and the group of the last slice it keeps the set of positions at which a chain
// over exactly S can end. A set of positions and not only the furthest one: where layers differ, a
// slice may be unable to take the layer at the furthest position although it could have begun
// earlier, and no other slice may be permitted to follow. States that cannot reach the end even
// with all unused slices at their best are not kept, which leaves few when the bottleneck is tight.
// Multisets are visited by size, so the plan found has the fewest stages of all plans within this
// bottleneck.
//
// Internal to scheduler/. Pure; memory and work are bounded by the budget.
#ifndef HET_SCHEDULER_SET_SEARCH_H_
#define HET_SCHEDULER_SET_SEARCH_H_

#include <cstdint>
#include <vector>

#include "scheduler/probe.h"

namespace het::scheduler {

// What all searches of one planning call may still spend. An expansion adds one slice to one
// multiset.
struct SearchBudget {
  int64_t expansions = 0;   // left
  int64_t table_bytes = 0;  // of one table, not used up
  int64_t spent = 0;        // expansions so far
};

enum class Verdict {
  kFeasible,
  kInfeasible,  // proven
  kUnknown,     // the budget ended first
};

struct SearchResult {
  Verdict verdict = Verdict::kUnknown;
  std::vector<Stage> stages;  // when feasible
};

SearchResult SetSearch(const Probe& probe, SearchBudget& budget);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_SET_SEARCH_H_
