// Telemetry: what the sensors of one device say at one moment. Plain data; hetd gets it from a
// probe as JSON. A figure that the device does not give is absent, never zero.
#ifndef HET_DEVICES_TELEMETRY_H_
#define HET_DEVICES_TELEMETRY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace het {

struct Telemetry {
  std::string uuid;  // of the device
  // Why the device cannot be used now ("lost", "XID 79: fallen off the bus"); empty: it is well.
  std::string fault;
  std::optional<uint64_t> memory_used_bytes;
  std::optional<uint64_t> memory_total_bytes;
  std::optional<double> utilization_percent;  // of the time, as the vendor counts it
  std::optional<double> memory_utilization_percent;
  std::optional<double> power_watts;
  std::optional<double> power_limit_watts;
  std::optional<double> temperature_celsius;  // of the chip
  std::optional<double> core_clock_mhz;
  std::optional<double> memory_clock_mhz;
  std::optional<double> energy_joules;       // since the driver was loaded
  std::optional<uint64_t> corrected_errors;  // ECC, RAS: since the driver was loaded
  std::optional<uint64_t> uncorrected_errors;
  std::vector<std::string> throttle_reasons;  // "thermal", "power", "current", ...
};

// {"id","fault","memoryUsedBytes","memoryTotalBytes","utilizationPercent",
// "memoryUtilizationPercent","powerWatts","powerLimitWatts","temperatureCelsius","coreClockMhz",
// "memoryClockMhz","energyJoules","correctedErrors","uncorrectedErrors","throttleReasons"}: what is
// absent is left out.
Json ToJson(const Telemetry& telemetry);
absl::StatusOr<Telemetry> TelemetryFromJson(const Json& json);

}  // namespace het

#endif  // HET_DEVICES_TELEMETRY_H_
