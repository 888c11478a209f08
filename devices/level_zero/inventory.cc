#include "devices/level_zero/inventory.h"

#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "base/units.h"
#include "base/uuid.h"

namespace het::level_zero {
namespace {

std::string VendorName(uint32_t id) { return id == 0x8086 ? "Intel" : absl::StrFormat("%04x", id); }

DeviceKind KindOf(uint32_t type) {
  if (type == kTypeGpu) return DeviceKind::kGpu;
  if (type == kTypeVpu) return DeviceKind::kNpu;
  if (type == kTypeCpu) return DeviceKind::kCpu;
  return DeviceKind::kAccelerator;
}

std::string UuidText(const uint8_t (&bytes)[16]) {
  const std::string hex = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

bool IsZero(const uint8_t (&bytes)[16]) {
  return std::all_of(std::begin(bytes), std::end(bytes), [](uint8_t byte) { return byte == 0; });
}

// A device that shares the host's memory may tell of none: half of the host's then.
uint64_t HostShare() {
  const long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || bytes <= 0) return 0;
  return static_cast<uint64_t>(pages) * static_cast<uint64_t>(bytes) / 2 / kMiB * kMiB;
}

absl::StatusOr<uint64_t> MemoryBytes(const Api& api, Handle device) {
  uint32_t count = 0;
  HET_ZE_RETURN_IF_ERROR(api.zeDeviceGetMemoryProperties(device, &count, nullptr),
                         "zeDeviceGetMemoryProperties");
  std::vector<MemoryProperties> memories(count);
  HET_ZE_RETURN_IF_ERROR(api.zeDeviceGetMemoryProperties(device, &count, memories.data()),
                         "zeDeviceGetMemoryProperties");
  uint64_t total = 0;
  for (const MemoryProperties& memory : memories) total += memory.total;
  return total == 0 ? HostShare() : total;
}

absl::StatusOr<std::vector<Handle>> Tiles(const Api& api, Handle device) {
  uint32_t count = 0;
  HET_ZE_RETURN_IF_ERROR(api.zeDeviceGetSubDevices(device, &count, nullptr),
                         "zeDeviceGetSubDevices");
  std::vector<Handle> tiles(count);
  if (count > 0) {
    HET_ZE_RETURN_IF_ERROR(api.zeDeviceGetSubDevices(device, &count, tiles.data()),
                           "zeDeviceGetSubDevices");
  }
  return tiles;
}

// What is wrong with it, if anything.
void Judge(const Api& api, Handle driver, Handle device, DeviceInfo& info) {
  if (const uint32_t status = api.zeDeviceGetStatus(device); status != kSuccess) {
    info.state = DeviceState::kDegraded;
    info.reason = absl::StrCat("zeDeviceGetStatus gives ", ResultName(status));
    info.remedy = "the kernel's log says more; a reset of the device or a reboot may help";
    return;
  }
  ModuleProperties modules;
  const uint32_t result = api.zeDeviceGetModuleProperties(device, &modules);
  if (result == kSuccess && modules.spirv_version != 0) return;
  if (GraphTableOf(api, driver) != nullptr) {
    info.attributes["runs"] = "compiled graphs only";
    return;
  }
  info.state = DeviceState::kUnsupported;
  info.reason = info.kind == DeviceKind::kNpu
                    ? "its driver takes neither SPIR-V nor compiled graphs (ZE_extension_graph)"
                    : "its driver takes no SPIR-V";
  info.remedy = "install the vendor's newer driver";
}

absl::StatusOr<Found> Describe(const Api& api, Handle driver, Handle device,
                               std::map<std::string, int>& ordinals) {
  DeviceProperties properties;
  HET_ZE_RETURN_IF_ERROR(api.zeDeviceGetProperties(device, &properties), "zeDeviceGetProperties");
  properties.name[sizeof(properties.name) - 1] = '\0';
  DriverProperties driver_properties;
  HET_ZE_RETURN_IF_ERROR(api.zeDriverGetProperties(driver, &driver_properties),
                         "zeDriverGetProperties");
  uint32_t api_version = 0;
  HET_ZE_RETURN_IF_ERROR(api.zeDriverGetApiVersion(driver, &api_version), "zeDriverGetApiVersion");

  Found found{{}, driver, device, {}};
  DeviceInfo& info = found.info;
  info.vendor = VendorName(properties.vendor_id);
  info.name = std::string(absl::StripAsciiWhitespace(properties.name));
  info.backend = "level_zero";
  info.driver_version = absl::StrFormat("%u", driver_properties.version);
  info.kind = KindOf(properties.type);
  info.compute_units = std::max<uint32_t>(
      1, properties.slices * properties.subslices_per_slice * properties.eus_per_subslice);
  HET_ASSIGN_OR_RETURN(info.memory_bytes, MemoryBytes(api, device));
  HET_ASSIGN_OR_RETURN(found.tiles, Tiles(api, device));
  info.can_sub_divide = found.tiles.size() > 1;
  info.attributes["levelZeroVersion"] = absl::StrCat(api_version >> 16, ".", api_version & 0xffff);
  info.attributes["pciId"] =
      absl::StrFormat("%04x:%04x", properties.vendor_id, properties.device_id);
  if (info.can_sub_divide) info.attributes["tiles"] = absl::StrCat(found.tiles.size());
  if ((properties.flags & kDeviceIntegrated) != 0) info.attributes["integrated"] = "yes";
  PciProperties pci;
  if (api.zeDevicePciGetPropertiesExt != nullptr &&
      api.zeDevicePciGetPropertiesExt(device, &pci) == kSuccess) {
    info.attributes["pciAddress"] =
        absl::StrFormat("%04x:%02x:%02x.%x", pci.domain, pci.bus, pci.device, pci.function);
  }
  if (!IsZero(properties.uuid)) {
    info.uuid = UuidText(properties.uuid);
  } else {
    // By its place on the bus, else by its model.
    const auto place = info.attributes.find("pciAddress");
    const std::string path =
        place != info.attributes.end() ? place->second : absl::StrCat(info.vendor, "/", info.name);
    info.uuid = UuidFromName(absl::StrCat("level_zero/", path, "/", ordinals[path]++));
  }
  Judge(api, driver, device, info);
  return found;
}

}  // namespace

absl::StatusOr<std::vector<Found>> FindDevices(const Api& api) {
  uint32_t count = 0;
  HET_ZE_RETURN_IF_ERROR(api.zeDriverGet(&count, nullptr), "zeDriverGet");
  std::vector<Handle> drivers(count);
  if (count > 0) HET_ZE_RETURN_IF_ERROR(api.zeDriverGet(&count, drivers.data()), "zeDriverGet");
  std::vector<Found> all;
  std::map<std::string, int> ordinals;
  for (Handle driver : drivers) {
    uint32_t devices = 0;
    HET_ZE_RETURN_IF_ERROR(api.zeDeviceGet(driver, &devices, nullptr), "zeDeviceGet");
    std::vector<Handle> handles(devices);
    if (devices > 0) {
      HET_ZE_RETURN_IF_ERROR(api.zeDeviceGet(driver, &devices, handles.data()), "zeDeviceGet");
    }
    for (Handle handle : handles) {
      HET_ASSIGN_OR_RETURN(Found found, Describe(api, driver, handle, ordinals));
      all.push_back(std::move(found));
    }
  }
  return all;
}

}  // namespace het::level_zero
