// HipDriver: the AMD devices of this process as one het Driver.
//
// OpenOptions.compute_units puts a mask of that many compute units, rounded down to pairs but one
// at least, on every stream of the device (the device's info says how many it has). Parts of one
// process do not overlap; of several processes they may: the mask is a mechanism of the stream, and
// whoever leases the slices sees to their sum. Thread-safe.
#ifndef HET_DEVICES_HIP_DRIVER_H_
#define HET_DEVICES_HIP_DRIVER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/driver.h"
#include "devices/hip/gpu.h"

namespace het::hip {

class HipDriver final : public Driver {
 public:
  explicit HipDriver(const Api& api) : Driver("hip"), api_(api) {}

  absl::StatusOr<std::vector<DeviceInfo>> Enumerate() override;
  absl::StatusOr<std::unique_ptr<Device>> Open(const std::string& uuid,
                                               const OpenOptions& options) override;
  absl::StatusOr<std::vector<Telemetry>> Sample() override;

 private:
  absl::StatusOr<Found> Find(const std::string& uuid);
  // `taken`: how many units the part has.
  absl::StatusOr<HipGpu::Part> Take(const DeviceInfo& info, uint32_t units, uint32_t& taken);

  const Api& api_;
  absl::Mutex mutex_;
  std::map<std::string, std::vector<bool>> used_pairs_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions& options);

}  // namespace het::hip

#endif  // HET_DEVICES_HIP_DRIVER_H_
