// Inventory: the Level Zero devices of this process: GPUs, NPUs (VPU) and other accelerators of
// every driver the loader found, as DeviceInfo with the handles behind them. Opens none.
// Threads: any.
#ifndef HET_DEVICES_LEVEL_ZERO_INVENTORY_H_
#define HET_DEVICES_LEVEL_ZERO_INVENTORY_H_

#include <vector>

#include "absl/status/statusor.h"
#include "devices/device_info.h"
#include "devices/level_zero/api.h"

namespace het::level_zero {

struct Found {
  DeviceInfo info;
  Handle driver = nullptr;
  Handle device = nullptr;
  std::vector<Handle> tiles;  // sub-devices; none or several
};

absl::StatusOr<std::vector<Found>> FindDevices(const Api& api);

}  // namespace het::level_zero

#endif  // HET_DEVICES_LEVEL_ZERO_INVENTORY_H_
