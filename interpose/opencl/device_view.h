// DeviceView: the one device that the program sees, found among those the loader knows. Where the
// slice has compute units of its own it is a sub-device in the device's place.
//
// Find asks the loader below the layer for all platforms and devices, names them as het's inventory
// does (devices/opencl/identity.h) and keeps the leased one. Immutable afterwards, never destroyed.
// Failures: NotFound says what was asked and which devices there are; FailedPrecondition when the
// slice needs a sub-device that the driver cannot make.
#ifndef HET_INTERPOSE_OPENCL_DEVICE_VIEW_H_
#define HET_INTERPOSE_OPENCL_DEVICE_VIEW_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "interpose/opencl/cl.h"
#include "interpose/settings.h"

namespace het::interpose {

struct DeviceView {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;  // what the program gets: the device, or a part of it
  cl_device_id whole = nullptr;   // the device itself
  cl_device_type type = 0;
  std::string uuid;
  std::string name;  // "<platform>/<device>"
  int version = 0;   // of the device: 120, 300

  static absl::StatusOr<DeviceView> Find(const cl_icd_dispatch& next, const Settings& settings);

  // Whether a program that asks for `asked` finds this device.
  bool Matches(cl_device_type asked) const {
    return (asked & (type | CL_DEVICE_TYPE_DEFAULT)) != 0 ||
           (asked == CL_DEVICE_TYPE_ALL && type != CL_DEVICE_TYPE_CUSTOM);
  }
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_OPENCL_DEVICE_VIEW_H_
