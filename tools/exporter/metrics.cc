#include "tools/exporter/metrics.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"

namespace het::exporter {
namespace {

using Labels = std::vector<std::pair<absl::string_view, std::string>>;

constexpr double kStaleSeconds = 10;
// Two looks closer than this say nothing about use.
constexpr int64_t kShortestNs = 100'000'000;

std::string Number(double value) { return absl::StrFormat("%.17g", value); }

std::string Text(const Labels& labels) {
  std::string text;
  for (const auto& [name, value] : labels) {
    absl::StrAppend(&text, text.empty() ? "{" : ",", name, "=\"",
                    absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}),
                    "\"");
  }
  return text.empty() ? "" : text + "}";
}

// One metric: its heading once, before its first series; none without series.
class Family {
 public:
  Family(std::string& out, absl::string_view name, absl::string_view type, absl::string_view help)
      : out_(out), name_(name), type_(type), help_(help) {}
  void Add(const Labels& labels, double value, absl::string_view suffix = "") {
    if (!begun_) {
      absl::StrAppend(&out_, "# HELP ", name_, " ", help_, "\n# TYPE ", name_, " ", type_, "\n");
    }
    begun_ = true;
    absl::StrAppend(&out_, name_, suffix, Text(labels), " ", Number(value), "\n");
  }

 private:
  std::string& out_;
  const absl::string_view name_, type_, help_;
  bool begun_ = false;
};

Labels Hardware(const DeviceInfo& device) {
  return {{"hw_id", device.uuid}, {"hw_vendor", device.vendor}, {"hw_model", device.name}};
}

Labels With(Labels labels, absl::string_view name, std::string value) {
  labels.emplace_back(name, std::move(value));
  return labels;
}

struct Allocated {
  uint64_t memory = 0;
  double compute = 0;
  uint64_t used_memory = 0;
  double used_ratio = -1;  // of the time since the look before
};

void RenderDevices(std::string& out, const Snapshot& snapshot,
                   const std::map<std::string, Allocated>& allocated) {
  // One metric after the other, as the format wants it; the devices are few.
  const auto each = [&](const char* name, const char* help, auto value) {
    Family family(out, name, "gauge", help);
    for (const protocol::DeviceRow& row : snapshot.devices) {
      if (row.info.memory_bytes == 0) continue;
      const auto found = allocated.find(row.info.uuid);
      const double number = value(row, found == allocated.end() ? Allocated() : found->second);
      if (number >= 0) family.Add(Hardware(row.info), number);
    }
  };
  Family status(out, "hw_status", "gauge", "1 for the state that the device is in.");
  for (const protocol::DeviceRow& row : snapshot.devices) {
    status.Add(With(Hardware(row.info), "state", std::string(DeviceStateName(row.info.state))), 1);
  }
  Family info(out, "het_device_info", "gauge", "What the device is; always 1.");
  for (const protocol::DeviceRow& row : snapshot.devices) {
    Labels labels = Hardware(row.info);
    labels.emplace_back("backend", row.info.backend);
    labels.emplace_back("kind", std::string(DeviceKindName(row.info.kind)));
    labels.emplace_back("driver_version", row.info.driver_version);
    labels.emplace_back("simulated", row.info.simulated ? "true" : "false");
    info.Add(labels, 1);
  }
  const auto bytes = [](uint64_t value) { return static_cast<double>(value); };
  each("hw_gpu_memory_limit_bytes", "Memory of the device.",
       [&](const auto& row, const auto&) { return bytes(row.info.memory_bytes); });
  each("hw_gpu_memory_usage_bytes", "Memory that processes of leases have reserved.",
       [&](const auto& row, const auto& has) {
         return row.info.state == DeviceState::kOk ? bytes(has.used_memory) : -1.0;
       });
  each("hw_gpu_utilization_ratio", "Device time that leases used, of the time since the last look.",
       [&](const auto& row, const auto& has) {
         return row.info.state == DeviceState::kOk ? has.used_ratio : -1.0;
       });
  each("het_device_memory_capacity_bytes", "Memory that slices are cut from.",
       [&](const auto& row, const auto&) { return bytes(row.info.memory_bytes); });
  each("het_device_memory_allocated_bytes", "Memory of the device's slices.",
       [&](const auto&, const auto& has) { return bytes(has.memory); });
  each("het_device_memory_unallocatable_bytes",
       "Memory that no slice has and none can have: the device is not usable, or the same silicon "
       "is "
       "leased under another name.",
       [&](const auto& row, const auto& has) {
         const uint64_t taken = has.memory + row.free.memory_bytes;
         return bytes(row.info.memory_bytes > taken ? row.info.memory_bytes - taken : 0);
       });
  each("het_device_compute_capacity_ratio", "Compute that slices are cut from.",
       [](const auto&, const auto&) { return 1.0; });
  each("het_device_compute_allocated_ratio", "Compute that is booked for slices.",
       [](const auto&, const auto& has) { return has.compute; });
  each("het_device_largest_free_memory_bytes", "The largest slice that fits now.",
       [&](const auto& row, const auto&) {
         return row.free.share.parts() == 0 ? 0.0 : bytes(row.free.memory_bytes);
       });
}

// What the devices' own sensors say; absent where they do not.
void RenderSensors(std::string& out, const Snapshot& snapshot) {
  std::map<std::string, const DeviceInfo*> devices;
  for (const protocol::DeviceRow& row : snapshot.devices) devices[row.info.uuid] = &row.info;
  const auto each = [&](const char* name, const char* type, const char* help, auto add) {
    Family family(out, name, type, help);
    for (const Telemetry& sample : snapshot.telemetry) {
      const auto device = devices.find(sample.uuid);
      if (device != devices.end()) add(family, sample, Hardware(*device->second));
    }
  };
  const auto number = [](auto member) {
    return [member](Family& family, const Telemetry& sample, const Labels& labels) {
      if (sample.*member) family.Add(labels, static_cast<double>(*(sample.*member)));
    };
  };
  each("hw_power_watts", "gauge", "What the device takes.", number(&Telemetry::power_watts));
  each("hw_energy_joules_total", "counter", "What it took since its driver was loaded.",
       number(&Telemetry::energy_joules));
  each("hw_temperature_celsius", "gauge", "Of the chip.", number(&Telemetry::temperature_celsius));
  each("hw_errors_total", "counter", "Memory errors since its driver was loaded.",
       [](Family& family, const Telemetry& sample, const Labels& labels) {
         for (const auto& [kind, count] : {std::pair("corrected", sample.corrected_errors),
                                           std::pair("uncorrected", sample.uncorrected_errors)}) {
           if (count) family.Add(With(labels, "hw_error_type", kind), static_cast<double>(*count));
         }
       });
  each("hw_throttled", "gauge", "1 for each reason why it runs slower now.",
       [](Family& family, const Telemetry& sample, const Labels& labels) {
         for (const std::string& reason : sample.throttle_reasons) {
           family.Add(With(labels, "reason", reason), 1);
         }
       });
}

void RenderHistogram(std::string& out, const Json& json, const char* name, const char* help) {
  const Json bounds = json.value("bounds", Json::array());
  const Json counts = json.value("counts", Json::array());
  if (counts.size() != bounds.size() + 1) return;
  Family family(out, name, "histogram", help);
  for (size_t i = 0; i < counts.size(); ++i) {
    const std::string bound =
        i < bounds.size() ? absl::StrFormat("%g", bounds[i].get<double>()) : std::string("+Inf");
    family.Add({{"le", bound}}, counts[i].get<double>(), "_bucket");
  }
  family.Add({}, json.value("sum", 0.0), "_sum");
  family.Add({}, counts.back().get<double>(), "_count");
}

void RenderStatistics(std::string& out, const Json& statistics) {
  Family requests(out, "het_lease_requests_total", "counter", "Requests about leases, by result.");
  for (const Json& entry : statistics.value("requests", Json::array())) {
    requests.Add({{"method", entry.value("method", "")}, {"result", entry.value("result", "")}},
                 entry.value("count", 0.0));
  }
  RenderHistogram(out, statistics.value("acquireSeconds", Json::object()),
                  "het_acquire_duration_seconds", "From a request for slices to its answer.");
  RenderHistogram(out, statistics.value("commitSeconds", Json::object()), "het_db_commit_seconds",
                  "Commits of the lease store.");
  Family reclaimed(out, "het_reconcile_actions_total", "counter",
                   "Leases that hetd took back, by reason.");
  for (const Json& entry : statistics.value("reclaimed", Json::array())) {
    reclaimed.Add({{"reason", entry.value("reason", "")}}, entry.value("count", 0.0));
  }
  Family age(out, "het_sample_age_seconds", "gauge", "Age of the last sample of usage.");
  if (statistics.contains("sampleAgeSeconds")) {
    age.Add({}, statistics["sampleAgeSeconds"].get<double>());
  }
}

}  // namespace

absl::StatusOr<Snapshot> Look(protocol::Client& client, int64_t now_ns) {
  Snapshot snapshot;
  snapshot.at_ns = now_ns;
  HET_ASSIGN_OR_RETURN(const protocol::DaemonInfo info, client.GetInfo());
  snapshot.version = info.version;
  HET_ASSIGN_OR_RETURN(snapshot.devices, client.ListDevices());
  HET_ASSIGN_OR_RETURN(snapshot.slices, client.ListSlices());
  auto statistics = client.Call("org.het.v1.GetStatistics", Json::object());
  // A hetd of the version before has none.
  if (!statistics.ok() && !absl::IsUnimplemented(statistics.status())) return statistics.status();
  if (statistics.ok()) snapshot.statistics = *std::move(statistics);
  auto pages = client.CallMore("org.het.v1.ListTelemetry", Json::object());
  if (!pages.ok() && !absl::IsUnimplemented(pages.status())) return pages.status();
  for (const Json& page : pages.ok() ? *pages : std::vector<Json>()) {
    for (const Json& row : page.value("telemetry", Json::array())) {
      auto telemetry = TelemetryFromJson(row);
      if (telemetry.ok()) snapshot.telemetry.push_back(*std::move(telemetry));
    }
  }
  return snapshot;
}

std::string Metrics::RenderDown() {
  std::string out;
  Family(out, "het_up", "gauge", "Whether hetd answers.").Add({}, 0);
  return out;
}

std::string Metrics::Render(const Snapshot& snapshot) {
  std::string out;
  Family(out, "het_up", "gauge", "Whether hetd answers.").Add({}, 1);
  Family(out, "het_build_info", "gauge", "The version of hetd; always 1.")
      .Add({{"version", snapshot.version}}, 1);

  const int64_t passed = snapshot.at_ns - last_ns_;
  const bool comparable = last_ns_ != 0 && passed >= kShortestNs;
  std::map<std::string, Allocated> allocated;
  std::map<std::string, Known> now;
  std::map<std::string, double> used_ratio;  // by lease
  for (const protocol::SliceRow& row : snapshot.slices) {
    Allocated& device = allocated[row.slice.device];
    device.memory += row.slice.memory_bytes;
    if (row.slice.policy != Policy::kBestEffort) device.compute += row.slice.share.fraction();
    device.used_memory += row.usage.memory_bytes;
    if (row.lease.empty()) continue;
    const auto before = leases_.find(row.lease);
    Known known = before == leases_.end() ? Known{row.usage.used_ns, snapshot.at_ns, snapshot.at_ns}
                                          : before->second;
    const uint64_t grown =
        row.usage.used_ns > known.used_ns ? row.usage.used_ns - known.used_ns : 0;
    if (grown > 0 || row.usage.in_flight > 0) known.last_active_ns = snapshot.at_ns;
    // Slices that have their part alone are timed by nobody.
    if (comparable && before != leases_.end() && row.slice.time_shared) {
      const double ratio = std::min(1.0, static_cast<double>(grown) / static_cast<double>(passed));
      used_ratio[row.lease] = ratio;
      device.used_ratio = std::min(1.0, std::max(0.0, device.used_ratio) + ratio);
    }
    if (comparable || before == leases_.end()) known.used_ns = row.usage.used_ns;
    now[row.lease] = known;
  }
  leases_ = std::move(now);
  if (comparable || last_ns_ == 0) last_ns_ = snapshot.at_ns;

  RenderDevices(out, snapshot, allocated);
  RenderSensors(out, snapshot);
  // What hetd itself has not looked at for long is not what is.
  const bool fresh = snapshot.statistics.value("sampleAgeSeconds", 0.0) <= kStaleSeconds;
  const auto each = [&](const char* name, const char* type, const char* help, auto add) {
    Family family(out, name, type, help);
    for (const protocol::SliceRow& row : snapshot.slices) {
      if (!row.lease.empty()) add(family, row, Labels{{"lease_id", row.lease}});
    }
  };
  each("het_lease_info", "gauge", "Whose lease it is and of what; always 1.",
       [](Family& family, const auto& row, Labels labels) {
         labels.emplace_back("tenant", row.tenant);
         labels.emplace_back("hw_id", row.slice.device);
         labels.emplace_back("policy", std::string(PolicyName(row.slice.policy)));
         labels.emplace_back("priority", std::string(PriorityName(row.slice.priority)));
         labels.emplace_back("isolation", std::string(IsolationName(row.slice.isolation)));
         labels.emplace_back("state", std::string(LeaseStateName(row.state)));
         family.Add(labels, 1);
       });
  each("het_lease_memory_limit_bytes", "gauge", "Memory that the lease may reserve.",
       [](Family& family, const auto& row, const Labels& labels) {
         family.Add(labels, static_cast<double>(row.slice.memory_bytes));
       });
  each("het_lease_memory_used_bytes", "gauge", "Memory that its processes have reserved.",
       [&](Family& family, const auto& row, const Labels& labels) {
         if (fresh) family.Add(labels, static_cast<double>(row.usage.memory_bytes));
       });
  each("het_lease_compute_limit_ratio", "gauge", "Its share of the device's compute.",
       [](Family& family, const auto& row, const Labels& labels) {
         family.Add(labels, row.slice.share.fraction());
       });
  each("het_lease_compute_used_ratio", "gauge",
       "Device time that it used, of the time since the last look.",
       [&](Family& family, const auto& row, const Labels& labels) {
         const auto ratio = used_ratio.find(row.lease);
         if (fresh && ratio != used_ratio.end()) family.Add(labels, ratio->second);
       });
  each("het_lease_held_seconds", "gauge", "How long this exporter has seen the lease.",
       [&](Family& family, const auto& row, const Labels& labels) {
         const int64_t ns = snapshot.at_ns - leases_.at(row.lease).first_seen_ns;
         family.Add(labels, static_cast<double>(ns) * 1e-9);
       });
  each("het_lease_idle_seconds", "gauge",
       "How long this exporter has seen it use no device time. Absent where nobody times it.",
       [&](Family& family, const auto& row, const Labels& labels) {
         if (!row.slice.time_shared || !fresh) return;
         const int64_t ns = snapshot.at_ns - leases_.at(row.lease).last_active_ns;
         family.Add(labels, static_cast<double>(ns) * 1e-9);
       });
  each("het_throttle_seconds_total", "counter", "Time that its processes waited, by reason.",
       [](Family& family, const auto& row, const Labels& labels) {
         for (const auto& [reason, ns] : row.usage.throttled_ns) {
           family.Add(With(labels, "reason", reason), static_cast<double>(ns) * 1e-9);
         }
       });
  RenderStatistics(out, snapshot.statistics);
  return out;
}

}  // namespace het::exporter
