#include "devices/cpu/host_sensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace het::cpu {
namespace {

class HostSensorsTest : public testing::Test {
 protected:
  HostSensorsTest() {
    char name[] = "/tmp/het-sensors-XXXXXX";
    root_ = mkdtemp(name);
    Write("/proc/meminfo", "MemTotal:  1000 kB\nMemFree: 10 kB\nMemAvailable:  400 kB\n");
    Write("/sys/class/thermal/thermal_zone0/type", "acpitz\n");
    Write("/sys/class/thermal/thermal_zone0/temp", "99000\n");
    Write("/sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n");
    Write("/sys/class/thermal/thermal_zone1/temp", "55500\n");
  }
  ~HostSensorsTest() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string root_;
};

TEST_F(HostSensorsTest, CountsTheProcessorsItWasGivenBetweenTwoSamples) {
  HostSensors sensors({1}, root_);
  Write("/proc/stat",
        "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 10 0 0 90 0 0 0 0 5 0\n");
  EXPECT_FALSE(sensors.Sample("u").utilization_percent.has_value());
  Write("/proc/stat", "cpu0 900 0 0 0 0 0 0 0 0 0\ncpu1 40 0 0 160 0 0 0 0 5 0\n");
  EXPECT_DOUBLE_EQ(sensors.Sample("u").utilization_percent.value(), 30);
}

TEST_F(HostSensorsTest, TellsMemoryAndThePackagesTemperature) {
  HostSensors sensors({0}, root_);
  const Telemetry sample = sensors.Sample("u");
  EXPECT_EQ(sample.uuid, "u");
  EXPECT_EQ(sample.memory_total_bytes, 1000u * 1024);
  EXPECT_EQ(sample.memory_used_bytes, 600u * 1024);
  EXPECT_DOUBLE_EQ(sample.temperature_celsius.value(), 55.5);
  EXPECT_FALSE(sample.core_clock_mhz.has_value());
  EXPECT_FALSE(sample.power_watts.has_value());
}

TEST_F(HostSensorsTest, LeavesOutWhatTheKernelDoesNotTell) {
  HostSensors sensors({0}, "/nonexistent");
  EXPECT_EQ(ToJson(sensors.Sample("u")), Json({{"id", "u"}}));
}

TEST(TelemetryJson, ComesBackAsItWas) {
  Telemetry telemetry;
  telemetry.uuid = "u";
  telemetry.fault = "lost";
  telemetry.power_watts = 12.5;
  telemetry.corrected_errors = 3;
  telemetry.throttle_reasons = {"thermal"};
  const auto again = TelemetryFromJson(ToJson(telemetry));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToJson(*again), ToJson(telemetry));
  for (const char* text :
       {"7", "{}", R"({"id":"u","powerWatts":"much"})", R"({"id":"u","throttleReasons":"all"})"}) {
    EXPECT_FALSE(TelemetryFromJson(*ParseJson(text)).ok()) << text;
  }
}

}  // namespace
}  // namespace het::cpu
