#include "devices/cuda/nvml.h"

#include <dlfcn.h>

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace het::cuda {
namespace {

constexpr char kLibrary[] = "libnvidia-ml.so.1";

absl::StatusOr<Nvml> Open() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::UnavailableError(absl::StrCat(
        "cannot open ", kLibrary, ": no sensors and no MIG instances (Debian: libnvidia-ml1)"));
  }
  Nvml nvml;
#define HET_NVML_FIND(name, arguments) \
  nvml.name = reinterpret_cast<decltype(nvml.name)>(dlsym(library, #name));
  HET_NVML_REQUIRED(HET_NVML_FIND)
  HET_NVML_OPTIONAL(HET_NVML_FIND)
#undef HET_NVML_FIND
#define HET_NVML_CHECK(name, arguments)                  \
  if (nvml.name == nullptr)                              \
    return absl::UnavailableError(absl::StrCat(kLibrary, \
                                               " has "   \
                                               "no " #name));
  HET_NVML_REQUIRED(HET_NVML_CHECK)
#undef HET_NVML_CHECK
  if (const nvmlReturn error = nvml.nvmlInit_v2(); error != NVML_SUCCESS) {
    return absl::UnavailableError(absl::StrCat(kLibrary, ": nvmlInit gives ", error));
  }
  return nvml;
}

NvmlEntry Describe(const Nvml& nvml, nvmlDevice handle) {
  NvmlEntry entry{.handle = handle, .uuid = {}, .name = {}, .instances = {}};
  char text[128] = "";
  if (nvml.nvmlDeviceGetUUID(handle, text, sizeof(text)) == NVML_SUCCESS) {
    absl::string_view uuid = text;
    if (!absl::ConsumePrefix(&uuid, "GPU-")) absl::ConsumePrefix(&uuid, "MIG-");
    entry.uuid = absl::AsciiStrToLower(uuid);
  }
  if (nvml.nvmlDeviceGetName(handle, text, sizeof(text)) == NVML_SUCCESS) entry.name = text;
  nvmlMemory memory = {};
  if (nvml.nvmlDeviceGetMemoryInfo(handle, &memory) == NVML_SUCCESS) {
    entry.memory_bytes = memory.total;
  }
  return entry;
}

}  // namespace

absl::StatusOr<const Nvml*> LoadNvml() {
  static const absl::StatusOr<Nvml>* const nvml = new absl::StatusOr<Nvml>(Open());
  if (!nvml->ok()) return nvml->status();
  return &**nvml;
}

std::vector<NvmlEntry> NvmlDevices(const Nvml& nvml) {
  std::vector<NvmlEntry> entries;
  unsigned int count = 0;
  if (nvml.nvmlDeviceGetCount_v2(&count) != NVML_SUCCESS) return entries;
  for (unsigned int i = 0; i < count; ++i) {
    nvmlDevice handle = nullptr;
    if (nvml.nvmlDeviceGetHandleByIndex_v2(i, &handle) != NVML_SUCCESS) continue;  // lost
    NvmlEntry entry = Describe(nvml, handle);
    unsigned int current = 0, pending = 0, most = 0;
    if (nvml.nvmlDeviceGetMigMode != nullptr && nvml.nvmlDeviceGetMaxMigDeviceCount != nullptr &&
        nvml.nvmlDeviceGetMigDeviceHandleByIndex != nullptr &&
        nvml.nvmlDeviceGetMigMode(handle, &current, &pending) == NVML_SUCCESS && current == 1) {
      entry.mig = true;
      nvml.nvmlDeviceGetMaxMigDeviceCount(handle, &most);
    }
    for (unsigned int index = 0; index < most; ++index) {
      nvmlDevice instance = nullptr;
      if (nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index, &instance) != NVML_SUCCESS)
        continue;  // no instance in that place
      NvmlEntry part = Describe(nvml, instance);
      nvmlDeviceAttributes attributes = {};
      if (nvml.nvmlDeviceGetAttributes_v2 != nullptr &&
          nvml.nvmlDeviceGetAttributes_v2(instance, &attributes) == NVML_SUCCESS) {
        part.multiprocessors = attributes.multiprocessors;
      }
      entry.instances.push_back(std::move(part));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

Telemetry ReadSensors(const Nvml& nvml, const NvmlEntry& entry) {
  Telemetry telemetry;
  telemetry.uuid = entry.uuid;
  nvmlMemory memory = {};
  const nvmlReturn seen = nvml.nvmlDeviceGetMemoryInfo(entry.handle, &memory);
  if (seen == NVML_ERROR_GPU_IS_LOST) {
    telemetry.fault = "the card has fallen off the bus (NVML: GPU is lost); reset it or reboot";
    return telemetry;
  }
  if (seen == NVML_SUCCESS) {
    telemetry.memory_used_bytes = memory.used;
    telemetry.memory_total_bytes = memory.total;
  }
  // What this card or driver has, as a number times `scale`.
  const auto read = [&entry](auto function, double scale, auto&&... arguments) {
    unsigned int value = 0;
    std::optional<double> figure;
    if (function != nullptr && function(entry.handle, arguments..., &value) == NVML_SUCCESS)
      figure = value * scale;
    return figure;
  };
  nvmlUtilization rates = {};
  if (nvml.nvmlDeviceGetUtilizationRates != nullptr &&
      nvml.nvmlDeviceGetUtilizationRates(entry.handle, &rates) == NVML_SUCCESS) {
    telemetry.utilization_percent = rates.gpu;
    telemetry.memory_utilization_percent = rates.memory;
  }
  telemetry.power_watts = read(nvml.nvmlDeviceGetPowerUsage, 1e-3);
  telemetry.power_limit_watts = read(nvml.nvmlDeviceGetEnforcedPowerLimit, 1e-3);
  telemetry.temperature_celsius = read(nvml.nvmlDeviceGetTemperature, 1, NVML_TEMPERATURE_GPU);
  telemetry.core_clock_mhz = read(nvml.nvmlDeviceGetClockInfo, 1, NVML_CLOCK_SM);
  telemetry.memory_clock_mhz = read(nvml.nvmlDeviceGetClockInfo, 1, NVML_CLOCK_MEM);
  unsigned long long value = 0;  // NOLINT(google-runtime-int): theirs
  if (nvml.nvmlDeviceGetTotalEnergyConsumption != nullptr &&
      nvml.nvmlDeviceGetTotalEnergyConsumption(entry.handle, &value) == NVML_SUCCESS) {
    telemetry.energy_joules = static_cast<double>(value) * 1e-3;
  }
  if (nvml.nvmlDeviceGetTotalEccErrors != nullptr) {
    const auto errors = [&](int type) {
      std::optional<uint64_t> count;
      if (nvml.nvmlDeviceGetTotalEccErrors(entry.handle, type, NVML_VOLATILE_ECC, &value) ==
          NVML_SUCCESS) {
        count = value;
      }
      return count;
    };
    telemetry.corrected_errors = errors(NVML_MEMORY_ERROR_TYPE_CORRECTED);
    telemetry.uncorrected_errors = errors(NVML_MEMORY_ERROR_TYPE_UNCORRECTED);
  }
  if (nvml.nvmlDeviceGetCurrentClocksThrottleReasons != nullptr &&
      nvml.nvmlDeviceGetCurrentClocksThrottleReasons(entry.handle, &value) == NVML_SUCCESS) {
    telemetry.throttle_reasons = ThrottleReasons(value);
  }
  return telemetry;
}

std::vector<std::string> ThrottleReasons(uint64_t bits) {
  // nvml.h, "nvmlClocksThrottleReasons"; idle and the operator's own clock limits are no trouble.
  static constexpr std::pair<uint64_t, const char*> kReasons[] = {
      {0x4, "power"},    {0x8, "hardware"},     {0x20, "thermal"},
      {0x40, "thermal"}, {0x80, "power brake"}, {0x10, "sync boost"},
  };
  std::vector<std::string> names;
  for (const auto& [bit, name] : kReasons) {
    if ((bits & bit) != 0 && (names.empty() || names.back() != name)) names.emplace_back(name);
  }
  return names;
}

}  // namespace het::cuda
