#include "devices/hip/sensors.h"

#include <filesystem>
#include <fstream>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace het::hip {
namespace {

std::optional<double> ReadNumber(const std::string& path, double scale = 1) {
  std::ifstream file(path);
  std::string line;
  double value = 0;
  if (!std::getline(file, line) || !absl::SimpleAtod(line, &value)) return std::nullopt;
  return value * scale;
}

std::optional<uint64_t> ReadCount(const std::string& path) {
  const std::optional<double> value = ReadNumber(path);
  if (!value.has_value()) return std::nullopt;
  return static_cast<uint64_t>(*value);
}

// The first folder below `path`: the kernel numbers hwmon devices as they come.
std::string FirstFolder(const std::string& path) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) return entry.path();
  return "";
}

// "ue: 1\nce: 20" of the memory controllers.
void ReadErrors(const std::string& path, Telemetry& telemetry) {
  std::ifstream file(path);
  std::string word;
  uint64_t count = 0;
  while (file >> word >> count) {
    if (word == "ue:") telemetry.uncorrected_errors = count;
    if (word == "ce:") telemetry.corrected_errors = count;
  }
}

}  // namespace

Telemetry ReadSensors(const std::string& device) {
  Telemetry telemetry;
  telemetry.memory_used_bytes = ReadCount(device + "/mem_info_vram_used");
  telemetry.memory_total_bytes = ReadCount(device + "/mem_info_vram_total");
  telemetry.utilization_percent = ReadNumber(device + "/gpu_busy_percent");
  telemetry.memory_utilization_percent = ReadNumber(device + "/mem_busy_percent");
  ReadErrors(device + "/ras/umc_err_count", telemetry);
  const std::string monitor = FirstFolder(device + "/hwmon");
  if (monitor.empty()) return telemetry;
  // Microwatts, millidegrees, hertz (Documentation/gpu/amdgpu/thermal.rst). Cards since MI300 have
  // power1_input alone.
  telemetry.power_watts = ReadNumber(monitor + "/power1_average", 1e-6);
  if (!telemetry.power_watts.has_value()) {
    telemetry.power_watts = ReadNumber(monitor + "/power1_input", 1e-6);
  }
  telemetry.power_limit_watts = ReadNumber(monitor + "/power1_cap", 1e-6);
  telemetry.temperature_celsius = ReadNumber(monitor + "/temp1_input", 1e-3);
  telemetry.core_clock_mhz = ReadNumber(monitor + "/freq1_input", 1e-6);
  telemetry.memory_clock_mhz = ReadNumber(monitor + "/freq2_input", 1e-6);
  return telemetry;
}

}  // namespace het::hip
