// The simulated driver: the devices of a profile file (profile.h), named in
// DriverOptions::settings["profile"]. Every device says "(simulated)" in its vendor and name, and
// its attributes name the profile, so that another process can open the same one.
#ifndef HET_DEVICES_SIMULATED_SIMULATED_DRIVER_H_
#define HET_DEVICES_SIMULATED_SIMULATED_DRIVER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "devices/driver.h"
#include "devices/simulated/virtual_clock.h"

namespace het::simulated {

// Unavailable without a profile; InvalidArgument with file:line for a wrong one.
absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions& options);

// The clock of a simulated driver in timing mode, null for any other driver. Owned by the driver
// and its devices.
VirtualClock* VirtualClockOf(Driver& driver);

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_SIMULATED_DRIVER_H_
