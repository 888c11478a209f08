// What CUDA devices there are, as DeviceInfo. Opens none (no context is made). MIG instances are
// adopted as devices of their own, from NVML: CUDA itself shows a process at most one of them, and
// none of the others can be opened before CUDA_VISIBLE_DEVICES names it.
//
// Pure functions over the driver's answers; thread-safe.
#ifndef HET_DEVICES_CUDA_INVENTORY_H_
#define HET_DEVICES_CUDA_INVENTORY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/cuda/api.h"
#include "devices/device_info.h"

namespace het::cuda {

struct Found {
  DeviceInfo info;
  CUdevice device = -1;  // -1: CUDA does not show it (a MIG instance, or a card that has some)
  int capability = 0;    // 90 is 9.0
};

absl::StatusOr<std::vector<Found>> FindDevices(const Api& api);

}  // namespace het::cuda

#endif  // HET_DEVICES_CUDA_INVENTORY_H_
