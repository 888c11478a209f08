// Why no plan fits, in words a user can act on.
//
// Internal to scheduler/. Pure.
#ifndef HET_SCHEDULER_INFEASIBLE_H_
#define HET_SCHEDULER_INFEASIBLE_H_

#include "absl/status/status.h"
#include "scheduler/instance.h"
#include "scheduler/set_search.h"

namespace het::scheduler {

// ResourceExhausted for an instance without a plan. In this order of preference: a layer that fits
// no slice and by how much; all slices together too small and by how much; runs of whole layers
// that fit no arrangement, and how much more memory per slice would do. `proven` is false where the
// searches only failed to find a plan.
absl::Status ExplainInfeasible(const Instance& instance, bool proven, SearchBudget budget);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_INFEASIBLE_H_
