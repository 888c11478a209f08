// ZeDriver: the Level Zero devices of this process. A slice of whole tiles is opened as that tile
// (a sub-device), and no tile twice in this process; any other part of a device is the whole
// device, shared in time.
#ifndef HET_DEVICES_LEVEL_ZERO_DRIVER_H_
#define HET_DEVICES_LEVEL_ZERO_DRIVER_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/driver.h"
#include "devices/level_zero/context.h"
#include "devices/level_zero/inventory.h"
#include "devices/level_zero/sensors.h"

namespace het::level_zero {

class ZeDriver final : public Driver {
 public:
  explicit ZeDriver(const Api& api) : Driver("level_zero"), api_(api) {}

  absl::StatusOr<std::vector<DeviceInfo>> Enumerate() override;
  absl::StatusOr<std::unique_ptr<Device>> Open(const std::string& uuid,
                                               const OpenOptions& options) override;
  absl::StatusOr<std::vector<Telemetry>> Sample() override;

 private:
  absl::StatusOr<Found> Find(const std::string& uuid);
  absl::StatusOr<size_t> TakeTile(const Found& found);
  void GiveBackTile(const std::string& uuid, size_t tile);
  absl::StatusOr<std::shared_ptr<const Context>> ContextOf(Handle driver);

  const Api& api_;
  absl::Mutex mutex_;
  std::map<std::string, std::vector<bool>> taken_ ABSL_GUARDED_BY(mutex_);  // tiles, by device
  std::map<std::string, Sensors> sensors_ ABSL_GUARDED_BY(mutex_);
  // By driver of the loader's; gone with the last device that is open in it.
  std::map<Handle, std::weak_ptr<const Context>> contexts_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions& options);

}  // namespace het::level_zero

#endif  // HET_DEVICES_LEVEL_ZERO_DRIVER_H_
