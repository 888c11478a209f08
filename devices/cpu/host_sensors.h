// HostSensors: what the kernel tells of the processors: utilisation from /proc/stat, memory from
// /proc/meminfo, temperature and clock from sysfs where they are. Threads: one at a time.
#ifndef HET_DEVICES_CPU_HOST_SENSORS_H_
#define HET_DEVICES_CPU_HOST_SENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "devices/telemetry.h"

namespace het::cpu {

class HostSensors {
 public:
  // `root`: in front of /proc and /sys. `cores`: the processors that count.
  explicit HostSensors(std::vector<uint32_t> cores, std::string root = "")
      : cores_(std::move(cores)), root_(std::move(root)) {}

  // The first sample has no utilisation: it is a difference.
  Telemetry Sample(const std::string& uuid);

 private:
  void ReadActivity(Telemetry& telemetry);
  void ReadMemory(Telemetry& telemetry);
  void ReadTemperature(Telemetry& telemetry);
  void ReadClock(Telemetry& telemetry);

  const std::vector<uint32_t> cores_;
  const std::string root_;
  uint64_t last_busy_ = 0, last_total_ = 0;  // ticks
};

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_HOST_SENSORS_H_
