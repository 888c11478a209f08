// Fragmentation: how much of a node's free devices the expected jobs could not use.
//
// For a state and a job drawn from the demand: all free devices when the job does not fit, else
// those that are too full for it; the expectation over the draw, in milli (Weng et al., "Beware of
// Fragmentation", ATC 2023, section 4). A job without devices can use none of them.
//
// Threads: const access is safe from any number of threads.
#ifndef HET_SCHEDULER_FLEET_FRAGMENTATION_H_
#define HET_SCHEDULER_FLEET_FRAGMENTATION_H_

#include <vector>

#include "scheduler/fleet/node_state.h"
#include "scheduler/fleet/policy.h"

namespace het::fleet {

class Fragmentation {
 public:
  struct Options {
    double coverage = 0.95;   // keep the most popular kinds up to this share of jobs...
    size_t step = 10;         // ...so many at a time
    bool with_memory = true;  // host and device memory count too; the published measure knows none
  };
  Fragmentation() = default;
  Fragmentation(const std::vector<Demand>& demand, const Options& options);

  double Of(const NodeState& state) const;

 private:
  // Kinds that differ in cores and memory only lie together.
  struct Group {
    int milli = 0;
    int devices = 0;
    int device_memory_mib = 0;
    uint64_t models = 0;
    size_t begin = 0, end = 0;
    float share = 0;
  };
  float without_devices_ = 0;  // share of jobs that use no device
  std::vector<Group> groups_;
  std::vector<int32_t> cpu_, memory_;
  std::vector<float> share_;
};

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_FRAGMENTATION_H_
