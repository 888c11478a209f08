// Injected faults, in both modes.
#include "devices/simulated/faults.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "base/units.h"
#include "devices/simulated/testing.h"

namespace het::simulated {
namespace {

class InjectedFaults : public SimulatedTest, public testing::WithParamInterface<const char*> {
 protected:
  bool timing() const { return std::string(GetParam()) == "timing"; }
  static void ExpectLost(const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  }
};

TEST_P(InjectedFaults, ADeviceIsLostAfterSomeOperations) {
  Load(GetParam(), DeviceText("a", "[device.fault]\nlose_after_ops = 2\n") + DeviceText("b"));
  Bench a(Open(0)), b(Open(1));
  const Ref<Timeline> next = *a.device->CreateTimeline();
  ASSERT_TRUE(a.Work(1e6).ok());
  ASSERT_TRUE(a.Work(1e6).ok());
  ASSERT_TRUE(a.Launch(*a.queue, {1e6, 0, 0}, {}).ok());
  ASSERT_TRUE(a.queue->Barrier({.signal = {next, 1}}).ok());
  EXPECT_TRUE(a.Wait().ok()) << "two were to be done";
  ExpectLost(next->Wait(1, absl::Seconds(20)));
  ExpectLost(a.Work(1e6));
  ExpectLost(a.device->Allocate(64).status());
  ExpectLost(a.device->CreateQueue(QueueKind::kCompute).status());
  ExpectLost(driver_->Open(infos_[0].uuid, {}).status());
  const DeviceInfo shown = (*driver_->Enumerate())[0];
  EXPECT_EQ(shown.state, DeviceState::kDegraded);
  EXPECT_FALSE(shown.reason.empty());
  EXPECT_FALSE(shown.remedy.empty());
  ASSERT_TRUE(b.Work(1e6).ok());
  EXPECT_TRUE(b.Wait().ok()) << "a lost device fails only its own work";
}

TEST_P(InjectedFaults, LosingADeviceFailsWhatIsQueuedAndWhatWaitsForIt) {
  Load(GetParam(), DeviceText("a") + DeviceText("b"));
  Bench a(Open(0)), b(Open(1));
  // An hour of work, several queues deep.
  const std::unique_ptr<Queue> second = *a.device->CreateQueue(QueueKind::kCompute);
  const Ref<Timeline> other = *a.device->CreateTimeline();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(a.Work(3600e3 * kMillisecondOfFlops).ok());
  const Fence after_a[] = {{a.timeline, 2}};
  ASSERT_TRUE(second->Barrier({.waits = after_a, .signal = {other, 1}}).ok());
  ASSERT_TRUE(
      b.Launch(*b.queue, {1e6, 0, 0}, {.waits = after_a, .signal = {b.timeline, ++b.value}}).ok());
  LoseDevice(infos_[0].uuid);
  ExpectLost(a.timeline->Wait(1, absl::Seconds(20)));
  ExpectLost(other->Wait(1, absl::Seconds(20)));
  ExpectLost(b.Wait());
  EXPECT_TRUE(a.timeline->failed());
  // The other device works on, with a new queue.
  Bench again(Open(1));
  ASSERT_TRUE(again.Work(1e6).ok());
  EXPECT_TRUE(again.Wait().ok());
}

TEST_P(InjectedFaults, AHealedDeviceCanBeOpenedAgain) {
  Load(GetParam(), DeviceText("a", "[device.fault]\nlose_after_ops = 0\n"));
  Bench old(Open());
  ASSERT_TRUE(old.Work(1e6).ok());
  ExpectLost(old.Wait());
  HealDevice(infos_[0].uuid);
  EXPECT_EQ((*driver_->Enumerate())[0].state, DeviceState::kOk);
  Bench fresh(Open());
  ASSERT_TRUE(fresh.Work(1e6).ok());
  EXPECT_TRUE(fresh.Wait().ok());
  ExpectLost(old.device->Allocate(64).status());
}

TEST_P(InjectedFaults, ADeviceIsLostAtItsTime) {
  Load(GetParam(), DeviceText("a", "[device.fault]\nlose_at_ms = 100\n"));
  Bench a(Open());
  // Work of 20 ms: what would start after 100 ms does not.
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(a.Work(20 * kMillisecondOfFlops).ok());
  ExpectLost(a.Wait());
  EXPECT_LE(a.timeline->value(), 5u);
  if (timing()) {
    EXPECT_EQ(a.timeline->value(), 4u) << "the fifth is on the device at 100 ms";
    EXPECT_EQ(clock_->NowNanos(), 100 * kMillisecond);
  }
}

TEST_P(InjectedFaults, AHungOperationNeverCompletes) {
  Load(GetParam(), DeviceText("a", "[device.fault]\nhang_after_ops = 1\n"));
  Bench a(Open());
  ASSERT_TRUE(a.Work(1e6).ok());
  EXPECT_TRUE(a.Wait().ok());
  ASSERT_TRUE(a.Work(1e6).ok());
  ASSERT_TRUE(a.Work(1e6).ok());
  EXPECT_EQ(a.timeline->Wait(2, absl::Milliseconds(30)).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(a.timeline->failed());
  a.queue = nullptr;  // must not hang
  EXPECT_EQ(a.timeline->Wait(3, absl::Seconds(20)).code(), absl::StatusCode::kCancelled);
}

TEST_P(InjectedFaults, LosingAHungDeviceEndsTheHang) {
  Load(GetParam(), DeviceText("a", "[device.fault]\nhang_after_ops = 0\n"));
  Bench a(Open());
  ASSERT_TRUE(a.Work(1e6).ok());
  EXPECT_FALSE(a.timeline->Wait(1, absl::Milliseconds(10)).ok());
  LoseDevice(infos_[0].uuid, "pulled out");
  const absl::Status status = a.Wait();
  ExpectLost(status);
  EXPECT_NE(status.message().find("pulled out"), absl::string_view::npos) << status;
}

TEST_P(InjectedFaults, MemoryEndsEarly) {
  Load(GetParam(), DeviceText("a", "[device.fault]\nout_of_memory_after = \"3MiB\"\n"));
  const std::unique_ptr<Device> device = Open();
  Ref<Buffer> first = *device->Allocate(2 * kMiB);
  const absl::Status status = device->Allocate(2 * kMiB).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(device->allocated_bytes(), 2 * kMiB);
  EXPECT_TRUE(device->Allocate(kMiB).ok());
  first = nullptr;
  EXPECT_TRUE(device->Allocate(2 * kMiB).ok());
}

TEST_P(InjectedFaults, ASlowLinkTakesLonger) {
  Load(GetParam(), DeviceText("a"));
  Bench a(Open());
  std::vector<char> host(1 << 20);
  const auto copy = [&] {
    const int64_t before = a.queue->busy_nanos();
    EXPECT_TRUE(
        a.queue->Write(host.data(), *a.buffer, 0, host.size(), {.signal = {a.timeline, ++a.value}})
            .ok());
    EXPECT_TRUE(a.Wait().ok());
    return a.queue->busy_nanos() - before;
  };
  const int64_t expected = kLatencyNanos + 104'858;  // 1 MiB at 10 GB/s
  EXPECT_GE(copy(), timing() ? expected : 0);
  SetFaults(infos_[0].uuid, {.link_slowdown = 50});
  const int64_t slow = copy();
  // Functional mode holds back to a time counted from the submission; a thread that starts late on
  // a busy machine has less of it left to be busy.
  EXPECT_GE(slow, timing() ? 50 * expected - 100 : 20 * expected);
  if (timing()) {
    EXPECT_LE(slow, 50 * expected + 100);
  }
}

TEST_P(InjectedFaults, APlanSetLaterCountsFromThen) {
  Load(GetParam(), DeviceText("a"));
  Bench a(Open());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(a.Work(1e6).ok());
  ASSERT_TRUE(a.Wait().ok());
  SetFaults(infos_[0].uuid, {.lose_after_ops = 1});
  ASSERT_TRUE(a.Work(1e6).ok());
  EXPECT_TRUE(a.Wait().ok());
  ASSERT_TRUE(a.Work(1e6).ok());
  ExpectLost(a.Wait());
}

INSTANTIATE_TEST_SUITE_P(Modes, InjectedFaults, testing::Values("functional", "timing"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace het::simulated
