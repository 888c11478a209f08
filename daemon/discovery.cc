#include "daemon/discovery.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/pci_devices.h"
#include "daemon/prober.h"

namespace het::daemon {
namespace {

constexpr char kSimulated[] = "simulated";

std::vector<std::string> NamesFrom(const absl::StatusOr<std::string>& output) {
  std::vector<std::string> names;
  if (!output.ok()) return names;
  const auto json = ParseJson(*output);
  if (!json.ok() || !json->contains("backends")) return names;
  for (const Json& name : (*json)["backends"]) {
    if (name.is_string()) names.push_back(name.get<std::string>());
  }
  return names;
}

}  // namespace

Discovery::Discovery(uv_loop_t* loop, Store& store, Options options, Events events)
    : loop_(loop), store_(store), options_(std::move(options)), events_(std::move(events)) {}

void Discovery::Scan(std::function<void()> done) {
  if (!done) done = [] {};
  if (scanning_) {
    next_.push_back(std::move(done));
    return;
  }
  waiting_.push_back(std::move(done));
  Begin();
}

void Discovery::Begin() {
  scanning_ = true;
  if (!options_.backends.empty()) return Enumerate(options_.backends);
  StartProbe(loop_, {options_.probe, {"--list"}, options_.limit_ms},
             [this](absl::StatusOr<std::string> output) {
               std::vector<std::string> names = NamesFrom(output);
               // A line in the listing says that nothing can be seen, and why.
               if (!output.ok())
                 Log().error("cannot look for devices: {}", output.status().ToString());
               if (names.empty()) names = {"cpu"};
               if (options_.profile.empty()) std::erase(names, kSimulated);
               Enumerate(std::move(names));
             });
}

std::vector<std::string> Discovery::Arguments(const std::string& backend, bool measure) const {
  std::vector<std::string> arguments = {"--backend", backend};
  if (backend == kSimulated && !options_.profile.empty()) {
    arguments.insert(arguments.end(), {"--profile", options_.profile});
  }
  if (measure) arguments.push_back("--measure");
  return arguments;
}

void Discovery::Enumerate(std::vector<std::string> backends) {
  results_.assign(backends.size(), {});
  outstanding_ = backends.size();
  for (size_t i = 0; i < backends.size(); ++i) results_[i].backend = backends[i];
  for (size_t i = 0; i < backends.size(); ++i) {
    StartProbe(loop_, {options_.probe, Arguments(backends[i], false), options_.limit_ms},
               [this, i](absl::StatusOr<std::string> output) { OnBackend(i, std::move(output)); });
  }
}

void Discovery::OnBackend(size_t index, absl::StatusOr<std::string> output) {
  ProbeResult& result = results_[index];
  auto parsed = output.ok() ? ParseProbe(result.backend, *output)
                            : absl::StatusOr<ProbeResult>(output.status());
  if (parsed.ok()) {
    result = *std::move(parsed);
    // A profile that was asked for and cannot be read is a mistake; a driver that is not there is
    // none.
    const auto level = result.backend == kSimulated ? spdlog::level::err : spdlog::level::info;
    if (!result.unavailable.empty()) {
      Log().log(level, "backend {}: {}", result.backend, result.unavailable);
    }
  } else {
    result.failure = std::string(parsed.status().message());
    Log().warn("backend {}: {}", result.backend, result.failure);
  }
  if (--outstanding_ == 0) OnEnumerated();
}

void Discovery::OnEnumerated() {
  std::vector<DeviceInfo> bus = ScanPciDevices();
  for (DeviceInfo& device : ScanAccelDevices()) bus.push_back(std::move(device));
  devices_ = MergeInventory(results_, bus, devices_);
  ApplyKnownRates(devices_);
  Log().info("{} devices", devices_.size());
  events_.on_devices(devices_);
  scanning_ = false;
  for (const auto& done : std::exchange(waiting_, {})) done();
  if (!next_.empty()) {
    waiting_ = std::exchange(next_, {});
    return Begin();
  }
  if (!measuring_) MeasureNext();
}

void Discovery::ApplyKnownRates(std::vector<DeviceInfo>& devices) {
  for (DeviceInfo& device : devices) {
    if (device.state != DeviceState::kOk || device.simulated || device.memory_bytes_per_s > 0) {
      continue;
    }
    const auto known = store_.FindMeasurement(MeasurementKey(device));
    if (known.ok() && known->has_value()) {
      device.memory_bytes_per_s = (*known)->memory_bytes_per_s;
      device.flops_per_s = (*known)->flops_per_s;
      continue;
    }
    const auto queued = std::find(to_measure_.begin(), to_measure_.end(), device.backend);
    if (queued == to_measure_.end()) to_measure_.push_back(device.backend);
  }
}

void Discovery::MeasureNext() {
  measuring_ = !to_measure_.empty();
  if (!measuring_) return events_.on_measured();
  const std::string backend = to_measure_.front();
  to_measure_.pop_front();
  StartProbe(loop_, {options_.probe, Arguments(backend, true), options_.measure_limit_ms},
             [this, backend](absl::StatusOr<std::string> output) {
               OnMeasured(backend, std::move(output));
             });
}

void Discovery::OnMeasured(const std::string& backend, absl::StatusOr<std::string> output) {
  auto parsed =
      output.ok() ? ParseProbe(backend, *output) : absl::StatusOr<ProbeResult>(output.status());
  if (!parsed.ok()) Log().warn("backend {}: not measured: {}", backend, parsed.status().ToString());
  const std::vector<DeviceInfo> measured =
      parsed.ok() ? parsed->devices : std::vector<DeviceInfo>();
  for (const DeviceInfo& device : measured) {
    // One that cannot be measured is recorded with zeros, so that it is not tried at every start.
    const absl::Status kept = store_.PutMeasurement(
        MeasurementKey(device), {device.memory_bytes_per_s, device.flops_per_s});
    if (!kept.ok()) Log().warn("cannot keep a measurement: {}", kept.ToString());
    for (DeviceInfo& known : devices_) {
      if (known.uuid != device.uuid) continue;
      known.memory_bytes_per_s = device.memory_bytes_per_s;
      known.flops_per_s = device.flops_per_s;
    }
  }
  events_.on_devices(devices_);
  MeasureNext();
}

}  // namespace het::daemon
