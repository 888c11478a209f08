// HetPolicy: het's own placement. It places a job where it takes the least that later jobs could
// have used.
//
// A job on a state costs, in thousandths of a device,
//
//     1000 x (V(before) - V(after)) + n x (F(after) - F(before))
//
// F is the expected fragmentation for the next job (fragmentation.h), which sees which kinds of job
// no longer fit. V looks further: what the node's free devices can still bring until it is full.
// The worth w of each hole comes from the packing program's prices (pack_prices.h), to the power of
// 0.4: a hole left open now is filled later by a job that would else break a whole device, so a
// part is worth more than its average price. The jobs that
// fill a hole at that worth also need cores and memory; taken in order of worth, the k-th hole is
// filled if the sum of what the first k need fits what the node has. With needs independent and the
// sum taken as normal,
//
//     V = sum over holes k of  w_k x P(cores of fillers 1..k fit) x P(memory of fillers 1..k fit).
//
// So a core is dear where devices wait for it and free where none do, on every node by its own
// state; a hole that nothing fills is worth nothing; a fraction goes where it completes a device.
// Equal costs go to the best fit.
//
// V asks what fills devices, F what the next jobs find. F speaks for the next two jobs (n), for
// three where the jobs seen ask for more cores per device than the fleet has: there cores run out
// first and V sees too little.
//
// Of jobs that wait (window.h) the one goes first that wastes least beyond the compute it puts to
// use: of devices its packing price, of cores, as far as those run out first, what the jobs seen
// bring per core.
//
// It learns: costs follow the jobs that Observe saw, taken up each time their number has doubled,
// and do not know what is still to come, nor how much.
#ifndef HET_SCHEDULER_FLEET_HET_POLICY_H_
#define HET_SCHEDULER_FLEET_HET_POLICY_H_

#include <array>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/fleet/fragmentation.h"
#include "scheduler/fleet/pack_prices.h"
#include "scheduler/fleet/policy.h"

namespace het::fleet {

class HetPolicy final : public Policy {
 public:
  // `nodes`: the fleet, for its cores per device; `known`: a demand to begin with.
  explicit HetPolicy(const std::vector<NodeSpec>& nodes, const std::vector<Demand>& known = {});

  absl::string_view name() const override { return "het"; }
  void Observe(const JobSpec& spec) override;
  uint64_t version() const override { return version_; }
  Choice Evaluate(const NodeState& state, const JobSpec& spec) const override;
  // By its packing price alone: what such jobs spoil on the whole, wherever this one goes. By cost,
  // jobs that want many cores would wait instead of those that spoil devices.
  double Waste(const JobSpec& spec, const Choice& choice) const override;
  std::string Explain(const NodeState& state, const JobSpec& spec,
                      const Choice& choice) const override;

  // V, in devices.
  double Prospect(const NodeState& state) const;
  double FragmentationOf(const NodeState& state) const { return fragmentation_.Of(state); }

 private:
  // What fills a hole at its worth: mean and variance of what it needs. Cores, MiB.
  struct Filler {
    double worth = 0;
    double cpu = 0, cpu_variance = 0;
    double memory = 0, memory_variance = 0;
  };
  void Rebuild();

  absl::flat_hash_map<JobSpec, size_t> index_;
  std::vector<Demand> seen_;
  uint64_t arrivals_ = 0;
  uint64_t next_rebuild_ = 1;
  uint64_t version_ = 0;
  double fleet_cpu_ = 0, fleet_milli_ = 0;
  double milli_per_core_ = 0;  // that the jobs seen bring, per thousandth of a core
  double core_scarcity_ = 0;   // 0: devices run out first, 1: cores do
  double next_jobs_ = 1;       // that F speaks for
  Fragmentation fragmentation_;
  PackPrices prices_;
  std::array<Filler, kWholeDevice + 1> fillers_{};
};

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_HET_POLICY_H_
