// The plan after a slice is lost: nearly as good as the new optimum, and close to what already lies
// on the slices.
//
// Among the plans whose objective is at most (1 + slack) times the best one without the lost slice,
// take one that loads few bytes: a layer costs its weights and KV unless it stays where it was. The
// layers of the lost slice have to be loaded anywhere and count as well.
//
// Throughput: local search over orders, then the exact search over multisets of slices, which
// proves that no permitted plan loads less where it ends within the budget. Latency: a local search
// over orders for weighted sums of bytes and time, a heuristic.
//
// Pure; safe to call from any thread.
#ifndef HET_SCHEDULER_REPLAN_H_
#define HET_SCHEDULER_REPLAN_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "scheduler/instance.h"
#include "scheduler/plan.h"
#include "scheduler/planner.h"

namespace het::scheduler {

struct ReplanOptions {
  double slack = 0.05;
  PlannerOptions planner;
};

struct Replan {
  Plan plan;  // of the same instance; does not use the lost slice. Its lower bound is that of the
              // best such plan
  int64_t loaded_bytes = 0;       // weights and KV of the layers that are not where they were
  int64_t unavoidable_bytes = 0;  // of which on the lost slice
  bool fewest_bytes = false;      // proven within the slack
};

// `plan` is a plan of `instance`. InvalidArgument for a slice that does not exist, a plan that does
// not fit the instance or a negative slack; ResourceExhausted where the rest cannot hold the model.
absl::StatusOr<Replan> PlanAfterLoss(const Instance& instance, const Plan& plan, int lost_slice,
                                     const ReplanOptions& options = {});

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_REPLAN_H_
