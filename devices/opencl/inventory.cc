#include "devices/opencl/inventory.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/units.h"
#include "devices/opencl/errors.h"
#include "devices/opencl/identity.h"

namespace het::opencl {
namespace {

constexpr cl_int kPlatformNotFound = -1001;  // CL_PLATFORM_NOT_FOUND_KHR: no ICD at all
constexpr int kOldestVersion = 120;
constexpr uint64_t kMemoryStep = 64 * kMiB;

std::string PlatformText(const Api& api, cl_platform_id platform, cl_platform_info what) {
  size_t bytes = 0;
  if (api.clGetPlatformInfo(platform, what, 0, nullptr, &bytes) != CL_SUCCESS || bytes == 0)
    return "";
  std::string text(bytes, '\0');
  if (api.clGetPlatformInfo(platform, what, bytes, text.data(), nullptr) != CL_SUCCESS) return "";
  return std::string(absl::StripAsciiWhitespace(text.c_str()));
}

std::string DeviceText(const Api& api, cl_device_id id, cl_device_info what) {
  size_t bytes = 0;
  if (api.clGetDeviceInfo(id, what, 0, nullptr, &bytes) != CL_SUCCESS || bytes == 0) return "";
  std::string text(bytes, '\0');
  if (api.clGetDeviceInfo(id, what, bytes, text.data(), nullptr) != CL_SUCCESS) return "";
  return std::string(absl::StripAsciiWhitespace(text.c_str()));
}

template <typename T>
T DeviceValue(const Api& api, cl_device_id id, cl_device_info what, T otherwise) {
  T value = otherwise;
  return api.clGetDeviceInfo(id, what, sizeof(value), &value, nullptr) == CL_SUCCESS ? value
                                                                                     : otherwise;
}

// The bytes of the driver's UUID; empty when it has none.
std::string DriverUuid(const Api& api, cl_device_id id) {
  if (!absl::StrContains(DeviceText(api, id, CL_DEVICE_EXTENSIONS), kDeviceUuidExtension))
    return "";
  std::string raw(kDeviceUuidBytes, '\0');
  if (api.clGetDeviceInfo(id, kDeviceUuidQuery, raw.size(), raw.data(), nullptr) != CL_SUCCESS)
    return "";
  return raw;
}

// Spelt out because older headers lack it.
constexpr char kPciExtension[] = "cl_khr_pci_bus_info";
constexpr cl_device_info kPciQuery = 0x410F;

std::string PciAddress(const Api& api, cl_device_id id) {
  if (!absl::StrContains(DeviceText(api, id, CL_DEVICE_EXTENSIONS), kPciExtension)) return "";
  struct {
    cl_uint domain, bus, device, function;
  } place = {};
  if (api.clGetDeviceInfo(id, kPciQuery, sizeof(place), &place, nullptr) != CL_SUCCESS) return "";
  return absl::StrFormat("%04x:%02x:%02x.%x", place.domain, place.bus, place.device,
                         place.function);
}

bool SameDevice(const Found& a, const Found& b) {
  if (a.id != nullptr && a.id == b.id) return true;
  if (a.driver_uuid && b.driver_uuid) return a.info.uuid == b.info.uuid;
  if (!a.pci.empty() && !b.pci.empty()) return a.pci == b.pci;
  return a.is_cpu && b.is_cpu && a.platform != b.platform && a.info.name == b.info.name &&
         a.info.driver_version == b.info.driver_version &&
         a.info.attributes.at("platform") == b.info.attributes.at("platform");
}

DeviceKind KindOf(cl_device_type type) {
  if (type & CL_DEVICE_TYPE_CPU) return DeviceKind::kCpu;
  if (type & CL_DEVICE_TYPE_GPU) return DeviceKind::kGpu;
  return DeviceKind::kAccelerator;
}

bool IsPocl(absl::string_view platform) {
  return absl::StartsWith(platform, "Portable Computing Language");
}

uint64_t StableMemory(absl::string_view platform, uint64_t reported) {
  uint64_t bytes = reported;
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  if (IsPocl(platform) && pages > 0 && page > 0) {
    bytes = static_cast<uint64_t>(pages) * static_cast<uint64_t>(page);
    uint32_t limit_gib = 0;
    const char* limit = getenv("POCL_MEMORY_LIMIT");
    if (limit != nullptr && absl::SimpleAtoi(limit, &limit_gib) && limit_gib > 0) {
      bytes = std::min(bytes, limit_gib * kGiB);
    }
  }
  return bytes / kMemoryStep * kMemoryStep;
}

// clCreateSubDevices by counts is there: asked by properties, because rusticl's entry is empty and
// calling it is a jump to null. (rusticl answers with one property of value 0 and 0 sub-devices.)
bool PartitionsByCounts(const Api& api, cl_device_id id) {
  if (api.clCreateSubDevices == nullptr || api.clReleaseDevice == nullptr) return false;
  if (DeviceValue<cl_uint>(api, id, CL_DEVICE_PARTITION_MAX_SUB_DEVICES, 0) < 2) return false;
  size_t bytes = 0;
  if (api.clGetDeviceInfo(id, CL_DEVICE_PARTITION_PROPERTIES, 0, nullptr, &bytes) != CL_SUCCESS)
    return false;
  std::vector<cl_device_partition_property> properties(bytes /
                                                       sizeof(cl_device_partition_property));
  if (properties.empty() || api.clGetDeviceInfo(id, CL_DEVICE_PARTITION_PROPERTIES, bytes,
                                                properties.data(), nullptr) != CL_SUCCESS) {
    return false;
  }
  return std::find(properties.begin(), properties.end(), CL_DEVICE_PARTITION_BY_COUNTS) !=
         properties.end();
}

void JudgeState(const Api& api, Found& found, int version) {
  DeviceInfo& info = found.info;
  auto degrade = [&info](std::string reason, std::string remedy) {
    info.state = DeviceState::kDegraded;
    info.reason = std::move(reason);
    info.remedy = std::move(remedy);
  };
  if (!DeviceValue<cl_bool>(api, found.id, CL_DEVICE_AVAILABLE, CL_FALSE)) {
    degrade("the driver says that the device is not available", "see the driver's log");
  } else if (version < kOldestVersion) {
    degrade(
        absl::StrCat("the driver speaks ", info.attributes["clVersion"], "; het needs OpenCL 1.2"),
        "use a newer driver (Mesa: rusticl in place of Clover)");
  } else if (!found.has_compiler && !found.built_in.empty()) {
    info.attributes["runs"] = "built-in kernels only";
  } else if (!found.has_compiler) {
    degrade("the driver has no compiler for OpenCL C", "install the driver's compiler package");
  } else if (!DeviceValue<cl_bool>(api, found.id, CL_DEVICE_ENDIAN_LITTLE, CL_FALSE)) {
    degrade("the device is big-endian", "");
  }
}

Found Describe(const Api& api, cl_platform_id platform, const std::string& platform_name,
               cl_device_id id, const std::vector<uint32_t>& cores, DeviceNamer& namer) {
  Found found;
  found.platform = platform;
  found.id = id;
  const auto type = DeviceValue<cl_device_type>(api, id, CL_DEVICE_TYPE, 0);
  found.is_cpu = (type & CL_DEVICE_TYPE_CPU) != 0;
  found.unified_memory = DeviceValue<cl_bool>(api, id, CL_DEVICE_HOST_UNIFIED_MEMORY, CL_FALSE);
  found.profiles = DeviceValue<size_t>(api, id, CL_DEVICE_PROFILING_TIMER_RESOLUTION, 0) > 0;
  found.max_buffer_bytes = DeviceValue<cl_ulong>(api, id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 0);
  found.max_group_size = DeviceValue<size_t>(api, id, CL_DEVICE_MAX_WORK_GROUP_SIZE, 1);

  DeviceInfo& info = found.info;
  info.backend = "opencl";
  info.name = DeviceText(api, id, CL_DEVICE_NAME);
  info.vendor = VendorName(DeviceText(api, id, CL_DEVICE_VENDOR));
  info.driver_version = DeviceText(api, id, CL_DRIVER_VERSION);
  info.kind = KindOf(type);
  info.compute_units = DeviceValue<cl_uint>(api, id, CL_DEVICE_MAX_COMPUTE_UNITS, 1);
  info.memory_bytes =
      StableMemory(platform_name, DeviceValue<cl_ulong>(api, id, CL_DEVICE_GLOBAL_MEM_SIZE, 0));
  if (found.is_cpu) {
    info.cores = cores;
    // llvmpipe says 8 wherever it runs; more units than processors are no units.
    if (!cores.empty()) info.compute_units = std::min<uint32_t>(info.compute_units, cores.size());
  }
  const std::string version = DeviceText(api, id, CL_DEVICE_VERSION);
  info.attributes["platform"] = platform_name;
  info.attributes["clVersion"] = version;
  info.attributes["maxBufferBytes"] = absl::StrCat(found.max_buffer_bytes);
  const int number = VersionNumber(version);
  found.has_compiler =
      DeviceValue<cl_bool>(api, id, CL_DEVICE_COMPILER_AVAILABLE, CL_FALSE) == CL_TRUE;
  if (number >= kOldestVersion && api.clCreateProgramWithBuiltInKernels != nullptr) {
    const std::string names = DeviceText(api, id, CL_DEVICE_BUILT_IN_KERNELS);
    found.built_in = absl::StrSplit(names, ';', absl::SkipWhitespace());
    if (!names.empty()) info.attributes["builtInKernels"] = names;
  }
  found.has_queue_properties = number >= 200;
  JudgeState(api, found, number);
  if (number >= kOldestVersion) {
    found.partitions_by_counts = PartitionsByCounts(api, id);
    info.can_sub_divide = found.partitions_by_counts;
  }
  const std::string driver_uuid = DriverUuid(api, id);
  found.pci = PciAddress(api, id);
  if (!found.pci.empty()) info.attributes["pci"] = found.pci;
  found.driver_uuid = DeviceNamer::IsDriverUuid(driver_uuid);
  info.uuid = namer.Next(platform_name, info.name, driver_uuid);
  return found;
}

}  // namespace

std::string VendorName(absl::string_view vendor) {
  constexpr std::pair<const char*, const char*> kKnown[] = {
      {"nvidia", "NVIDIA"},     {"advanced micro devices", "AMD"},
      {"authenticamd", "AMD"},  {"intel", "Intel"},
      {"mesa", "Mesa"},         {"arm", "Arm"},
      {"qualcomm", "Qualcomm"}, {"apple", "Apple"}};
  const std::string lower = absl::AsciiStrToLower(vendor);
  for (const auto& [part, name] : kKnown) {
    if (absl::StrContains(lower, part)) return name;
  }
  return vendor.empty() ? "unknown" : std::string(vendor);
}

int VersionNumber(absl::string_view version) {
  if (!absl::ConsumePrefix(&version, "OpenCL ")) return 0;
  const std::vector<absl::string_view> parts =
      absl::StrSplit(version.substr(0, version.find(' ')), '.');
  int major = 0, minor = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &major) ||
      !absl::SimpleAtoi(parts[1], &minor) || major < 0 || minor < 0 || minor > 9) {
    return 0;
  }
  return major * 100 + minor * 10;
}

std::vector<Found> WithoutDuplicates(std::vector<Found> found) {
  std::vector<Found> kept;
  for (Found& one : found) {
    auto twin = std::find_if(kept.begin(), kept.end(),
                             [&one](const Found& other) { return SameDevice(one, other); });
    if (twin == kept.end()) {
      kept.push_back(std::move(one));
    } else if (twin->info.state != DeviceState::kOk && one.info.state == DeviceState::kOk) {
      *twin = std::move(one);
    }
  }
  return kept;
}

absl::StatusOr<std::vector<Found>> FindDevices(const Api& api, const std::vector<uint32_t>& cores) {
  cl_uint count = 0;
  const cl_int error = api.clGetPlatformIDs(0, nullptr, &count);
  if (error == kPlatformNotFound || (error == CL_SUCCESS && count == 0))
    return std::vector<Found>();
  HET_CL_RETURN_IF_ERROR(error, "clGetPlatformIDs");
  std::vector<cl_platform_id> platforms(count);
  HET_CL_RETURN_IF_ERROR(api.clGetPlatformIDs(count, platforms.data(), &count), "clGetPlatformIDs");
  platforms.resize(count);

  std::vector<Found> found;
  DeviceNamer namer;
  for (cl_platform_id platform : platforms) {
    const std::string name = PlatformText(api, platform, CL_PLATFORM_NAME);
    cl_uint devices = 0;
    // A platform without a device (CL_DEVICE_NOT_FOUND), or one whose driver does not start here.
    if (api.clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &devices) != CL_SUCCESS ||
        devices == 0) {
      continue;
    }
    std::vector<cl_device_id> ids(devices);
    if (api.clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, devices, ids.data(), nullptr) !=
        CL_SUCCESS) {
      continue;
    }
    for (cl_device_id id : ids) {
      found.push_back(Describe(api, platform, name, id, cores, namer));
    }
  }
  return WithoutDuplicates(std::move(found));
}

}  // namespace het::opencl
