// The splits that other programs make, as controls for benchmarks: slices in the order they are
// listed, layers dealt out evenly, or by memory size. Neither looks at speed or links.
//
// Pure functions, safe from any thread.
#ifndef HET_SCHEDULER_NAIVE_SPLIT_H_
#define HET_SCHEDULER_NAIVE_SPLIT_H_

#include "absl/status/statusor.h"
#include "scheduler/instance.h"
#include "scheduler/plan.h"

namespace het::scheduler {

// Both deal out whole layers by rounding the shares' running sum; a slice whose share is below half
// a layer may get none. What does not fit a slice's memory goes to the next one, and what the last
// one cannot hold back to those before: then each slice, in order, is filled. ResourceExhausted
// where even that leaves layers over. `instance` is valid; the plan proves nothing.
absl::StatusOr<Plan> SplitEvenly(const Instance& instance);
absl::StatusOr<Plan> SplitByMemory(const Instance& instance);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_NAIVE_SPLIT_H_
