// Discovery for a session without a daemon: which devices this machine has. Each backend is looked
// at in a het-probe child process where one is found, so that a driver that hangs or crashes takes
// only its probe along and drivers are loaded later, with the leases' cores known; else in this
// process.
//
// Blocks (a driver may take seconds; a probe is given up after 5 s). Thread-safe.
#ifndef HET_RUNTIME_DISCOVERY_H_
#define HET_RUNTIME_DISCOVERY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/device_info.h"

namespace het::runtime {

// Path of het-probe: $HET_PROBE_DIR, ../bin beside this library or program, PATH. Empty: none.
std::string FindProbe();
// The same of het-worker.
std::string FindWorker();

// What `het-probe --backend NAME` says. Unavailable with the driver's reason; DeadlineExceeded for
// one that hangs, Internal for one that crashes.
absl::StatusOr<std::vector<DeviceInfo>> ProbeBackend(const std::string& probe,
                                                     const std::string& backend);

// The devices of every backend but "simulated", and those of the profile file `simulate` where it
// is not empty. A driver that is not there leaves no device and no error; a profile that cannot be
// read does.
absl::StatusOr<std::vector<DeviceInfo>> DiscoverDevices(const std::string& simulate);

}  // namespace het::runtime

#endif  // HET_RUNTIME_DISCOVERY_H_
