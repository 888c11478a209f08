#include "devices/cuda/inventory.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "devices/cuda/nvml.h"

namespace het::cuda {
namespace {

constexpr int kOldestCapability = 60;  // what NVRTC 12 still compiles for, and dp4a's predecessor

std::string UuidText(const CUuuid& uuid) {
  const std::string hex = absl::BytesToHexString(absl::string_view(uuid.bytes, 16));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-",
                      hex.substr(16, 4), "-", hex.substr(20));
}

int Attribute(const Api& api, int attribute, CUdevice device, int otherwise = 0) {
  int value = otherwise;
  return api.cuDeviceGetAttribute(&value, attribute, device) == CUDA_SUCCESS ? value : otherwise;
}

DeviceInfo Common(const Api& api) {
  DeviceInfo info;
  info.vendor = "NVIDIA";
  info.backend = "cuda";
  info.kind = DeviceKind::kGpu;
  info.driver_version = absl::StrCat("CUDA ", VersionText(api.version));
  return info;
}

absl::StatusOr<Found> Describe(const Api& api, CUdevice device) {
  Found found;
  found.device = device;
  DeviceInfo& info = found.info = Common(api);
  const std::string what = absl::StrCat("asking CUDA device ", device);
  CUuuid uuid = {};
  // Of a MIG instance v2 gives its own UUID, v1 that of the card.
  HET_CUDA_RETURN_IF_ERROR(api,
                           api.cuDeviceGetUuid_v2 != nullptr ? api.cuDeviceGetUuid_v2(&uuid, device)
                                                             : api.cuDeviceGetUuid(&uuid, device),
                           what);
  info.uuid = UuidText(uuid);
  char name[256] = "";
  HET_CUDA_RETURN_IF_ERROR(api, api.cuDeviceGetName(name, sizeof(name), device), what);
  info.name = name;
  size_t bytes = 0;
  HET_CUDA_RETURN_IF_ERROR(api, api.cuDeviceTotalMem_v2(&bytes, device), what);
  info.memory_bytes = bytes;
  info.compute_units = static_cast<uint32_t>(
      std::max(0, Attribute(api, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device)));
  // -1: the system has no NUMA; the attribute is not there before CUDA 12.4.
  info.numa_node =
      static_cast<uint32_t>(std::max(0, Attribute(api, CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID, device)));
  found.capability = 10 * Attribute(api, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device) +
                     Attribute(api, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
  info.attributes["computeCapability"] =
      absl::StrCat(found.capability / 10, ".", found.capability % 10);
  char bus[64] = "";
  if (api.cuDeviceGetPCIBusId(bus, sizeof(bus), device) == CUDA_SUCCESS) {
    info.attributes["pci"] = absl::AsciiStrToLower(bus);
  }
  info.can_sub_divide = api.has_green_contexts() && found.capability >= 60;
  if (Attribute(api, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, device) == CU_COMPUTEMODE_PROHIBITED) {
    info.state = DeviceState::kDegraded;
    info.reason = "its compute mode is \"prohibited\"";
    info.remedy = "nvidia-smi -c DEFAULT";
  } else if (found.capability < kOldestCapability) {
    info.state = DeviceState::kUnsupported;
    info.reason = absl::StrCat("compute capability ", info.attributes["computeCapability"],
                               " is older than 6.0");
    info.remedy = "none: the device is too old for het's kernels";
  } else if (info.memory_bytes == 0 || info.compute_units == 0) {
    info.state = DeviceState::kDegraded;
    info.reason = "the driver says that it has no memory or no multiprocessor";
    info.remedy = "`nvidia-smi` and the kernel's log say more";
  }
  return found;
}

// Adds the MIG instances that NVML shows, and takes the cards off that are cut into them.
void AdoptInstances(const Api& api, const Nvml& nvml, std::vector<Found>& all) {
  const auto find = [&all](const std::string& uuid) {
    return std::find_if(all.begin(), all.end(),
                        [&](const Found& found) { return found.info.uuid == uuid; });
  };
  for (const NvmlEntry& card : NvmlDevices(nvml)) {
    if (!card.mig) continue;
    const auto whole = find(card.uuid);
    const int capability = whole != all.end() ? whole->capability : 0;
    if (card.instances.empty() && whole != all.end()) {
      whole->info.state = DeviceState::kDegraded;
      whole->info.reason = "MIG mode is on, but there is no instance";
      whole->info.remedy = "nvidia-smi mig -cgi ... -C, or nvidia-smi -mig 0";
    } else if (whole != all.end()) {
      all.erase(whole);
    }
    for (const NvmlEntry& instance : card.instances) {
      if (const auto shown = find(instance.uuid); shown != all.end()) {
        shown->info.attributes["mig"] = card.uuid;
        shown->info.can_sub_divide = false;  // one mechanism at a time
        continue;
      }
      Found found;
      found.capability = capability;
      found.info = Common(api);
      found.info.uuid = instance.uuid;
      found.info.name = instance.name;
      found.info.memory_bytes = instance.memory_bytes;
      found.info.compute_units = std::max(1u, instance.multiprocessors);
      found.info.attributes["mig"] = card.uuid;
      all.push_back(std::move(found));
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<Found>> FindDevices(const Api& api) {
  int count = 0;
  HET_CUDA_RETURN_IF_ERROR(api, api.cuDeviceGetCount(&count), "counting CUDA devices");
  std::vector<Found> all;
  for (int i = 0; i < count; ++i) {
    CUdevice device = -1;
    HET_CUDA_RETURN_IF_ERROR(api, api.cuDeviceGet(&device, i), "asking for a CUDA device");
    HET_ASSIGN_OR_RETURN(Found found, Describe(api, device));
    all.push_back(std::move(found));
  }
  if (const auto nvml = LoadNvml(); nvml.ok()) AdoptInstances(api, **nvml, all);
  return all;
}

}  // namespace het::cuda
