// The cpu driver: the host's processors as one device, always there. It needs no vendor library.
//
// Open takes the cores of a slice (OpenOptions::cores, a subset of those enumerated), or a number
// of them (compute_units: the first so many). Settings: "topology" names an hwloc XML file to be
// shown instead of this machine (for tests; such a device cannot be opened).
#ifndef HET_DEVICES_CPU_CPU_DRIVER_H_
#define HET_DEVICES_CPU_CPU_DRIVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "devices/driver.h"

namespace het::cpu {

// Unavailable when the host does not tell what it has; see host_topology.h.
absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions& options);

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_CPU_DRIVER_H_
