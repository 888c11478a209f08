#include "devices/hip/sensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace het::hip {
namespace {

// A card's folder as the amdgpu driver makes it.
class Card {
 public:
  Card()
      : path_(std::filesystem::temp_directory_path() / ("het-card-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Card() { std::filesystem::remove_all(path_); }
  void Write(const std::string& file, const char* text) const {
    std::filesystem::create_directories((path_ / file).parent_path());
    std::ofstream(path_ / file) << text;
  }
  std::string path() const { return path_; }

 private:
  const std::filesystem::path path_;
};

TEST(HipSensors, ReadWhatTheDriverWrites) {
  const Card card;
  card.Write("gpu_busy_percent", "87\n");
  card.Write("mem_info_vram_used", "1073741824\n");
  card.Write("mem_info_vram_total", "206141652992\n");
  card.Write("ras/umc_err_count", "ue: 1\nce: 20\n");
  card.Write("hwmon/hwmon7/power1_input", "312000000\n");
  card.Write("hwmon/hwmon7/power1_cap", "750000000\n");
  card.Write("hwmon/hwmon7/temp1_input", "43000\n");
  card.Write("hwmon/hwmon7/freq1_input", "2100000000\n");
  const Telemetry telemetry = ReadSensors(card.path());
  EXPECT_EQ(telemetry.utilization_percent, 87);
  EXPECT_EQ(telemetry.memory_used_bytes, 1073741824u);
  EXPECT_EQ(telemetry.memory_total_bytes, 206141652992u);
  EXPECT_EQ(telemetry.uncorrected_errors, 1u);
  EXPECT_EQ(telemetry.corrected_errors, 20u);
  EXPECT_EQ(telemetry.power_watts, 312);
  EXPECT_EQ(telemetry.power_limit_watts, 750);
  EXPECT_EQ(telemetry.temperature_celsius, 43);
  EXPECT_EQ(telemetry.core_clock_mhz, 2100);
  EXPECT_FALSE(telemetry.memory_clock_mhz.has_value());
}

TEST(HipSensors, WhatIsNotThereIsAbsent) {
  const Telemetry telemetry = ReadSensors("/nowhere");
  EXPECT_FALSE(telemetry.power_watts.has_value());
  EXPECT_FALSE(telemetry.memory_used_bytes.has_value());
}

}  // namespace
}  // namespace het::hip
