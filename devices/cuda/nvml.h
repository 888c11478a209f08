// Nvml: NVIDIA's management library, for what the driver API does not tell: MIG instances and
// sensors. Found in libnvidia-ml.so.1 by dlopen; optional, also symbol by symbol.
//
// Threads: immutable once loaded; NVML itself is thread-safe.
#ifndef HET_DEVICES_CUDA_NVML_H_
#define HET_DEVICES_CUDA_NVML_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/telemetry.h"

namespace het::cuda {

using nvmlReturn = int;
using nvmlDevice = struct nvmlDeviceOpaque*;
enum : nvmlReturn { NVML_SUCCESS = 0, NVML_ERROR_NOT_SUPPORTED = 3, NVML_ERROR_GPU_IS_LOST = 15 };

// NVML's structs, as its first versions of them have it.
struct nvmlMemory {
  unsigned long long total, free, used;  // NOLINT(google-runtime-int): theirs. Bytes
};
struct nvmlUtilization {
  unsigned int gpu, memory;  // percent
};
struct nvmlPciInfo {
  char bus_id_legacy[16];
  unsigned int domain, bus, device, pci_device_id, pci_sub_system_id;
  char bus_id[32];
};
struct nvmlDeviceAttributes {
  unsigned int multiprocessors, copy_engines, decoders, encoders, jpeg_engines, ofa_engines,
      gpu_instance_slices, compute_instance_slices;
  unsigned long long memory_mib;  // NOLINT(google-runtime-int): theirs
};

enum : int {
  NVML_TEMPERATURE_GPU = 0,
  NVML_CLOCK_SM = 1,
  NVML_CLOCK_MEM = 2,
  NVML_MEMORY_ERROR_TYPE_CORRECTED = 0,
  NVML_MEMORY_ERROR_TYPE_UNCORRECTED = 1,
  NVML_VOLATILE_ECC = 0,
};

#define HET_NVML_REQUIRED(X)                                                 \
  X(nvmlInit_v2, (void))                                                     \
  X(nvmlDeviceGetCount_v2, (unsigned int* count))                            \
  X(nvmlDeviceGetHandleByIndex_v2, (unsigned int index, nvmlDevice* device)) \
  X(nvmlDeviceGetUUID, (nvmlDevice device, char* text, unsigned int length)) \
  X(nvmlDeviceGetName, (nvmlDevice device, char* text, unsigned int length)) \
  X(nvmlDeviceGetMemoryInfo, (nvmlDevice device, nvmlMemory * memory))

// NOLINTBEGIN(google-runtime-int): theirs
#define HET_NVML_OPTIONAL(X)                                                                     \
  X(nvmlSystemGetDriverVersion, (char* text, unsigned int length))                               \
  X(nvmlDeviceGetPciInfo_v3, (nvmlDevice device, nvmlPciInfo * info))                            \
  X(nvmlDeviceGetUtilizationRates, (nvmlDevice device, nvmlUtilization * rates))                 \
  X(nvmlDeviceGetPowerUsage, (nvmlDevice device, unsigned int* milliwatts))                      \
  X(nvmlDeviceGetEnforcedPowerLimit, (nvmlDevice device, unsigned int* milliwatts))              \
  X(nvmlDeviceGetTemperature, (nvmlDevice device, int sensor, unsigned int* celsius))            \
  X(nvmlDeviceGetClockInfo, (nvmlDevice device, int clock, unsigned int* mhz))                   \
  X(nvmlDeviceGetTotalEnergyConsumption, (nvmlDevice device, unsigned long long* millijoules))   \
  X(nvmlDeviceGetTotalEccErrors,                                                                 \
    (nvmlDevice device, int type, int counter, unsigned long long* errors))                      \
  X(nvmlDeviceGetCurrentClocksThrottleReasons, (nvmlDevice device, unsigned long long* reasons)) \
  X(nvmlDeviceGetMigMode, (nvmlDevice device, unsigned int* current, unsigned int* pending))     \
  X(nvmlDeviceGetMaxMigDeviceCount, (nvmlDevice device, unsigned int* count))                    \
  X(nvmlDeviceGetMigDeviceHandleByIndex,                                                         \
    (nvmlDevice device, unsigned int index, nvmlDevice* instance))                               \
  X(nvmlDeviceGetAttributes_v2, (nvmlDevice instance, nvmlDeviceAttributes * attributes))
// NOLINTEND(google-runtime-int)

struct Nvml {
#define HET_NVML_MEMBER(name, arguments) nvmlReturn(*name) arguments = nullptr;
  HET_NVML_REQUIRED(HET_NVML_MEMBER)
  HET_NVML_OPTIONAL(HET_NVML_MEMBER)
#undef HET_NVML_MEMBER
};

// Loaded and initialised once per process. Unavailable with the reason.
absl::StatusOr<const Nvml*> LoadNvml();

// One piece of hardware as NVML shows it.
struct NvmlEntry {
  nvmlDevice handle = nullptr;
  std::string uuid;  // without "GPU-" and "MIG-"
  std::string name;
  uint64_t memory_bytes = 0;
  uint32_t multiprocessors = 0;  // of a MIG instance
  std::vector<NvmlEntry> instances;
  bool mig = false;  // cut into instances (perhaps none yet)
};

std::vector<NvmlEntry> NvmlDevices(const Nvml& nvml);

// What its sensors say now. A card that NVML has lost says so in `fault`.
Telemetry ReadSensors(const Nvml& nvml, const NvmlEntry& entry);

// The names of the bits of nvmlDeviceGetCurrentClocksThrottleReasons that slow a device down.
std::vector<std::string> ThrottleReasons(uint64_t bits);

}  // namespace het::cuda

#endif  // HET_DEVICES_CUDA_NVML_H_
