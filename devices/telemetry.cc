#include "devices/telemetry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het {
namespace {

constexpr std::pair<const char*, std::optional<uint64_t> Telemetry::*> kCounts[] = {
    {"memoryUsedBytes", &Telemetry::memory_used_bytes},
    {"memoryTotalBytes", &Telemetry::memory_total_bytes},
    {"correctedErrors", &Telemetry::corrected_errors},
    {"uncorrectedErrors", &Telemetry::uncorrected_errors}};
constexpr std::pair<const char*, std::optional<double> Telemetry::*> kFigures[] = {
    {"utilizationPercent", &Telemetry::utilization_percent},
    {"memoryUtilizationPercent", &Telemetry::memory_utilization_percent},
    {"powerWatts", &Telemetry::power_watts},
    {"powerLimitWatts", &Telemetry::power_limit_watts},
    {"temperatureCelsius", &Telemetry::temperature_celsius},
    {"coreClockMhz", &Telemetry::core_clock_mhz},
    {"memoryClockMhz", &Telemetry::memory_clock_mhz},
    {"energyJoules", &Telemetry::energy_joules}};

}  // namespace

Json ToJson(const Telemetry& telemetry) {
  Json json = {{"id", telemetry.uuid}};
  if (!telemetry.fault.empty()) json["fault"] = telemetry.fault;
  for (const auto& [name, member] : kCounts) {
    if (telemetry.*member) json[name] = *(telemetry.*member);
  }
  for (const auto& [name, member] : kFigures) {
    if (telemetry.*member) json[name] = *(telemetry.*member);
  }
  if (!telemetry.throttle_reasons.empty()) json["throttleReasons"] = telemetry.throttle_reasons;
  return json;
}

absl::StatusOr<Telemetry> TelemetryFromJson(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("telemetry must be a JSON object");
  Telemetry telemetry;
  HET_ASSIGN_OR_RETURN(telemetry.uuid, JsonString(json, "id"));
  if (telemetry.uuid.empty()) return absl::InvalidArgumentError("telemetry without \"id\"");
  HET_ASSIGN_OR_RETURN(telemetry.fault, JsonString(json, "fault"));
  for (const auto& [name, member] : kCounts) {
    if (!json.contains(name)) continue;
    HET_ASSIGN_OR_RETURN(telemetry.*member, JsonUint(json, name));
  }
  for (const auto& [name, member] : kFigures) {
    if (!json.contains(name)) continue;
    HET_ASSIGN_OR_RETURN(telemetry.*member, JsonNumber(json, name));
  }
  if (const auto it = json.find("throttleReasons"); it != json.end()) {
    if (!it->is_array()) return absl::InvalidArgumentError("\"throttleReasons\" must be a list");
    for (const Json& reason : *it) {
      if (!reason.is_string()) {
        return absl::InvalidArgumentError("\"throttleReasons\" must hold texts");
      }
      telemetry.throttle_reasons.push_back(reason.get<std::string>());
    }
  }
  return telemetry;
}

}  // namespace het
