// The soft libnvidia-ml.so.1: the cards of cards.h, and sensors whose values the settings give:
// utilization, power (W), temperature, clock (MHz), ecc (uncorrected errors), throttle (bits).
#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <deque>

#include "devices/cuda/nvml.h"
#include "tests/soft_drivers/cuda/cards.h"

#define HET_EXPORT extern "C" __attribute__((visibility("default")))

namespace het::cuda {

struct nvmlDeviceOpaque {
  soft::cuda::CardFacts facts;
  std::deque<nvmlDeviceOpaque> instances;
};

#define HET_DECLARE(name, arguments) HET_EXPORT nvmlReturn name arguments;
HET_NVML_REQUIRED(HET_DECLARE)
HET_NVML_OPTIONAL(HET_DECLARE)
#undef HET_DECLARE

namespace {

enum : nvmlReturn { NVML_ERROR_INVALID_ARGUMENT = 2, NVML_ERROR_NOT_FOUND = 6 };

struct Management {
  Management() {
    for (const soft::cuda::CardFacts& card : soft::cuda::Cards(settings)) {
      devices.push_back({card, {}});
      for (const soft::cuda::CardFacts& part : card.instances)
        devices.back().instances.push_back({part, {}});
    }
  }
  soft::Settings settings{soft::cuda::kVariable};
  std::deque<nvmlDeviceOpaque> devices;  // all of them: NVML does not read CUDA_VISIBLE_DEVICES
};

Management& The() {
  static Management* const management = new Management;
  return *management;
}

nvmlReturn Check(const char* point, nvmlDevice device) {
  const std::string_view word =
      The().settings.Check(point, device != nullptr ? device->facts.card : -1);
  if (word.empty()) return NVML_SUCCESS;
  return word == "lost" ? NVML_ERROR_GPU_IS_LOST : NVML_ERROR_NOT_SUPPORTED;
}

template <typename T>
nvmlReturn Sensor(const char* point, nvmlDevice device, const char* key, uint64_t otherwise,
                  uint64_t scale, T* value) {
  if (const nvmlReturn error = Check(point, device); error != NVML_SUCCESS) return error;
  *value = static_cast<T>(The().settings.Number(key, otherwise, device->facts.card) * scale);
  return NVML_SUCCESS;
}

}  // namespace

HET_EXPORT nvmlReturn nvmlInit_v2() { return Check("nvmlInit_v2", nullptr); }

HET_EXPORT nvmlReturn nvmlSystemGetDriverVersion(char* text, unsigned int length) {
  std::snprintf(text, length, "580.0 (soft)");
  return NVML_SUCCESS;
}

HET_EXPORT nvmlReturn nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = static_cast<unsigned int>(The().devices.size());
  return NVML_SUCCESS;
}

HET_EXPORT nvmlReturn nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice* device) {
  if (index >= The().devices.size()) return NVML_ERROR_INVALID_ARGUMENT;
  *device = &The().devices[index];
  return Check("nvmlDeviceGetHandleByIndex_v2", *device);
}

HET_EXPORT nvmlReturn nvmlDeviceGetUUID(nvmlDevice device, char* text, unsigned int length) {
  std::snprintf(text, length, "%s", device->facts.UuidText().c_str());
  return NVML_SUCCESS;
}

HET_EXPORT nvmlReturn nvmlDeviceGetName(nvmlDevice device, char* text, unsigned int length) {
  std::snprintf(text, length, "%s", device->facts.name.c_str());
  return NVML_SUCCESS;
}

HET_EXPORT nvmlReturn nvmlDeviceGetMemoryInfo(nvmlDevice device, nvmlMemory* memory) {
  if (const nvmlReturn error = Check("nvmlDeviceGetMemoryInfo", device); error != NVML_SUCCESS)
    return error;
  uint64_t used = 0;
  if (void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD); driver != nullptr) {
    if (void* symbol = dlsym(driver, "het_soft_cuda_used"); symbol != nullptr)
      used = reinterpret_cast<uint64_t (*)(int)>(symbol)(device->facts.card);
  }
  memory->total = device->facts.memory;
  memory->used = used;
  memory->free = memory->total - used;
  return NVML_SUCCESS;
}

// The second version of the struct has a version in front, and what the driver keeps to itself.
struct nvmlMemoryV2 {
  unsigned int version;
  unsigned long long total, reserved, free, used;  // NOLINT(google-runtime-int): theirs
};

HET_EXPORT nvmlReturn nvmlDeviceGetMemoryInfo_v2(nvmlDevice device, nvmlMemoryV2* memory) {
  if (memory->version != (sizeof(*memory) | 2u << 24)) return NVML_ERROR_INVALID_ARGUMENT;
  nvmlMemory first = {};
  const nvmlReturn error = nvmlDeviceGetMemoryInfo(device, &first);
  memory->total = first.total;
  memory->reserved = 0;
  memory->free = first.free;
  memory->used = first.used;
  return error;
}

HET_EXPORT nvmlReturn nvmlDeviceGetPciInfo_v3(nvmlDevice device, nvmlPciInfo* info) {
  *info = {};
  info->bus = static_cast<unsigned int>(0xC0 + device->facts.card);
  std::snprintf(info->bus_id, sizeof(info->bus_id), "00000000:%02X:00.0", info->bus);
  return NVML_SUCCESS;
}

HET_EXPORT nvmlReturn nvmlDeviceGetUtilizationRates(nvmlDevice device, nvmlUtilization* rates) {
  rates->memory = 0;
  return Sensor("nvmlDeviceGetUtilizationRates", device, "utilization", 0, 1, &rates->gpu);
}
HET_EXPORT nvmlReturn nvmlDeviceGetPowerUsage(nvmlDevice device, unsigned int* milliwatts) {
  return Sensor("nvmlDeviceGetPowerUsage", device, "power", 70, 1000, milliwatts);
}
HET_EXPORT nvmlReturn nvmlDeviceGetEnforcedPowerLimit(nvmlDevice device, unsigned int* milliwatts) {
  return Sensor("nvmlDeviceGetEnforcedPowerLimit", device, "power_limit", 700, 1000, milliwatts);
}
HET_EXPORT nvmlReturn nvmlDeviceGetTemperature(nvmlDevice device, int sensor,
                                               unsigned int* celsius) {
  if (sensor != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  return Sensor("nvmlDeviceGetTemperature", device, "temperature", 35, 1, celsius);
}
HET_EXPORT nvmlReturn nvmlDeviceGetClockInfo(nvmlDevice device, int clock, unsigned int* mhz) {
  return Sensor("nvmlDeviceGetClockInfo", device,
                clock == NVML_CLOCK_MEM ? "memory_clock" : "clock",
                clock == NVML_CLOCK_MEM ? 2619 : 1980, 1, mhz);
}
HET_EXPORT nvmlReturn nvmlDeviceGetTotalEnergyConsumption(nvmlDevice device,
                                                          unsigned long long* millijoules) {
  return Sensor("nvmlDeviceGetTotalEnergyConsumption", device, "energy", 0, 1000, millijoules);
}
HET_EXPORT nvmlReturn nvmlDeviceGetTotalEccErrors(nvmlDevice device, int type, int,
                                                  unsigned long long* errors) {
  return Sensor("nvmlDeviceGetTotalEccErrors", device,
                type == NVML_MEMORY_ERROR_TYPE_UNCORRECTED ? "ecc" : "ecc_corrected", 0, 1, errors);
}
HET_EXPORT nvmlReturn nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice device,
                                                                unsigned long long* reasons) {
  return Sensor("nvmlDeviceGetCurrentClocksThrottleReasons", device, "throttle", 0, 1, reasons);
}

HET_EXPORT nvmlReturn nvmlDeviceGetMigMode(nvmlDevice device, unsigned int* current,
                                           unsigned int* pending) {
  *current = *pending = device->instances.empty() ? 0 : 1;
  return NVML_SUCCESS;
}
HET_EXPORT nvmlReturn nvmlDeviceGetMaxMigDeviceCount(nvmlDevice device, unsigned int* count) {
  *count = device->instances.empty() ? 0 : 7;
  return NVML_SUCCESS;
}
HET_EXPORT nvmlReturn nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice device, unsigned int index,
                                                          nvmlDevice* instance) {
  if (index >= device->instances.size()) return NVML_ERROR_NOT_FOUND;
  *instance = &device->instances[index];
  return NVML_SUCCESS;
}
HET_EXPORT nvmlReturn nvmlDeviceGetAttributes_v2(nvmlDevice instance,
                                                 nvmlDeviceAttributes* attributes) {
  *attributes = {};
  attributes->multiprocessors = instance->facts.units;
  attributes->memory_mib = instance->facts.memory >> 20;
  return NVML_SUCCESS;
}

}  // namespace het::cuda
