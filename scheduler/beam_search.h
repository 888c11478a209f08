// A fast answer to one Probe that can only say "here is a plan" or "none found".
//
// Chains grow by one stage at a time; of all chains of one length the `width` that waste least are
// kept: those from which the unused slices could cover the rest with the largest margin. It finds
// the optimum or nearly so at a small part of the exact search's cost, and is the search for
// instances too large for that.
//
// Internal to scheduler/. Pure and deterministic; memory is width x classes.
#ifndef HET_SCHEDULER_BEAM_SEARCH_H_
#define HET_SCHEDULER_BEAM_SEARCH_H_

#include <vector>

#include "scheduler/set_search.h"

namespace het::scheduler {

// kFeasible with stages, kInfeasible where the capacity bound proves it, else kUnknown.
SearchResult BeamSearch(const Probe& probe, int width, SearchBudget& budget);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_BEAM_SEARCH_H_
