#include "daemon/discovery.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "devices/backend_names.h"

namespace het::daemon {
namespace {

constexpr char kSimulated[] = "simulated";

std::vector<std::string> BuiltIn(bool simulates) {
  std::vector<std::string> names = BackendNames();
  if (!simulates) std::erase(names, kSimulated);
  return names;
}

// The ledger keeps what hardware is linked to what; else the lists are compared as they are shown.
bool SameDevices(const std::vector<DeviceInfo>& a, const std::vector<DeviceInfo>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(),
      [](const DeviceInfo& x, const DeviceInfo& y) { return ToJson(x) == ToJson(y); });
}

}  // namespace

Discovery::Discovery(Environment& environment, Store& store, Options options, Events events)
    : environment_(environment),
      store_(store),
      options_(std::move(options)),
      events_(std::move(events)) {}

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
  scanning_ = complete_ = true;
  Enumerate(options_.backends.empty() ? BuiltIn(!options_.profile.empty()) : options_.backends);
}

std::vector<std::string> Discovery::Losable() const {
  std::vector<std::string> backends;
  for (const ProbeResult& result : results_) {
    const bool losable = std::any_of(devices_.begin(), devices_.end(), [&](const DeviceInfo& d) {
      return d.backend == result.backend && d.compute_units > 0 && d.kind != DeviceKind::kCpu;
    });
    if (!losable && result.failure.empty()) continue;
    if (events_.watched && events_.watched(result.backend)) continue;
    backends.push_back(result.backend);
  }
  return backends;
}

int64_t Discovery::NextCheck() const {
  if (options_.check_ms == 0 || scanning_ || measuring_ || Losable().empty()) return 0;
  return last_look_ + options_.check_ms * 1'000'000;
}

void Discovery::CheckIfDue() {
  const int64_t due = NextCheck();
  if (due == 0 || environment_.clock().MonotonicNanos() < due) return;
  scanning_ = true;
  complete_ = false;
  Enumerate(Losable());
}

// A child that hangs in its driver, where nothing can kill it, is not joined by others.
void Discovery::Probe(const std::string& backend, bool measure, OnProbed done) {
  if (abandoned_[backend] > 0) {
    return done(absl::DeadlineExceededError(
        "a probe hangs in the driver and cannot be killed; another is started when it has ended"));
  }
  struct Child {
    bool gone = false;
    bool abandoned = false;
  };
  auto child = std::make_shared<Child>();
  const int64_t limit_ms = measure ? options_.measure_limit_ms : options_.limit_ms;
  const auto answered = [this, backend, child,
                         done = std::move(done)](absl::StatusOr<std::string> output) {
    child->abandoned = !child->gone && absl::IsDeadlineExceeded(output.status());
    if (child->abandoned) ++abandoned_[backend];
    done(std::move(output));
  };
  environment_.StartProbe({options_.probe, Arguments(backend, measure), limit_ms}, answered,
                          [this, backend, child] {
                            child->gone = true;
                            if (child->abandoned) --abandoned_[backend];
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

void Discovery::Enumerate(const std::vector<std::string>& backends) {
  if (complete_) {
    std::vector<ProbeResult> known = std::move(results_);
    results_.assign(backends.size(), {});
    for (size_t i = 0; i < backends.size(); ++i) {
      results_[i].backend = backends[i];
      for (ProbeResult& result : known) {
        if (result.backend == backends[i]) results_[i] = std::move(result);
      }
    }
  }
  outstanding_ = backends.size();
  for (const std::string& backend : backends) {
    Probe(backend, false, [this, backend](absl::StatusOr<std::string> output) {
      OnBackend(backend, std::move(output));
    });
  }
}

void Discovery::OnBackend(const std::string& backend, absl::StatusOr<std::string> output) {
  ProbeResult& result = *std::find_if(results_.begin(), results_.end(),
                                      [&](const ProbeResult& r) { return r.backend == backend; });
  auto parsed =
      output.ok() ? ParseProbe(backend, *output) : absl::StatusOr<ProbeResult>(output.status());
  const ProbeResult before = std::move(result);
  if (parsed.ok()) {
    result = *std::move(parsed);
  } else {
    result = {.backend = backend, .devices = {}, .unavailable = "", .failure = ""};
    result.failure = std::string(parsed.status().message());
  }
  // A profile that was asked for and cannot be read is a mistake; a driver that is not there is
  // none.
  const auto level = backend == kSimulated ? spdlog::level::err : spdlog::level::info;
  if (!result.unavailable.empty() && result.unavailable != before.unavailable) {
    Log().log(level, "backend {}: {}", backend, result.unavailable);
  }
  if (!result.failure.empty() && result.failure != before.failure) {
    Log().warn("backend {}: {}", backend, result.failure);
  }
  if (--outstanding_ == 0) OnEnumerated();
}

void Discovery::OnEnumerated() {
  std::vector<DeviceInfo> devices = MergeInventory(results_, environment_.ScanBus(), devices_);
  ApplyKnownRates(devices);
  last_look_ = environment_.clock().MonotonicNanos();
  if (complete_ || !SameDevices(devices, devices_)) {
    devices_ = std::move(devices);
    Log().info("{} devices", devices_.size());
    events_.on_devices(devices_);
  }
  scanning_ = false;
  for (const auto& done : std::exchange(waiting_, {})) done();
  if (!next_.empty()) {
    waiting_ = std::exchange(next_, {});
    return Begin();
  }
  if (!measuring_) MeasureNext();
}

void Discovery::ApplyKnownRates(std::vector<DeviceInfo>& devices) {
  if (complete_) attempted_.clear();
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
    if (!attempted_.insert(MeasurementKey(device)).second) continue;
    const auto queued = std::find(to_measure_.begin(), to_measure_.end(), device.backend);
    if (queued == to_measure_.end()) to_measure_.push_back(device.backend);
  }
}

void Discovery::MeasureNext() {
  measuring_ = !to_measure_.empty();
  if (!measuring_) return events_.on_measured();
  const std::string backend = to_measure_.front();
  to_measure_.pop_front();
  Probe(backend, true, [this, backend](absl::StatusOr<std::string> output) {
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
