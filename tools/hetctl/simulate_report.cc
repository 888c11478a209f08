// The allocation report of a simulated fleet, through the same library as hetd's.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "report/rollup.h"
#include "scheduler/fleet/node_state.h"
#include "tools/hetctl/simulate.h"

namespace het::hetctl {
namespace {

using fleet::DeviceFree;
using fleet::JobSpec;
using fleet::NodeState;

constexpr double kHour = 3600;
constexpr double kMostDeviceHours = 2e6;
constexpr uint64_t kKibPerMib = 1024;
// Of a device whose memory the trace does not tell: then memory goes with compute.
constexpr uint64_t kNominalKib = 1024;

struct Change {
  double at_s = 0;
  int stay = -1;    // begins or ends
  int outage = -1;  // or this
  bool begins = false;
};

// One node's changes in the order of time, ends before begins.
class NodeReplay {
 public:
  NodeReplay(const fleet::NodeSpec& spec, const fleet::SimulatorResult& result,
             const fleet::Names& tenants, const std::vector<JobSpec>& kinds)
      : spec_(spec), result_(result), tenants_(tenants), kinds_(kinds) {
    state_ = fleet::EmptyState(spec);
    failed_.resize(static_cast<size_t>(spec.devices), false);
    hours_.resize(failed_.size());
  }

  // Rows of all devices by hour.
  void Run(std::vector<Change> changes, double begin_s, double end_s, uint32_t first_device,
           std::vector<report::Row>& rows) {
    std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
      return std::tie(a.at_s, a.begins, a.stay, a.outage) <
             std::tie(b.at_s, b.begins, b.stay, b.outage);
    });
    double now_s = begin_s;
    const auto advance = [&](double to_s) {
      while (now_s < to_s) {
        const double hour_end = (std::floor(now_s / kHour) + 1) * kHour;
        const double until = std::min(to_s, hour_end);
        Sample(now_s, until);
        now_s = until;
        if (now_s == hour_end) Close(hour_end - kHour, first_device, rows);
      }
    };
    for (const Change& change : changes) {
      advance(std::min(change.at_s, end_s));
      Apply(change);
    }
    advance(end_s);
    if (std::fmod(now_s, kHour) != 0) Close(std::floor(now_s / kHour) * kHour, first_device, rows);
  }

 private:
  uint64_t MemoryKib() const {
    return spec_.device_memory_mib > 0 ? static_cast<uint64_t>(spec_.device_memory_mib) * kKibPerMib
                                       : kNominalKib;
  }
  uint64_t MemoryKib(const JobSpec& job) const {
    if (spec_.device_memory_mib > 0)
      return static_cast<uint64_t>(job.device_memory_mib) * kKibPerMib;
    return MemoryKib() * static_cast<uint64_t>(job.milli) /
           static_cast<uint64_t>(spec_.device_milli);
  }
  uint32_t Parts(int32_t milli) const {
    return static_cast<uint32_t>(static_cast<int64_t>(milli) * report::kWholeParts /
                                 spec_.device_milli);
  }

  void Apply(const Change& change) {
    if (change.outage >= 0) {
      failed_[static_cast<size_t>(result_.outages[static_cast<size_t>(change.outage)].device)] =
          change.begins;
      return;
    }
    const fleet::Stay& stay = result_.stays[static_cast<size_t>(change.stay)];
    const JobSpec& job = result_.jobs[static_cast<size_t>(stay.job)].spec;
    const int sign = change.begins ? -1 : 1;
    state_.cpu_milli += sign * job.cpu_milli;
    state_.memory_mib += sign * job.memory_mib;
    for (int d = 0; d < spec_.devices; ++d) {
      if ((stay.devices >> d & 1) == 0) continue;
      state_.devices[d].milli += sign * job.milli;
      if (state_.device_memory_known) state_.devices[d].memory_mib += sign * job.device_memory_mib;
    }
    if (change.begins) {
      here_.insert(change.stay);
    } else {
      here_.erase(change.stay);
    }
  }

  // Whether any job of the load could have what is left of a device.
  bool SomeJobFits(const NodeState& state, int device) const {
    return std::any_of(kinds_.begin(), kinds_.end(), [&](const JobSpec& job) {
      return state.DeviceFits(device, job) && state.Fits(job);
    });
  }

  void Sample(double from_s, double to_s) {
    const auto ms = static_cast<int64_t>(std::llround(to_s * 1e3) - std::llround(from_s * 1e3));
    if (ms <= 0) return;
    NodeState usable = state_;
    for (int d = 0; d < spec_.devices; ++d) {
      if (failed_[static_cast<size_t>(d)]) usable.devices[d] = DeviceFree{};
    }
    for (int d = 0; d < spec_.devices; ++d) {
      report::DeviceSample sample;
      sample.interval_ms = ms;
      sample.memory_kib = MemoryKib();
      sample.healthy = !failed_[static_cast<size_t>(d)];
      const DeviceFree& free = usable.devices[d];
      if (free.milli > 0 && SomeJobFits(usable, d)) {
        sample.free_parts = Parts(free.milli);
        sample.free_kib = spec_.device_memory_mib > 0
                              ? static_cast<uint64_t>(free.memory_mib) * kKibPerMib
                              : MemoryKib() * static_cast<uint64_t>(free.milli) /
                                    static_cast<uint64_t>(spec_.device_milli);
      }
      for (const int number : here_) {
        const fleet::Stay& stay = result_.stays[static_cast<size_t>(number)];
        if ((stay.devices >> d & 1) == 0) continue;
        const fleet::Job& job = result_.jobs[static_cast<size_t>(stay.job)];
        report::HolderSample holder;
        holder.lease = holder.job = job.name;
        holder.tenant = tenants_[job.tenant];
        holder.share_parts = Parts(job.spec.milli);
        holder.memory_limit_kib = holder.memory_used_kib = MemoryKib(job.spec);
        holder.metered = false;  // all it holds counts as used
        sample.holders.push_back(std::move(holder));
      }
      hours_[static_cast<size_t>(d)].Add(sample);
    }
  }

  void Close(double hour_s, uint32_t first_device, std::vector<report::Row>& rows) {
    for (size_t d = 0; d < hours_.size(); ++d) {
      const auto device = static_cast<uint32_t>(first_device + d);
      for (report::Row& row : hours_[d].Rows(static_cast<int64_t>(hour_s), device))
        rows.push_back(std::move(row));
      hours_[d] = {};
    }
  }

  const fleet::NodeSpec& spec_;
  const fleet::SimulatorResult& result_;
  const fleet::Names& tenants_;
  const std::vector<JobSpec>& kinds_;
  NodeState state_;  // devices by number, unsorted
  std::vector<bool> failed_;
  std::set<int> here_;  // stays
  std::vector<report::DeviceHour> hours_;
};

}  // namespace

absl::StatusOr<report::Report> FleetReport(const fleet::Fleet& fleet, const fleet::Names& tenants,
                                           const fleet::SimulatorResult& result) {
  report::Report report;
  report.node = "simulated fleet";
  report.generator = absl::StrCat("het-fleet ", HET_VERSION, " (simulated)");
  report.from = static_cast<int64_t>(std::floor(result.begin_s / kHour) * kHour);
  report.to = static_cast<int64_t>(std::ceil(result.end_s / kHour) * kHour);
  double devices = 0;
  for (const fleet::NodeSpec& node : fleet.nodes) devices += node.devices;
  const double device_hours = devices * static_cast<double>(report.to - report.from) / kHour;
  if (device_hours > kMostDeviceHours) {
    return absl::InvalidArgumentError(absl::StrCat("--report: ", device_hours,
                                                   " device-hours, at most ", kMostDeviceHours,
                                                   " make a report; --until ends the run earlier"));
  }
  std::set<std::tuple<int, int, int, uint64_t, int, int>> seen;
  std::vector<JobSpec> kinds;
  for (const fleet::Job& job : result.jobs) {
    const JobSpec& s = job.spec;
    if (s.devices == 0) continue;
    if (seen.emplace(s.devices, s.milli, s.device_memory_mib, s.models, s.cpu_milli, s.memory_mib)
            .second)
      kinds.push_back(s);
  }
  // The smallest first: whether any fits is then answered soon.
  std::sort(kinds.begin(), kinds.end(), [](const JobSpec& a, const JobSpec& b) {
    return std::make_pair(a.TotalMilli(), a.cpu_milli) <
           std::make_pair(b.TotalMilli(), b.cpu_milli);
  });
  std::vector<std::vector<Change>> changes(fleet.nodes.size());
  for (size_t i = 0; i < result.stays.size(); ++i) {
    const fleet::Stay& stay = result.stays[i];
    if (stay.begin_s >= stay.end_s) continue;
    for (const bool begins : {true, false}) {
      changes[static_cast<size_t>(stay.node)].push_back(
          {begins ? stay.begin_s : stay.end_s, static_cast<int>(i), -1, begins});
    }
  }
  for (size_t i = 0; i < result.outages.size(); ++i) {
    const fleet::Outage& outage = result.outages[i];
    for (const bool begins : {true, false}) {
      changes[static_cast<size_t>(outage.node)].push_back(
          {begins ? outage.begin_s : outage.end_s, -1, static_cast<int>(i), begins});
    }
  }
  for (size_t n = 0; n < fleet.nodes.size(); ++n) {
    const fleet::NodeSpec& node = fleet.nodes[n];
    const auto first = static_cast<uint32_t>(report.devices.size());
    for (int d = 0; d < node.devices; ++d) {
      report::Device device;
      device.id = absl::StrCat(fleet.names[n], "/", d);
      device.name = fleet.models[node.model];
      device.vendor = "simulated";
      device.kind = "gpu";
      device.partition_mode = node.device_milli < fleet::kWholeDevice ? "cut" : "none";
      device.memory_kib = node.device_memory_mib > 0
                              ? static_cast<uint64_t>(node.device_memory_mib) * kKibPerMib
                              : kNominalKib;
      device.simulated = true;
      report.devices.push_back(std::move(device));
    }
    NodeReplay(node, result, tenants, kinds)
        .Run(std::move(changes[n]), result.begin_s, result.end_s, first, report.rows);
  }
  std::stable_sort(report.rows.begin(), report.rows.end(),
                   [](const report::Row& a, const report::Row& b) {
                     return std::tie(a.hour, a.device) < std::tie(b.hour, b.device);
                   });
  return report;
}

}  // namespace het::hetctl
