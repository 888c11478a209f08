#include "devices/cpu/host_sensors.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/files.h"
#include "base/units.h"

namespace het::cpu {
namespace {

constexpr uint64_t kMaxFileBytes = 4 * kMiB;
constexpr int kMaxZones = 64;

std::optional<int64_t> ReadNumber(const std::string& path) {
  const auto text = ReadFile(path, 4096);
  int64_t value = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &value)) {
    return std::nullopt;
  }
  return value;
}

// The KiB behind "MemTotal:".
std::optional<uint64_t> FieldKib(absl::string_view meminfo, absl::string_view field) {
  for (absl::string_view line : absl::StrSplit(meminfo, '\n')) {
    if (!absl::ConsumePrefix(&line, field)) continue;
    uint64_t kib = 0;
    line = absl::StripAsciiWhitespace(line);
    if (absl::SimpleAtoi(line.substr(0, line.find(' ')), &kib)) return kib;
  }
  return std::nullopt;
}

}  // namespace

Telemetry HostSensors::Sample(const std::string& uuid) {
  Telemetry telemetry;
  telemetry.uuid = uuid;
  ReadActivity(telemetry);
  ReadMemory(telemetry);
  ReadTemperature(telemetry);
  ReadClock(telemetry);
  return telemetry;
}

void HostSensors::ReadActivity(Telemetry& telemetry) {
  const auto text = ReadFile(root_ + "/proc/stat", kMaxFileBytes);
  if (!text.ok()) return;
  uint64_t busy = 0, total = 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint32_t core = 0;
    if (words.size() < 6 || !absl::StartsWith(words[0], "cpu") ||
        !absl::SimpleAtoi(words[0].substr(3), &core) ||
        std::find(cores_.begin(), cores_.end(), core) == cores_.end()) {
      continue;
    }
    // user nice system idle iowait irq softirq steal; guest time is in user already.
    for (size_t i = 1; i < std::min<size_t>(words.size(), 9); ++i) {
      uint64_t ticks = 0;
      if (!absl::SimpleAtoi(words[i], &ticks)) return;
      total += ticks;
      if (i != 4 && i != 5) busy += ticks;
    }
  }
  if (last_total_ != 0 && total > last_total_ && busy >= last_busy_) {
    telemetry.utilization_percent =
        100.0 * static_cast<double>(busy - last_busy_) / static_cast<double>(total - last_total_);
  }
  last_busy_ = busy;
  last_total_ = total;
}

void HostSensors::ReadMemory(Telemetry& telemetry) {
  const auto text = ReadFile(root_ + "/proc/meminfo", kMaxFileBytes);
  if (!text.ok()) return;
  const auto total = FieldKib(*text, "MemTotal:"), available = FieldKib(*text, "MemAvailable:");
  if (!total) return;
  telemetry.memory_total_bytes = *total * kKiB;
  if (available && *available <= *total) {
    telemetry.memory_used_bytes = (*total - *available) * kKiB;
  }
}

void HostSensors::ReadTemperature(Telemetry& telemetry) {
  for (int zone = 0; zone < kMaxZones; ++zone) {
    const std::string folder = absl::StrCat(root_, "/sys/class/thermal/thermal_zone", zone);
    const auto type = ReadFile(folder + "/type", 4096);
    if (!type.ok()) return;
    const absl::string_view name = absl::StripAsciiWhitespace(*type);
    if (name != "x86_pkg_temp" && !absl::StartsWith(name, "cpu") && name != "k10temp") continue;
    const auto millidegrees = ReadNumber(folder + "/temp");
    if (!millidegrees) continue;
    const double celsius = static_cast<double>(*millidegrees) * 1e-3;
    telemetry.temperature_celsius =
        std::max(telemetry.temperature_celsius.value_or(celsius), celsius);
  }
}

void HostSensors::ReadClock(Telemetry& telemetry) {
  double sum = 0;
  int count = 0;
  for (const uint32_t core : cores_) {
    const auto khz = ReadNumber(
        absl::StrCat(root_, "/sys/devices/system/cpu/cpu", core, "/cpufreq/scaling_cur_freq"));
    if (!khz) return;
    sum += static_cast<double>(*khz) * 1e-3;
    ++count;
  }
  if (count > 0) telemetry.core_clock_mhz = sum / count;
}

}  // namespace het::cpu
