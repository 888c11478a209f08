#include "scheduler/fleet/het_policy.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace het::fleet {
namespace {

// A hole that is left open is not lost: a later job fills it that would else have taken from a
// device nobody uses. So a part is worth more than its share in the packing program, which is a
// whole device's average. The exponent was chosen on some of the openb lists; between 0.35 and 0.5
// it makes no difference beyond the seeds' spread (docs/fleet.md).
constexpr double kWorthExponent = 0.4;
// How many next jobs F speaks for. It holds V back from opening devices: below one, whole devices
// are gone before the jobs that need them come; between 1.5 and 3 the results are level.
constexpr double kNextJobs = 2;
// Where the jobs seen ask for more cores per device than the fleet has.
constexpr double kNextJobsWhereCoresAreScarce = 3;
// Cores asked for per device over those there are: from here on cores have a part in what a job
// wastes, from there on they alone count.
constexpr double kCoresSuffice = 0.9, kCoresRunOut = 1.1;
// Decides only between costs that are equal but for rounding.
constexpr double kBestFitTieBreak = 5;

// P(X <= room) for a normal X.
double ProbabilityWithin(double room, double mean, double variance) {
  if (variance < 1e-9) return room >= mean - 1e-9 ? 1 : 0;
  const double z = (room - mean) / std::sqrt(variance);
  if (z > 4) return 1;
  if (z < -4) return 0;
  return 0.5 * std::erfc(-z * M_SQRT1_2);
}

}  // namespace

HetPolicy::HetPolicy(const std::vector<NodeSpec>& nodes, const std::vector<Demand>& known) {
  for (const NodeSpec& node : nodes) {
    fleet_cpu_ += node.cpu_milli;
    fleet_milli_ += static_cast<double>(node.devices) * node.device_milli;
  }
  for (const Demand& demand : known) {
    const auto [found, fresh] = index_.try_emplace(demand.spec, seen_.size());
    if (fresh) seen_.push_back({demand.spec, 0});
    seen_[found->second].weight += demand.weight;
    arrivals_ += static_cast<uint64_t>(demand.weight);
  }
  if (!seen_.empty()) Rebuild();
}

void HetPolicy::Observe(const JobSpec& spec) {
  const auto [found, fresh] = index_.try_emplace(spec, seen_.size());
  if (fresh) seen_.push_back({spec, 0});
  seen_[found->second].weight += 1;
  if (++arrivals_ >= next_rebuild_) Rebuild();
}

void HetPolicy::Rebuild() {
  ++version_;
  next_rebuild_ = arrivals_ * 2;
  fragmentation_ = Fragmentation(seen_, {});
  std::vector<SizeDemand> sizes;
  double asked_cpu = 0, asked_milli = 0;
  for (const Demand& d : seen_) {
    asked_cpu += d.weight * d.spec.cpu_milli;
    asked_milli += d.weight * static_cast<double>(d.spec.TotalMilli());
    if (d.spec.devices > 0) sizes.push_back({d.spec.milli, d.weight * d.spec.devices});
  }
  milli_per_core_ = asked_cpu > 0 ? asked_milli / asked_cpu : 0;
  const double pressure =
      asked_milli > 0 && fleet_cpu_ > 0 ? asked_cpu * fleet_milli_ / (asked_milli * fleet_cpu_) : 0;
  core_scarcity_ =
      std::clamp((pressure - kCoresSuffice) / (kCoresRunOut - kCoresSuffice), 0.0, 1.0);
  next_jobs_ = pressure > 1 ? kNextJobsWhereCoresAreScarce : kNextJobs;
  prices_ = PackPrices(sizes);
  std::vector<std::pair<int, const Demand*>> order;
  for (const Demand& d : seen_) {
    if (d.spec.devices > 0) order.emplace_back(d.spec.milli, &d);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  fillers_.fill({});
  for (int hole = 1; hole <= kWholeDevice; ++hole) {
    const double worth = prices_.Worth(hole);
    if (worth < 1e-9) continue;
    double weight = 0, cpu = 0, cpu_square = 0, memory = 0, memory_square = 0;
    for (const auto& [milli, demand] : order) {
      if (milli > hole) break;
      const double price = prices_.Price(milli);
      // Only a job that is itself worth something fills a hole; what it leaves is filled in turn.
      if (price <= 1e-9 || price + prices_.Worth(hole - milli) < worth - 1e-6) continue;
      const JobSpec& spec = demand->spec;
      const Filler& rest = fillers_[hole - milli];
      const double w = demand->weight * spec.devices;
      const double c = spec.cpu_milli / 1000.0 / spec.devices + rest.cpu;
      const double m = static_cast<double>(spec.memory_mib) / spec.devices + rest.memory;
      weight += w;
      cpu += w * c;
      cpu_square += w * (c * c + rest.cpu_variance);
      memory += w * m;
      memory_square += w * (m * m + rest.memory_variance);
    }
    if (weight <= 0) continue;
    cpu /= weight;
    memory /= weight;
    fillers_[hole] = {std::pow(worth, kWorthExponent), cpu,
                      std::max(0.0, cpu_square / weight - cpu * cpu), memory,
                      std::max(0.0, memory_square / weight - memory * memory)};
  }
}

double HetPolicy::Prospect(const NodeState& state) const {
  double cpu = 0, cpu_variance = 0, memory = 0, memory_variance = 0, value = 0;
  const double cpu_free = state.cpu_milli / 1000.0;
  // Sorted fullest first, and worth grows with the hole: the last device is worth most.
  for (int i = state.device_count - 1; i >= 0; --i) {
    const Filler& filler = fillers_[state.devices[i].milli];
    if (filler.worth <= 0) break;
    cpu += filler.cpu;
    cpu_variance += filler.cpu_variance;
    memory += filler.memory;
    memory_variance += filler.memory_variance;
    const double fits = ProbabilityWithin(cpu_free, cpu, cpu_variance) *
                        ProbabilityWithin(state.memory_mib, memory, memory_variance);
    if (fits <= 0) break;
    value += filler.worth * fits;
  }
  return value;
}

Choice HetPolicy::Evaluate(const NodeState& state, const JobSpec& spec) const {
  const double prospect = Prospect(state);
  const double fragmentation = fragmentation_.Of(state);
  Choice best;
  bool first = true;
  for (const DeviceSet places : DeviceChoices(state, spec)) {
    const NodeState after = WithJob(state, spec, places);
    const double cost = kWholeDevice * (prospect - Prospect(after)) +
                        next_jobs_ * (fragmentation_.Of(after) - fragmentation);
    if (!first && cost >= best.cost) continue;
    best = {cost, places};
    first = false;
  }
  best.cost += kBestFitTieBreak * LeftOver(state, spec);
  return best;
}

double HetPolicy::Waste(const JobSpec& spec, const Choice& /*choice*/) const {
  const double packing = kWholeDevice * prices_.Price(spec.milli) * spec.devices;
  const double cores = milli_per_core_ * spec.cpu_milli;
  return (1 - core_scarcity_) * packing + core_scarcity_ * cores -
         static_cast<double>(spec.TotalMilli());
}

std::string HetPolicy::Explain(const NodeState& state, const JobSpec& spec,
                               const Choice& choice) const {
  const NodeState after = WithJob(state, spec, choice.places);
  return absl::StrFormat(
      "takes %.3f devices' worth of what later jobs could fill here (%.3f before, %.3f after), "
      "changes the expected fragmentation by %+.3f devices",
      Prospect(state) - Prospect(after), Prospect(state), Prospect(after),
      (fragmentation_.Of(after) - fragmentation_.Of(state)) / kWholeDevice);
}

}  // namespace het::fleet
