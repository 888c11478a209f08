#include "devices/level_zero/sensors.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"

namespace het::level_zero {
namespace {

// The handles of one kind; none where the driver has none.
std::vector<Handle> All(Result (*enumerate)(Handle, uint32_t*, Handle*), Handle device) {
  uint32_t count = 0;
  if (enumerate == nullptr || enumerate(device, &count, nullptr) != kSuccess) return {};
  std::vector<Handle> handles(count);
  if (count == 0 || enumerate(device, &count, handles.data()) != kSuccess) return {};
  return handles;
}

constexpr std::pair<uint32_t, const char*> kThrottles[] = {
    {kThrottleAveragePower, "power"}, {kThrottleBurstPower, "burst power"},
    {kThrottleCurrent, "current"},    {kThrottleThermal, "thermal"},
    {kThrottlePsu, "power supply"},
};

}  // namespace

Telemetry Sensors::Sample(const std::string& uuid) {
  Telemetry telemetry;
  telemetry.uuid = uuid;
  ReadState(telemetry);
  if (!telemetry.fault.empty()) return telemetry;
  ReadMemory(telemetry);
  ReadPower(telemetry);
  ReadTemperature(telemetry);
  ReadFrequency(telemetry);
  ReadActivity(telemetry);
  ReadErrors(telemetry);
  return telemetry;
}

void Sensors::ReadState(Telemetry& telemetry) {
  if (const uint32_t status = api_.zeDeviceGetStatus(device_); status != kSuccess) {
    telemetry.fault = absl::StrCat("zeDeviceGetStatus gives ", ResultName(status));
    return;
  }
  SysmanDeviceState state;
  if (api_.zesDeviceGetState != nullptr && api_.zesDeviceGetState(device_, &state) == kSuccess &&
      (state.reset & kResetWedged) != 0) {
    telemetry.fault = "the device is wedged and needs a reset";
  }
}

void Sensors::ReadMemory(Telemetry& telemetry) {
  uint64_t total = 0, free = 0;
  for (Handle module : All(api_.zesDeviceEnumMemoryModules, device_)) {
    SysmanMemoryProperties properties;
    MemoryState state;
    if (api_.zesMemoryGetProperties(module, &properties) != kSuccess ||
        properties.location != kMemoryOnDevice ||
        api_.zesMemoryGetState(module, &state) != kSuccess) {
      continue;
    }
    total += state.bytes;
    free += state.free_bytes;
  }
  if (total == 0) return;
  telemetry.memory_total_bytes = total;
  telemetry.memory_used_bytes = total - std::min(free, total);
}

void Sensors::ReadPower(Telemetry& telemetry) {
  const std::vector<Handle> domains = All(api_.zesDeviceEnumPowerDomains, device_);
  if (domains.empty()) return;
  Handle card = domains.front();  // the card's own comes first
  EnergyCounter now;
  if (api_.zesPowerGetEnergyCounter(card, &now) != kSuccess) return;
  telemetry.energy_joules = static_cast<double>(now.microjoules) * 1e-6;
  if (last_energy_.microseconds != 0 && now.microseconds > last_energy_.microseconds) {
    telemetry.power_watts = static_cast<double>(now.microjoules - last_energy_.microjoules) /
                            static_cast<double>(now.microseconds - last_energy_.microseconds);
  }
  last_energy_ = now;
  PowerSustainedLimit limit;
  if (api_.zesPowerGetLimits != nullptr &&
      api_.zesPowerGetLimits(card, &limit, nullptr, nullptr) == kSuccess && limit.enabled != 0) {
    telemetry.power_limit_watts = limit.milliwatts * 1e-3;
  }
}

void Sensors::ReadTemperature(Telemetry& telemetry) {
  for (Handle sensor : All(api_.zesDeviceEnumTemperatureSensors, device_)) {
    TemperatureProperties properties;
    double celsius = 0;
    if (api_.zesTemperatureGetProperties(sensor, &properties) != kSuccess ||
        properties.type != kTemperatureGpu ||
        api_.zesTemperatureGetState(sensor, &celsius) != kSuccess) {
      continue;
    }
    telemetry.temperature_celsius =
        std::max(telemetry.temperature_celsius.value_or(celsius), celsius);
  }
}

void Sensors::ReadFrequency(Telemetry& telemetry) {
  for (Handle domain : All(api_.zesDeviceEnumFrequencyDomains, device_)) {
    FrequencyProperties properties;
    FrequencyState state;
    if (api_.zesFrequencyGetProperties(domain, &properties) != kSuccess ||
        api_.zesFrequencyGetState(domain, &state) != kSuccess || state.actual_mhz < 0) {
      continue;
    }
    if (properties.type == kFrequencyGpu) {
      telemetry.core_clock_mhz = state.actual_mhz;
      for (const auto& [flag, name] : kThrottles) {
        if ((state.throttle & flag) != 0) telemetry.throttle_reasons.emplace_back(name);
      }
    } else if (properties.type == kFrequencyMemory) {
      telemetry.memory_clock_mhz = state.actual_mhz;
    }
  }
}

void Sensors::ReadActivity(Telemetry& telemetry) {
  for (Handle engine : All(api_.zesDeviceEnumEngineGroups, device_)) {
    EngineProperties properties;
    EngineStats now;
    if (api_.zesEngineGetProperties(engine, &properties) != kSuccess ||
        properties.type != kEngineAll || properties.on_subdevice != 0 ||
        api_.zesEngineGetActivity(engine, &now) != kSuccess) {
      continue;
    }
    if (last_activity_.timestamp_us != 0 && now.timestamp_us > last_activity_.timestamp_us) {
      const double busy = static_cast<double>(now.active_us - last_activity_.active_us) /
                          static_cast<double>(now.timestamp_us - last_activity_.timestamp_us);
      telemetry.utilization_percent = std::clamp(busy * 100, 0.0, 100.0);
    }
    last_activity_ = now;
    return;
  }
}

void Sensors::ReadErrors(Telemetry& telemetry) {
  constexpr uint8_t kKeep = 0;
  for (Handle set : All(api_.zesDeviceEnumRasErrorSets, device_)) {
    RasProperties properties;
    RasState state;
    if (api_.zesRasGetProperties(set, &properties) != kSuccess ||
        api_.zesRasGetState(set, kKeep, &state) != kSuccess) {
      continue;
    }
    uint64_t count = 0;
    for (const uint64_t category : state.category) count += category;
    auto& total = properties.type == kRasUncorrected ? telemetry.uncorrected_errors
                                                     : telemetry.corrected_errors;
    total = total.value_or(0) + count;
  }
}

}  // namespace het::level_zero
