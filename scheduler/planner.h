// Makes the best plan for an instance, and says what it could prove.
//
// Throughput: bisects the bottleneck B over the times that a stage or transfer can really have. A
// beam search and a capacity bound close in on the optimum from both sides; then the exact search
// over multisets of slices (set_search.h) proves that the next smaller time is infeasible. The free
// order of slices makes the problem NP-hard: where the exact search does not fit the budget, the
// plan is the beam search's, with `optimal` false and its gap stated. Among the cuts of the order
// found, the one with the least latency is taken.
//
// Latency: a local search over orders of slices, each solved exactly, then the exact search over
// (layer, multiset of slices, last slice) to prove it or to better it.
//
// Pure: no clock, file, thread or device; the same instance gives the same plan. The budget counts
// work, not time. Safe to call from any number of threads.
#ifndef HET_SCHEDULER_PLANNER_H_
#define HET_SCHEDULER_PLANNER_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "scheduler/instance.h"
#include "scheduler/plan.h"

namespace het::scheduler {

struct PlannerOptions {
  // Work of all searches together; an expansion takes about 0.1 to 0.5 us for throughput, 1 to 5 us
  // for latency.
  int64_t max_expansions = 4'000'000;
  // Memory of one search's table.
  int64_t max_table_bytes = int64_t{128} << 20;
};

// InvalidArgument for an instance that Validate refuses. ResourceExhausted where no plan fits the
// memory; the message says which layer or how many bytes are short, or, where only the exact search
// could tell and the budget ended, that.
absl::StatusOr<Plan> MakePlan(const Instance& instance, const PlannerOptions& options = {});

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_PLANNER_H_
