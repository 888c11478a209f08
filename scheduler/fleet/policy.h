// Policy: which node, and which of its devices, a job goes to.
//
// A policy gives a cost to a job on a node's state; the placer (placer.h) takes the least. Costs
// depend on the state and the job alone, so they are computed once per kind of node. A policy that
// learns from arrivals raises version() when its costs change.
//
// The policies, all over the same states:
//   random        any node that fits, any device that fits
//   dot-product   least aligned with what the job asks for (Tetris, SIGCOMM 2014), as the openb
//   study
//                 runs it: one minus the product of free and asked for, over cores and devices
//   clustering    nodes that hold jobs of the same shape first, then untouched ones (Gandiva)
//   packing       shared devices first, then free ones of used nodes, then untouched nodes
//   best-fit      least left over, half cores, half devices
//   fgd           the steepest descent of expected fragmentation (Weng et al., ATC 2023), with its
//                 published rounding: int(100 x sigmoid(difference / 1000)), ties by best fit
//   het           see het_policy.h
//
// Pure, deterministic. Not thread-safe.
#ifndef HET_SCHEDULER_FLEET_POLICY_H_
#define HET_SCHEDULER_FLEET_POLICY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/fleet/node_state.h"

namespace het::fleet {

struct Choice {
  double cost = 0;       // in thousandths of a device for fgd and het, else without a unit
  DeviceSet places = 0;  // devices by their place in the state
};

// How often a kind of job is asked for.
struct Demand {
  JobSpec spec;
  double weight = 0;
};

class Policy {
 public:
  virtual ~Policy() = default;
  virtual absl::string_view name() const = 0;
  // States must tell apart which shapes of job a node holds.
  virtual bool tracks_affinity() const { return false; }
  // The placer draws a node that fits, and a device, by lot.
  virtual bool draws() const { return false; }
  // Among nodes of equal cost the first of the list has it, as in the published runs; otherwise a
  // node of the state that came first.
  virtual bool takes_first_node() const { return false; }
  // A job came in, placed or not.
  virtual void Observe(const JobSpec&) {}
  virtual uint64_t version() const { return 0; }
  // The state fits the job.
  virtual Choice Evaluate(const NodeState& state, const JobSpec& spec) const = 0;
  // What a choice wastes beyond the compute that it puts to use, in thousandths of a device: of
  // jobs that wait, the one that wastes least goes first (window.h).
  virtual double Waste(const JobSpec& spec, const Choice& choice) const {
    return choice.cost - static_cast<double>(spec.TotalMilli());
  }
  // Why a choice costs what it costs, in words.
  virtual std::string Explain(const NodeState& state, const JobSpec& spec,
                              const Choice& choice) const;
};

// The names MakePolicy knows, in the order of the list above.
const std::vector<absl::string_view>& PolicyNames();

// `expected`: the workload that fgd is told (the published runs give it the whole list); het learns
// its own. InvalidArgument names the policies there are.
absl::StatusOr<std::unique_ptr<Policy>> MakePolicy(absl::string_view name,
                                                   const std::vector<NodeSpec>& nodes,
                                                   const std::vector<Demand>& expected);

// Left over after placing, 0 to 1: half cores over 128, half devices over 8 (openb's largest).
double LeftOver(const NodeState& state, const JobSpec& spec);

// Every choice of devices that leaves a different state: one per different free device for a job
// on one device, the tightest for others. At most kMaxDevices.
class DeviceChoices {
 public:
  DeviceChoices(const NodeState& state, const JobSpec& spec);
  const DeviceSet* begin() const { return choices_; }
  const DeviceSet* end() const { return choices_ + count_; }

 private:
  DeviceSet choices_[kMaxDevices];
  int count_ = 0;
};

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_POLICY_H_
