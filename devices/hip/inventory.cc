#include "devices/hip/inventory.h"

#include <algorithm>
#include <fstream>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/uuid.h"

namespace het::hip {
namespace {

std::string ReadLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

int Attribute(const Api& api, int attribute, int ordinal) {
  int value = 0;
  return api.hipDeviceGetAttribute(&value, attribute, ordinal) == hipSuccess ? value : 0;
}

absl::StatusOr<Found> Describe(const Api& api, int ordinal, const std::string& sysfs) {
  Found found;
  found.ordinal = ordinal;
  DeviceInfo& info = found.info;
  const std::string what = absl::StrCat("asking HIP device ", ordinal);
  info.vendor = "AMD";
  info.backend = "hip";
  info.kind = DeviceKind::kGpu;
  info.driver_version = absl::StrCat("HIP ", VersionText(api.version));
  char text[256] = "";
  HET_HIP_RETURN_IF_ERROR(api, api.hipDeviceGetName(text, sizeof(text), ordinal), what);
  info.name = text[0] != '\0' ? text : "AMD GPU";  // old runtimes leave the name empty
  size_t bytes = 0;
  HET_HIP_RETURN_IF_ERROR(api, api.hipDeviceTotalMem(&bytes, ordinal), what);
  info.memory_bytes = bytes;
  info.compute_units = static_cast<uint32_t>(
      std::max(0, Attribute(api, hipDeviceAttributeMultiprocessorCount, ordinal)));
  std::string bus;
  if (api.hipDeviceGetPCIBusId(text, sizeof(text), ordinal) == hipSuccess) {
    bus = absl::AsciiStrToLower(text);
    info.attributes["pci"] = bus;
    const std::string device = absl::StrCat(sysfs, "/bus/pci/devices/", bus);
    int node = 0;
    if (absl::SimpleAtoi(ReadLine(device + "/numa_node"), &node) && node > 0) {
      info.numa_node = static_cast<uint32_t>(node);
    }
    const std::string partition = ReadLine(device + "/current_compute_partition");
    if (!partition.empty()) info.attributes["computePartition"] = partition;
  }
  // The runtime's UUID is the card's serial as text; old cards have none ("GPU-XX").
  hipUUID uuid = {};
  std::string serial;
  if (api.hipDeviceGetUuid != nullptr && api.hipDeviceGetUuid(&uuid, ordinal) == hipSuccess) {
    serial = absl::BytesToHexString(absl::string_view(uuid.bytes, sizeof(uuid.bytes)));
    if (serial.find_first_not_of("0") == std::string::npos) serial.clear();
  }
  info.uuid = UuidFromName(serial.empty() ? absl::StrCat("hip/", info.name, "/", bus)
                                          : absl::StrCat("hip/", serial));
  info.can_sub_divide = api.hipExtStreamCreateWithCUMask != nullptr;
  if (Attribute(api, hipDeviceAttributeComputeMode, ordinal) == hipComputeModeProhibited) {
    info.state = DeviceState::kDegraded;
    info.reason = "its compute mode is \"prohibited\"";
    info.remedy = "set the compute mode back to default";
  } else if (info.memory_bytes == 0 || info.compute_units == 0) {
    info.state = DeviceState::kDegraded;
    info.reason = "the runtime says that it has no memory or no compute unit";
    info.remedy = "`rocminfo` and the kernel's log say more";
  }
  return found;
}

}  // namespace

absl::StatusOr<std::vector<Found>> FindDevices(const Api& api, const std::string& sysfs) {
  int count = 0;
  const hipError_t error = api.hipGetDeviceCount(&count);
  if (error == hipErrorNoDevice) return std::vector<Found>();
  HET_HIP_RETURN_IF_ERROR(api, error, "counting HIP devices");
  std::vector<Found> all;
  std::set<std::string> seen;
  for (int i = 0; i < count; ++i) {
    HET_ASSIGN_OR_RETURN(Found found, Describe(api, i, sysfs));
    // Partitions of one card may share its serial: their place on the bus tells them apart.
    std::string uuid = found.info.uuid;
    for (int twin = 1; !seen.insert(uuid).second; ++twin) {
      uuid = UuidFromName(
          absl::StrCat("hip/", found.info.uuid, "/", found.info.attributes["pci"], "/", twin));
    }
    found.info.uuid = uuid;
    all.push_back(std::move(found));
  }
  return all;
}

}  // namespace het::hip
