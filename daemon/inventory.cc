#include "daemon/inventory.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/uuid.h"

namespace het::daemon {
namespace {

// A line for a backend that shows no device.
DeviceInfo BackendLine(const ProbeResult& probe) {
  DeviceInfo line;
  line.uuid = UuidFromName(absl::StrCat("backend/", probe.backend));
  line.name = absl::StrCat(probe.backend, " backend");
  line.backend = probe.backend;
  if (!probe.failure.empty()) {
    line.state = DeviceState::kDegraded;
    line.reason = probe.failure;
    line.remedy =
        absl::StrCat("run \"het-probe --backend ", probe.backend, "\" to see what it does");
  } else {
    line.state = DeviceState::kUnsupported;
    line.reason = probe.unavailable;
  }
  return line;
}

std::vector<DeviceInfo> DevicesOf(const ProbeResult& probe, const std::vector<DeviceInfo>& before) {
  std::vector<DeviceInfo> devices = probe.devices;
  if (!probe.failure.empty()) {
    for (DeviceInfo known : before) {
      if (known.backend != probe.backend || known.compute_units == 0) continue;
      if (known.state != DeviceState::kRemoved) {
        known.state = DeviceState::kDegraded;
        known.reason = probe.failure;
      }
      devices.push_back(std::move(known));
    }
  } else {
    for (DeviceInfo known : before) {
      const bool reported =
          std::any_of(devices.begin(), devices.end(),
                      [&](const DeviceInfo& device) { return device.uuid == known.uuid; });
      if (known.backend != probe.backend || known.compute_units == 0 || reported) continue;
      known.state = DeviceState::kRemoved;
      known.reason = "the driver is well and does not report the device any more";
      known.remedy = "it is used again as soon as the driver reports it; leases of it stay booked";
      devices.push_back(std::move(known));
    }
  }
  const bool none = std::all_of(devices.begin(), devices.end(), [](const DeviceInfo& device) {
    return device.state == DeviceState::kRemoved;
  });
  if (none && !(probe.failure.empty() && probe.unavailable.empty())) {
    devices.push_back(BackendLine(probe));
  }
  return devices;
}

bool IsSeenByABackend(const DeviceInfo& bus_device, const std::vector<DeviceInfo>& devices) {
  const auto place = bus_device.attributes.find("pciAddress");
  if (place == bus_device.attributes.end()) return false;  // on no bus that a backend tells of
  const std::string& address = place->second;
  return std::any_of(devices.begin(), devices.end(), [&](const DeviceInfo& device) {
    const auto own = device.attributes.find("pciAddress");
    if (own != device.attributes.end()) return own->second == address;
    // A backend that does not tell where its device sits: the vendor decides.
    return device.kind != DeviceKind::kCpu && !device.simulated &&
           device.vendor == bus_device.vendor && device.state == DeviceState::kOk;
  });
}

}  // namespace

absl::StatusOr<ProbeResult> ParseProbe(const std::string& backend, const std::string& output) {
  ProbeResult result;
  result.backend = backend;
  HET_ASSIGN_OR_RETURN(Json json, ParseJson(output));
  HET_ASSIGN_OR_RETURN(result.unavailable, JsonString(json, "unavailable"));
  const auto devices = json.find("devices");
  if (devices == json.end() || !devices->is_array()) {
    if (!result.unavailable.empty()) return result;
    return absl::InvalidArgumentError("no \"devices\" in what the probe printed");
  }
  size_t index = 0;
  for (Json& entry : *devices) {
    if (entry.is_object() && !entry.contains("id")) {
      entry["id"] = UuidFromName(absl::StrCat(backend, "/", index));
    }
    ++index;
    HET_ASSIGN_OR_RETURN(DeviceInfo device, DeviceInfoFromJson(entry));
    result.devices.push_back(std::move(device));
  }
  return result;
}

std::vector<DeviceInfo> MergeInventory(const std::vector<ProbeResult>& probes,
                                       const std::vector<DeviceInfo>& bus,
                                       const std::vector<DeviceInfo>& before) {
  std::vector<DeviceInfo> merged;
  std::set<std::string> ids;
  const auto add = [&](DeviceInfo device) {
    if (ids.insert(device.uuid).second) merged.push_back(std::move(device));
  };
  for (const ProbeResult& probe : probes) {
    for (DeviceInfo& device : DevicesOf(probe, before)) add(std::move(device));
  }
  const std::vector<DeviceInfo> of_backends = merged;
  for (const DeviceInfo& device : bus) {
    if (!IsSeenByABackend(device, of_backends)) add(device);
  }
  return merged;
}

std::string MeasurementKey(const DeviceInfo& device) {
  return absl::StrCat(device.uuid, "/", device.driver_version);
}

}  // namespace het::daemon
