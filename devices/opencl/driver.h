// ClDriver: all OpenCL platforms of this process as one het Driver.
//
// The library, its ICDs and their thread pools belong to the process, not to the object: they are
// loaded once and stay. DriverOptions.cores therefore count on the first CreateDriver; a later one
// that asks for other cores is FailedPrecondition. Where cores are given, POCL_MAX_PTHREAD_COUNT
// and LP_NUM_THREADS are set to their number unless set already (setenv: call it before other
// threads read the environment). Settings: "in_place" = "never" treats host-memory devices like
// cards with memory of their own (for tests of that path).
#ifndef HET_DEVICES_OPENCL_DRIVER_H_
#define HET_DEVICES_OPENCL_DRIVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/driver.h"
#include "devices/opencl/inventory.h"

namespace het::opencl {

class ClDriver final : public Driver {
 public:
  ClDriver(const Api& api, std::vector<uint32_t> pool_cores, bool bound, bool in_place);

  absl::StatusOr<std::vector<DeviceInfo>> Enumerate() override;
  absl::StatusOr<std::unique_ptr<Device>> Open(const std::string& uuid,
                                               const OpenOptions& options) override;

 private:
  absl::StatusOr<Found> Find(const std::string& uuid);
  // Compute units to open for the asked cores (0: all). FailedPrecondition for cores the pool has
  // no thread on.
  absl::StatusOr<uint32_t> UnitsFor(const Found& found, const OpenOptions& options) const;
  // The first of `count` neighbouring compute units that no other opened device has; they are
  // taken.
  absl::StatusOr<uint32_t> TakeUnits(const DeviceInfo& info, uint32_t count);
  void GiveBackUnits(const std::string& uuid, uint32_t first, uint32_t count);

  const Api& api_;
  const std::vector<uint32_t> pool_cores_;  // where the drivers' CPU threads run
  const bool bound_;                        // they were bound by het
  const bool in_place_;

  absl::Mutex mutex_;
  std::map<std::string, std::vector<bool>> taken_units_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions& options);

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_DRIVER_H_
