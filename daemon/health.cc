#include "daemon/health.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace het::daemon {
namespace {

constexpr char kSimulated[] = "simulated";

}  // namespace

Health::Health(uv_loop_t* loop, Options options, Discovery& discovery,
               std::function<void()> on_change)
    : options_(std::move(options)),
      discovery_(discovery),
      on_change_(std::move(on_change)),
      machine_(loop, options_.machine),
      monitor_(
          loop, options_.monitor,
          {[this](const std::string& backend, const std::vector<Telemetry>& samples) {
             OnSample(backend, samples);
           },
           [this](const std::string& backend, const std::string& why) { OnFailure(backend, why); },
           [this](const std::string& backend) { OnReturn(backend); }}) {
  uv_timer_init(loop, &bus_timer_);
  bus_timer_.data = this;
}

void Health::Start() {
  machine_.Read([this] {
    if (!stopped_) on_change_();
  });
  fingerprint_ = Fingerprint(options_.bus_root);
  uv_timer_start(
      &bus_timer_, [](uv_timer_t* timer) { static_cast<Health*>(timer->data)->LookAtBus(); },
      options_.bus_ms, options_.bus_ms);
}

void Health::Stop() {
  if (std::exchange(stopped_, true)) return;
  monitor_.Stop();
  uv_close(reinterpret_cast<uv_handle_t*>(&bus_timer_), nullptr);
}

void Health::LookAtBus() {
  std::string now = Fingerprint(options_.bus_root);
  if (now == fingerprint_) return;
  fingerprint_ = std::move(now);
  Log().info("devices came or went: looking again");
  machine_.Read([this] {
    if (!stopped_) discovery_.Scan();
  });
}

void Health::OnScanned(const std::vector<DeviceInfo>& devices) {
  if (stopped_) return;
  known_.clear();
  // One that is listed as lost is not known: when the sensors tell of it again, it is back.
  for (const DeviceInfo& device : devices) {
    if (device.state == DeviceState::kOk) known_[device.backend].insert(device.uuid);
  }
  for (const ProbeResult& result : discovery_.results()) {
    if (!result.unavailable.empty() || result.backend == kSimulated) continue;
    if (result.failure.empty()) failures_.erase(result.backend);
    monitor_.Watch(result.backend, !result.failure.empty());
  }
}

void Health::Apply(std::vector<DeviceInfo>& devices) const {
  PlaceDevices(machine_.topology(), devices);
  for (DeviceInfo& device : devices) {
    if (device.state != DeviceState::kOk) continue;
    const auto fault = faults_.find(device.uuid);
    const auto failure = failures_.find(device.backend);
    if (fault != faults_.end()) {
      device.state = DeviceState::kDegraded;
      device.reason = fault->second;
      device.remedy =
          "the kernel's log says more; it is used again when its sensors say that it is well";
    } else if (failure != failures_.end()) {
      device.state = DeviceState::kDegraded;
      device.reason = failure->second;
      device.remedy = "it is used again when its driver answers";
    }
  }
}

void Health::OnSample(const std::string& backend, const std::vector<Telemetry>& samples) {
  bool changed = false;
  std::set<std::string> told;
  for (const Telemetry& sample : samples) {
    told.insert(sample.uuid);
    const auto known = faults_.find(sample.uuid);
    if (sample.fault.empty() && known != faults_.end()) {
      Log().info("device {} is well again", sample.uuid);
      faults_.erase(known);
      changed = true;
    } else if (!sample.fault.empty() && known == faults_.end()) {
      Log().warn("device {}: {}", sample.uuid, sample.fault);
      faults_[sample.uuid] = sample.fault;
      changed = true;
    }
  }
  // Of two backends that have one device the inventory lists it once: who has it is no matter.
  const bool all_known = std::all_of(told.begin(), told.end(), [this](const std::string& uuid) {
    return std::any_of(known_.begin(), known_.end(),
                       [&uuid](const auto& entry) { return entry.second.count(uuid) > 0; });
  });
  const std::set<std::string>& own = known_[backend];
  const bool all_there = std::includes(told.begin(), told.end(), own.begin(), own.end());
  if (all_known && all_there) {
    asked_.erase(backend);
  } else if (asked_[backend] != told) {
    Log().info("the devices of backend {} changed: looking again", backend);
    asked_[backend] = std::move(told);
    discovery_.Scan();
  }
  if (changed) {
    on_change_();
    // A device that is well again may have been degraded when it was listed.
    discovery_.Scan();
  }
}

void Health::OnFailure(const std::string& backend, const std::string& why) {
  failures_[backend] = why;
  on_change_();
}

void Health::OnReturn(const std::string& backend) {
  failures_.erase(backend);
  discovery_.Scan();
}

std::optional<double> Health::PowerWatts(const std::string& uuid) const {
  const auto sample = monitor_.latest().find(uuid);
  if (sample == monitor_.latest().end()) return std::nullopt;
  return sample->second.power_watts;
}

std::vector<Json> Health::TelemetryRows(const std::vector<DeviceInfo>& devices) const {
  std::vector<Json> rows;
  for (const DeviceInfo& device : devices) {
    const auto sample = monitor_.latest().find(device.uuid);
    if (sample == monitor_.latest().end()) continue;
    Json row = ToJson(sample->second);
    row["name"] = device.name;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace het::daemon
