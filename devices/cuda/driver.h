// CudaDriver: the NVIDIA devices of this process as one het Driver.
//
// OpenOptions.compute_units opens a green context of that many multiprocessors, rounded down to the
// driver's groups (the device's info says how many it has). A MIG instance that CUDA does not show
// is FailedPrecondition with the remedy. Thread-safe.
#ifndef HET_DEVICES_CUDA_DRIVER_H_
#define HET_DEVICES_CUDA_DRIVER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/cuda/partition.h"
#include "devices/driver.h"

namespace het::cuda {

class CudaDriver final : public Driver {
 public:
  explicit CudaDriver(const Api& api) : Driver("cuda"), api_(api) {}

  absl::StatusOr<std::vector<DeviceInfo>> Enumerate() override;
  absl::StatusOr<std::unique_ptr<Device>> Open(const std::string& uuid,
                                               const OpenOptions& options) override;
  // From NVML, of all cards and MIG instances of the machine, whatever CUDA shows to this process.
  absl::StatusOr<std::vector<Telemetry>> Sample() override;

 private:
  absl::StatusOr<Found> Find(const std::string& uuid);
  Partition& PartitionOf(const Found& found);

  const Api& api_;
  absl::Mutex mutex_;
  std::map<std::string, std::unique_ptr<Partition>> partitions_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions& options);

}  // namespace het::cuda

#endif  // HET_DEVICES_CUDA_DRIVER_H_
