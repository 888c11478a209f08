// Inventory: what the probes said, put together into the list of devices that hetd shows. Pure
// functions; hardware faults are inputs here.
#ifndef HET_DAEMON_INVENTORY_H_
#define HET_DAEMON_INVENTORY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "devices/device_info.h"

namespace het::daemon {

// How one backend's probe ended.
struct ProbeResult {
  std::string backend;
  std::vector<DeviceInfo> devices;
  std::string unavailable;  // the driver is not on this machine (why, and the remedy)
  std::string failure;      // the probe hung, crashed or answered nonsense
};

// What het-probe printed. A device without an id gets one from its place in the list.
// InvalidArgument when it is no such answer.
absl::StatusOr<ProbeResult> ParseProbe(const std::string& backend, const std::string& output);

// The new list. A backend that failed keeps the devices it had in `before`, degraded; one that is
// well keeps those that it does not report any more, removed; one that failed and has none else
// gets a degraded line of its own, one without driver an unsupported one.
// Bus devices that a backend has are dropped. Of two devices with one id the first stays.
std::vector<DeviceInfo> MergeInventory(const std::vector<ProbeResult>& probes,
                                       const std::vector<DeviceInfo>& bus,
                                       const std::vector<DeviceInfo>& before);

// Where measured figures of a device are kept: they are its driver's as much as its own.
std::string MeasurementKey(const DeviceInfo& device);

}  // namespace het::daemon

#endif  // HET_DAEMON_INVENTORY_H_
