// The overload experiment of the openb study: jobs come one by one, none leaves, and there are more
// than fit; what is left of the devices in the end is what placement stranded.
//
// Jobs are sorted by name and shuffled. Up to a given multiple of the fleet's devices, random ones
// are appended again (or, where the list is longer, random ones dropped). A job that fits nowhere
// when its turn comes is dropped.
//
// With a window of more than one, up to that many jobs wait and the one that wastes least goes next
// (window.h). A job that no longer fits is dropped from the window. No job is passed over by more
// than kPatience windows of arrivals.
//
// Pure; deterministic for a seed.
#ifndef HET_SCHEDULER_FLEET_OVERLOAD_H_
#define HET_SCHEDULER_FLEET_OVERLOAD_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/fleet/policy.h"
#include "scheduler/fleet/trace.h"

namespace het::fleet {

struct OverloadOptions {
  double arrival = 1.3;  // compute asked for over the fleet's
  int window = 1;
  uint64_t seed = 42;
};

struct OverloadResult {
  int64_t capacity_milli = 0;
  int64_t unallocated_milli = 0;
  int64_t cores_unallocated_milli = 0, cores_milli = 0;
  int64_t arrived = 0, placed = 0, refused = 0;
  // Jobs on several devices that were placed; those whose devices are linked, or on one NUMA node.
  int64_t multi = 0, multi_linked = 0, multi_one_numa = 0;
  int64_t evaluations = 0;
  // Unallocated milli on devices that are partly used, and on untouched ones.
  int64_t in_parts_milli = 0, in_wholes_milli = 0;
  double UnallocatedShare() const {
    return capacity_milli == 0
               ? 0
               : static_cast<double>(unallocated_milli) / static_cast<double>(capacity_milli);
  }
};

inline constexpr int kMaxWindow = 10'000;
inline constexpr int kPatience = 20;

// Indices into `jobs` in order of arrival.
std::vector<int> OverloadArrivals(const std::vector<Job>& jobs, int64_t capacity_milli,
                                  double arrival, uint64_t seed);

// InvalidArgument for a policy there is not, a fleet without devices, jobs that ask for none.
// `on_placed` (may be empty) is called after each decision with whether it placed the job and
// whether to go on: false ends the run, which then reports what it has.
absl::StatusOr<OverloadResult> RunOverload(const Fleet& fleet, const std::vector<Job>& jobs,
                                           absl::string_view policy, const OverloadOptions& options,
                                           const std::function<bool(bool placed)>& on_placed = {});

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_OVERLOAD_H_
