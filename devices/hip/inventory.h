// What HIP devices there are, as DeviceInfo. Opens none. The parts of a card in a partition mode
// (SPX, DPX, CPX) are devices of their own, as the runtime shows them.
//
// Pure functions over the runtime's answers and sysfs; thread-safe.
#ifndef HET_DEVICES_HIP_INVENTORY_H_
#define HET_DEVICES_HIP_INVENTORY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/device_info.h"
#include "devices/hip/api.h"

namespace het::hip {

struct Found {
  DeviceInfo info;
  int ordinal = 0;
};

// `sysfs`: "/sys", or a tree like it.
absl::StatusOr<std::vector<Found>> FindDevices(const Api& api, const std::string& sysfs = "/sys");

}  // namespace het::hip

#endif  // HET_DEVICES_HIP_INVENTORY_H_
