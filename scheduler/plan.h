// The answer to an Instance: which slice runs which layers, in which order, what it costs, and what
// is proven about it.
//
// A Plan is a plain value that refers to slices by their index in the instance it was made for; it
// stays meaningful as long as that instance's slices keep their order. Threads: const access is
// safe from any number of threads.
#ifndef HET_SCHEDULER_PLAN_H_
#define HET_SCHEDULER_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/instance.h"

namespace het::scheduler {

struct Stage {
  int slice = 0;  // index into Instance::slices
  int begin = 0;  // first layer
  int end = 0;    // one past the last layer
  bool operator==(const Stage&) const = default;
};

// What was proven: no plan has an objective of `infeasible_ms` or less. For an optimal plan that is
// its own objective times (1 - 1e-9); for another it lies below `lower_bound_ms`.
struct Certificate {
  double infeasible_ms = 0;
  std::string proof;       // how, in words: "exhaustive search", "capacity bound", ...
  int64_t expansions = 0;  // states the searches expanded
};

struct Plan {
  std::vector<Stage> stages;  // in pipeline order; stage i+1 begins where stage i ends
  double bottleneck_ms =
      0;  // the largest stage or transfer: one micro-batch leaves the full pipeline per this time
  double latency_ms = 0;  // the sum of all stages and transfers
  int groups_in_flight =
      1;  // micro-batches that keep the pipeline full: max(1, ceil(latency / bottleneck))
  bool optimal = false;       // of the instance's objective, proven
  double lower_bound_ms = 0;  // no plan has a smaller objective
  double gap = 0;      // objective / lower bound - 1; 0 when optimal, infinite when the bound is 0
  std::string solver;  // which search found the stages
  Certificate certificate;
};

// The plan's value of the instance's objective: bottleneck_ms or latency_ms.
double ObjectiveMs(const Instance& instance, const Plan& plan);

// A plan of these stages with the times and the groups in flight filled in and nothing proven.
// InvalidArgument where the stages do not cover all layers in order, are empty or use a slice
// twice; ResourceExhausted where a stage does not fit its slice's memory. `instance` is valid.
absl::StatusOr<Plan> PlanFromStages(const Instance& instance, std::vector<Stage> stages);

// Fills in optimal, lower_bound_ms, gap and the certificate's bound and words. An optimal plan is
// its own lower bound.
void StateProof(const Instance& instance, bool optimal, double lower_bound_ms, std::string proof,
                Plan& plan);

// {"stages":[{"slice":"a","begin":0,"end":17}],"bottleneck_ms":..,"optimal":true,"planning_ms":..}
// and, beyond these: "latency_ms", "objective", "groups_in_flight", "lower_bound_ms", "gap" (null
// when infinite), "solver", "certificate", and per stage "ms", "bytes" and "transfer_ms" (to the
// next stage). The caller measures `planning_ms`.
std::string PlanToJson(const Instance& instance, const Plan& plan, double planning_ms);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_PLAN_H_
