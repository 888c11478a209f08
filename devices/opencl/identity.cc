#include "devices/opencl/identity.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/uuid.h"

namespace het::opencl {

bool DeviceNamer::IsDriverUuid(absl::string_view bytes) {
  return bytes.size() == kDeviceUuidBytes && bytes != std::string(kDeviceUuidBytes, '\0');
}

std::string DeviceNamer::Next(absl::string_view platform, absl::string_view device,
                              absl::string_view driver_uuid) {
  const std::string path = absl::StrCat(platform, "/", device);
  const int ordinal = ordinals_[path]++;
  if (!IsDriverUuid(driver_uuid)) return UuidFromName(absl::StrCat("opencl/", path, "/", ordinal));
  const std::string hex = absl::BytesToHexString(driver_uuid);
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

}  // namespace het::opencl
