// Sensors: sysman's figures of one device. Power and utilisation are differences between two
// samples, so the first sample has neither. Threads: one at a time.
#ifndef HET_DEVICES_LEVEL_ZERO_SENSORS_H_
#define HET_DEVICES_LEVEL_ZERO_SENSORS_H_

#include <cstdint>

#include "devices/level_zero/api.h"
#include "devices/telemetry.h"

namespace het::level_zero {

class Sensors {
 public:
  Sensors(const Api& api, Handle device) : api_(api), device_(device) {}

  // What the driver tells; what it does not is absent. Never fails: a device that is lost is a
  // fault in the answer.
  Telemetry Sample(const std::string& uuid);

 private:
  void ReadState(Telemetry& telemetry);
  void ReadMemory(Telemetry& telemetry);
  void ReadPower(Telemetry& telemetry);
  void ReadTemperature(Telemetry& telemetry);
  void ReadFrequency(Telemetry& telemetry);
  void ReadActivity(Telemetry& telemetry);
  void ReadErrors(Telemetry& telemetry);

  const Api& api_;
  const Handle device_;
  EnergyCounter last_energy_;
  EngineStats last_activity_;
};

}  // namespace het::level_zero

#endif  // HET_DEVICES_LEVEL_ZERO_SENSORS_H_
