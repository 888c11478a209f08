#include "scheduler/fleet/policy.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "scheduler/fleet/fragmentation.h"
#include "scheduler/fleet/het_policy.h"

namespace het::fleet {
namespace {

// The largest node of the openb trace, by which its study scales scores.
constexpr double kLargestCpuMilli = 128'000;
constexpr double kLargestMilli = 8 * kWholeDevice;
// Published scores are whole numbers up to this.
constexpr double kMaxScore = 100;

class RandomPolicy final : public Policy {
 public:
  absl::string_view name() const override { return "random"; }
  bool draws() const override { return true; }
  Choice Evaluate(const NodeState& state, const JobSpec& spec) const override {
    return {0, TightestDevices(state, spec)};
  }
};

class BestFitPolicy final : public Policy {
 public:
  absl::string_view name() const override { return "best-fit"; }
  bool takes_first_node() const override { return true; }
  Choice Evaluate(const NodeState& state, const JobSpec& spec) const override {
    return {-std::floor((1 - LeftOver(state, spec)) * kMaxScore), TightestDevices(state, spec)};
  }
};

class DotProductPolicy final : public Policy {
 public:
  absl::string_view name() const override { return "dot-product"; }
  bool takes_first_node() const override { return true; }
  Choice Evaluate(const NodeState& state, const JobSpec& spec) const override {
    const double cpu = state.cpu_milli / kLargestCpuMilli * (spec.cpu_milli / kLargestCpuMilli);
    const double devices = static_cast<double>(state.FreeMilli()) / kLargestMilli *
                           (static_cast<double>(spec.TotalMilli()) / kLargestMilli);
    return {-std::floor((1 - (cpu + devices) / 2) * kMaxScore), TightestDevices(state, spec)};
  }
};

class ClusteringPolicy final : public Policy {
 public:
  absl::string_view name() const override { return "clustering"; }
  bool takes_first_node() const override { return true; }
  bool tracks_affinity() const override { return true; }
  Choice Evaluate(const NodeState& state, const JobSpec& spec) const override {
    if (spec.devices == 0) return {0, 0};
    const uint32_t shape = AffinityBit(spec);
    double band = 0;  // a node that holds other shapes only
    if (state.affinity == 0) band = 1;
    if ((state.affinity & shape) != 0) band = state.affinity == shape ? 3 : 2;
    const double fullness =
        std::floor(kMaxScore / 4 * (1 - static_cast<double>(state.FreeMilli()) / kLargestMilli));
    return {-(band * kMaxScore / 4 + fullness), TightestDevices(state, spec)};
  }
};

class PackingPolicy final : public Policy {
 public:
  absl::string_view name() const override { return "packing"; }
  bool takes_first_node() const override { return true; }
  Choice Evaluate(const NodeState& state, const JobSpec& spec) const override {
    if (spec.devices == 0) return {0, 0};
    const DeviceSet places = TightestDevices(state, spec);
    const int whole = state.WholeDevices();
    if (whole == state.device_count) return {-std::floor(kMaxScore / 3) + whole, places};
    int opened = 0;
    double shared_free = 0;
    for (int i = 0; i < state.device_count; ++i) {
      if ((places >> i & 1) == 0) continue;
      if (state.devices[i].milli == kWholeDevice) ++opened;
      shared_free += state.devices[i].milli * 100 / kWholeDevice;
    }
    if (opened > 0) return {-std::max(kMaxScore / 2 - opened, kMaxScore / 3), places};
    return {-std::max(kMaxScore - std::floor(shared_free / 10), kMaxScore / 2), places};
  }
};

class FgdPolicy final : public Policy {
 public:
  explicit FgdPolicy(const std::vector<Demand>& expected)
      : fragmentation_(expected, {.with_memory = false}) {}
  absl::string_view name() const override { return "fgd"; }
  Choice Evaluate(const NodeState& state, const JobSpec& spec) const override {
    const double before = fragmentation_.Of(state);
    Choice best;
    bool first = true;
    for (const DeviceSet places : DeviceChoices(state, spec)) {
      const double gain = before - fragmentation_.Of(WithJob(state, spec, places));
      const double score = std::floor(kMaxScore / (1 + std::exp(-gain / kWholeDevice)));
      if (!first && -score >= best.cost) continue;
      best = {-score, places};
      first = false;
    }
    best.cost += LeftOver(state, spec) / 2;  // below one point of score
    return best;
  }
  std::string Explain(const NodeState& state, const JobSpec& spec,
                      const Choice& choice) const override {
    return absl::StrFormat(
        "changes the expected fragmentation by %+.3f devices",
        (fragmentation_.Of(WithJob(state, spec, choice.places)) - fragmentation_.Of(state)) /
            kWholeDevice);
  }

 private:
  Fragmentation fragmentation_;
};

}  // namespace

std::string Policy::Explain(const NodeState&, const JobSpec&, const Choice& choice) const {
  return draws() ? "drawn by lot among the nodes that fit"
                 : absl::StrFormat("has the best score of its policy, %.1f", -choice.cost);
}

const std::vector<absl::string_view>& PolicyNames() {
  static const auto* const names = new std::vector<absl::string_view>{
      "random", "dot-product", "clustering", "packing", "best-fit", "fgd", "het"};
  return *names;
}

absl::StatusOr<std::unique_ptr<Policy>> MakePolicy(absl::string_view name,
                                                   const std::vector<NodeSpec>& nodes,
                                                   const std::vector<Demand>& expected) {
  if (name == "random") return std::make_unique<RandomPolicy>();
  if (name == "dot-product") return std::make_unique<DotProductPolicy>();
  if (name == "clustering") return std::make_unique<ClusteringPolicy>();
  if (name == "packing") return std::make_unique<PackingPolicy>();
  if (name == "best-fit") return std::make_unique<BestFitPolicy>();
  if (name == "fgd") return std::make_unique<FgdPolicy>(expected);
  if (name == "het") return std::make_unique<HetPolicy>(nodes);
  return absl::InvalidArgumentError(absl::StrCat(
      "no placement policy \"", name, "\"; there are: ", absl::StrJoin(PolicyNames(), ", ")));
}

double LeftOver(const NodeState& state, const JobSpec& spec) {
  return 0.5 * (state.cpu_milli - spec.cpu_milli) / kLargestCpuMilli +
         0.5 * static_cast<double>(state.FreeMilli() - spec.TotalMilli()) / kLargestMilli;
}

DeviceChoices::DeviceChoices(const NodeState& state, const JobSpec& spec) {
  if (spec.devices != 1) {
    choices_[count_++] = TightestDevices(state, spec);
    return;
  }
  for (int i = 0; i < state.device_count; ++i) {
    if (!state.DeviceFits(i, spec)) continue;
    if (i > 0 && state.devices[i] == state.devices[i - 1]) continue;
    choices_[count_++] = static_cast<DeviceSet>(1u << i);
  }
}

}  // namespace het::fleet
