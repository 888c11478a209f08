#include "tools/exporter/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace het::exporter {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kSecond = 1'000'000'000;

Snapshot SnapshotAt(int64_t seconds, uint64_t used_ms) {
  Snapshot snapshot;
  snapshot.at_ns = seconds * kSecond;
  snapshot.version = "0.1.0";
  protocol::DeviceRow device;
  device.info.uuid = "d0";
  device.info.vendor = "Acme";
  device.info.name = "a \"quoted\\\" name";
  device.info.memory_bytes = 16 * kGiB;
  device.free = {Share::OfPercent(70), 12 * kGiB};
  snapshot.devices.push_back(device);
  protocol::SliceRow slice;
  slice.slice.id = "s0";
  slice.slice.device = "d0";
  slice.slice.share = Share::OfPercent(30);
  slice.slice.memory_bytes = 4 * kGiB;
  slice.slice.time_shared = true;
  slice.lease = "l0";
  slice.tenant = "ana";
  slice.state = LeaseState::kConfirmed;
  slice.usage.used_ns = used_ms * 1'000'000;
  slice.usage.memory_bytes = kGiB;
  slice.usage.throttled_ns = {{"turn", 1'500'000'000}};
  snapshot.slices.push_back(slice);
  return snapshot;
}

TEST(Metrics, HasNoRatioBeforeTheSecondLook) {
  Metrics metrics;
  EXPECT_THAT(metrics.Render(SnapshotAt(100, 0)), Not(HasSubstr("used_ratio")));
  EXPECT_THAT(metrics.Render(SnapshotAt(110, 2500)),
              HasSubstr("het_lease_compute_used_ratio{lease_id=\"l0\"} 0.25\n"));
}

TEST(Metrics, SaysHowLongALeaseIsIdle) {
  Metrics metrics;
  metrics.Render(SnapshotAt(100, 0));
  metrics.Render(SnapshotAt(110, 2500));
  const std::string text = metrics.Render(SnapshotAt(150, 2500));
  EXPECT_THAT(text, HasSubstr("het_lease_idle_seconds{lease_id=\"l0\"} 40"));
  EXPECT_THAT(text, HasSubstr("het_lease_held_seconds{lease_id=\"l0\"} 50"));
}

TEST(Metrics, ForgetsLeasesThatEnded) {
  Metrics metrics;
  metrics.Render(SnapshotAt(100, 0));
  Snapshot gone = SnapshotAt(110, 0);
  gone.slices.clear();
  EXPECT_THAT(metrics.Render(gone), Not(HasSubstr("l0")));
}

TEST(Metrics, LeavesOutWhatIsStale) {
  Metrics metrics;
  Snapshot stale = SnapshotAt(100, 0);
  metrics.Render(stale);
  stale.at_ns += 10 * kSecond;
  stale.statistics = {{"sampleAgeSeconds", 11.0}};
  const std::string text = metrics.Render(stale);
  EXPECT_THAT(text, Not(HasSubstr("het_lease_memory_used_bytes")));
  EXPECT_THAT(text, Not(HasSubstr("het_lease_compute_used_ratio")));
  EXPECT_THAT(text, HasSubstr("het_lease_memory_limit_bytes"));
}

TEST(Metrics, ShowsNoUseOfADeviceThatCannotBeUsed) {
  Metrics metrics;
  Snapshot sick = SnapshotAt(100, 0);
  sick.devices[0].info.state = DeviceState::kDegraded;
  const std::string text = metrics.Render(sick);
  EXPECT_THAT(text, Not(HasSubstr("hw_gpu_memory_usage_bytes")));
  EXPECT_THAT(text, HasSubstr("state=\"degraded\"} 1"));
}

TEST(Metrics, EscapesLabels) {
  EXPECT_THAT(Metrics().Render(SnapshotAt(100, 0)), HasSubstr(R"(hw_model="a \"quoted\\\" name")"));
}

TEST(Metrics, WritesHistogramsWithTheirSum) {
  Snapshot snapshot = SnapshotAt(100, 0);
  snapshot.statistics = {
      {"acquireSeconds", {{"bounds", {0.001}}, {"counts", {3, 4}}, {"sum", 0.5}}}};
  const std::string text = Metrics().Render(snapshot);
  EXPECT_THAT(text, HasSubstr("het_acquire_duration_seconds_bucket{le=\"0.001\"} 3\n"
                              "het_acquire_duration_seconds_bucket{le=\"+Inf\"} 4\n"
                              "het_acquire_duration_seconds_sum 0.5\n"
                              "het_acquire_duration_seconds_count 4\n"));
}

TEST(Metrics, SaysOnlyThatHetdIsDown) {
  EXPECT_EQ(Metrics::RenderDown(),
            "# HELP het_up Whether hetd answers.\n# TYPE het_up gauge\nhet_up 0\n");
}

TEST(Metrics, ShowsWhatSensorsSayAndNothingWhereThereAreNone) {
  Snapshot snapshot = SnapshotAt(100, 0);
  Telemetry sample;
  sample.uuid = "d0";
  sample.power_watts = 212.5;
  sample.uncorrected_errors = 3;
  sample.throttle_reasons = {"thermal"};
  snapshot.telemetry = {sample};
  const std::string text = Metrics().Render(snapshot);
  EXPECT_THAT(text, HasSubstr("hw_power_watts{hw_id=\"d0\""));
  EXPECT_THAT(text, HasSubstr("} 212.5\n"));
  EXPECT_THAT(text, HasSubstr("hw_error_type=\"uncorrected\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("reason=\"thermal\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("hw_energy_joules_total")));
  EXPECT_THAT(text, Not(HasSubstr("corrected\"} 0")));
}

}  // namespace
}  // namespace het::exporter
