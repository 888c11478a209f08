// Identity: which UUID an OpenCL device has in het. The inventory names devices by it, and so does
// whoever must recognise a leased device from inside another program (interpose/opencl).
//
// The driver's own UUID where it has cl_khr_device_uuid (and it is not all zero), else
// UuidFromName("opencl/<platform>/<device name>/<ordinal>"), the ordinal counting equal names of
// one platform. Names are stripped of blanks at both ends by the caller. No OpenCL type appears
// here; pure, one thread per DeviceNamer.
#ifndef HET_DEVICES_OPENCL_IDENTITY_H_
#define HET_DEVICES_OPENCL_IDENTITY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"

namespace het::opencl {

// From cl_khr_device_uuid; spelt out because older headers lack it.
inline constexpr uint32_t kDeviceUuidQuery = 0x106A;
inline constexpr size_t kDeviceUuidBytes = 16;
inline constexpr char kDeviceUuidExtension[] = "cl_khr_device_uuid";

class DeviceNamer {
 public:
  // The UUID of the next device, in the order of clGetPlatformIDs and clGetDeviceIDs(ALL): every
  // device must pass through here, also one that is of no interest. `driver_uuid`: the 16 bytes
  // the driver told, or empty.
  std::string Next(absl::string_view platform, absl::string_view device,
                   absl::string_view driver_uuid);

  // Whether these bytes are an identity: 16 of them, not all zero.
  static bool IsDriverUuid(absl::string_view bytes);

 private:
  std::map<std::string, int> ordinals_;  // by "<platform>/<device name>"
};

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_IDENTITY_H_
