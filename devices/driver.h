// Driver: one vendor library in this process. It says what devices there are, and opens them.
//
// Ownership: the creator owns it; it outlives its devices. A driver that is not there (library
// missing, too old, no device) fails CreateDriver with Unavailable and a message that names the
// library and the remedy: that is a line in a listing, not an error. Threads: Enumerate, Open and
// Sample are thread-safe. hetd never calls any of this: het-probe does.
#ifndef HET_DEVICES_DRIVER_H_
#define HET_DEVICES_DRIVER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/device.h"
#include "devices/device_info.h"
#include "devices/telemetry.h"

namespace het {

struct DriverOptions {
  // Settings by name: "profile" (simulated: path of the profile file).
  std::map<std::string, std::string> settings = {};
  // Host processors this process may use for the driver's own threads (OpenCL on CPUs makes its
  // pool when it is loaded, and threads inherit the affinity of the one that loads it). Empty: no
  // restriction.
  std::vector<uint32_t> cores = {};
};

class Driver {
 public:
  virtual ~Driver() = default;
  const std::string& name() const { return name_; }

  // Every device, usable or not. Opens none.
  virtual absl::StatusOr<std::vector<DeviceInfo>> Enumerate() = 0;
  // NotFound names the devices there are.
  virtual absl::StatusOr<std::unique_ptr<Device>> Open(const std::string& uuid,
                                                       const OpenOptions& options) = 0;
  // What the sensors of every device say now; opens none. Unimplemented: the driver has none.
  virtual absl::StatusOr<std::vector<Telemetry>> Sample() {
    return absl::UnimplementedError("the " + name_ + " driver has no telemetry");
  }

 protected:
  explicit Driver(std::string name) : name_(std::move(name)) {}

 private:
  const std::string name_;
};

}  // namespace het

#endif  // HET_DEVICES_DRIVER_H_
