// Functional mode: kernels and copies really run, and take the profile's time.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/clock.h"
#include "devices/simulated/testing.h"

namespace het::simulated {
namespace {

class Functional : public SimulatedTest {
 protected:
  static int64_t Now() { return Clock::Real().MonotonicNanos(); }
};

TEST_F(Functional, RunsTheKernelAndHoldsItBack) {
  Load("functional", DeviceText("a"));
  EXPECT_EQ(clock_, nullptr) << "its clock is ours";
  Bench a(Open());
  ASSERT_TRUE(a.queue->Fill(*a.buffer, 0, 64, 0).ok());
  const int64_t start = Now();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(a.Work(20 * kMillisecondOfFlops).ok());
  uint32_t count = 0;
  ASSERT_TRUE(a.queue->Read(*a.buffer, 0, &count, 4, {.signal = {a.timeline, ++a.value}}).ok());
  ASSERT_TRUE(a.Wait().ok());
  EXPECT_GE(Now() - start, 60 * kMillisecond);
  EXPECT_EQ(count, 3u);
  EXPECT_GE(a.queue->busy_nanos(), 60 * kMillisecond);
}

TEST_F(Functional, LatenessDoesNotAddUp) {
  Load("functional", DeviceText("a"));
  Bench a(Open());
  constexpr int kLaunches = 100;
  const int64_t expected = kLaunches * (kMillisecond / 2 + kLaunchNanos);
  // The best of some rounds: a busy machine may be late once more at the end.
  int64_t best = INT64_MAX;
  for (int round = 0; round < 20 && best > expected * 12 / 10; ++round) {
    const int64_t start = Now();
    for (int i = 0; i < kLaunches; ++i) ASSERT_TRUE(a.Work(0.5 * kMillisecondOfFlops).ok());
    ASSERT_TRUE(a.Wait().ok());
    best = std::min(best, Now() - start);
  }
  EXPECT_GE(best, expected);
  EXPECT_LT(best, expected * 12 / 10);
}

TEST_F(Functional, DevicesAndDirectionsRunBesideEachOther) {
  constexpr uint64_t kCopies = 400;  // 0.1 ms each, which is the link's latency
  std::vector<char> host(4096), back(4096);
  Load("functional", DeviceText("a") + DeviceText("b"));
  Bench a(Open(0)), b(Open(1));
  const Ref<Buffer> in = *a.device->Allocate(host.size());
  const Ref<Buffer> out = *a.device->Allocate(back.size());
  const std::unique_ptr<Queue> up = *a.device->CreateQueue(QueueKind::kTransfer);
  const std::unique_ptr<Queue> down = *a.device->CreateQueue(QueueKind::kTransfer);
  const Ref<Timeline> moved = *a.device->CreateTimeline();
  const Ref<Timeline> fetched = *a.device->CreateTimeline();
  const int64_t start = Now();
  ASSERT_TRUE(a.Work(150 * kMillisecondOfFlops).ok());
  ASSERT_TRUE(b.Work(150 * kMillisecondOfFlops).ok());
  for (uint64_t i = 1; i <= kCopies; ++i) {
    ASSERT_TRUE(up->Write(host.data(), *in, 0, host.size(), {.signal = {moved, i}}).ok());
    ASSERT_TRUE(down->Read(*out, 0, back.data(), back.size(), {.signal = {fetched, i}}).ok());
  }
  ASSERT_TRUE(moved->Wait(kCopies, absl::Seconds(20)).ok());
  ASSERT_TRUE(fetched->Wait(kCopies, absl::Seconds(20)).ok());
  ASSERT_TRUE(a.Wait().ok());
  ASSERT_TRUE(b.Wait().ok());
  const int64_t took = Now() - start;
  EXPECT_GE(took, 150 * kMillisecond);
  EXPECT_LT(took, 300 * kMillisecond) << "all one after another would be 380 ms";
}

TEST_F(Functional, QueuesOfADeviceShareItsCompute) {
  Load("functional", DeviceText("a"));
  Bench a(Open());
  const std::unique_ptr<Queue> second = *a.device->CreateQueue(QueueKind::kCompute);
  const Ref<Timeline> other = *a.device->CreateTimeline();
  const int64_t start = Now();
  ASSERT_TRUE(a.Work(30 * kMillisecondOfFlops).ok());
  ASSERT_TRUE(a.Launch(*second, {30 * kMillisecondOfFlops, 0, 0}, {.signal = {other, 1}}).ok());
  ASSERT_TRUE(a.Wait().ok());
  ASSERT_TRUE(other->Wait(1, absl::Seconds(20)).ok());
  EXPECT_GE(Now() - start, 60 * kMillisecond);
}

TEST_F(Functional, OnlyStagingIsHostAddressable) {
  Load("functional", DeviceText("a"));
  const std::unique_ptr<Device> device = Open();
  EXPECT_EQ((*device->Allocate(64))->host(), nullptr);
  EXPECT_NE((*device->Allocate(64, MemoryKind::kStaging))->host(), nullptr);
}

TEST_F(Functional, SaysSimulatedWhereItIsShown) {
  Load("functional", DeviceText("a"));
  for (const DeviceInfo& info : infos_) {
    EXPECT_TRUE(info.simulated);
    EXPECT_NE(info.name.find("simulated"), std::string::npos);
    EXPECT_NE(info.vendor.find("simulated"), std::string::npos);
    EXPECT_EQ(info.attributes.at("mode"), "functional");
  }
}

TEST(SimulatedDriver, IsUnavailableWithoutAProfile) {
  const absl::Status status = CreateDriver({}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_NE(status.message().find("profile"), absl::string_view::npos);
}

}  // namespace
}  // namespace het::simulated
