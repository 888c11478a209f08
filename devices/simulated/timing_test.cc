// Timing mode: when things happen on the virtual clock.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/clock.h"
#include "base/units.h"
#include "devices/simulated/testing.h"

namespace het::simulated {
namespace {

class Timing : public SimulatedTest {
 protected:
  // The virtual time at which `timeline` reaches `value`, noted when it happens.
  void Note(const Ref<Timeline>& timeline, uint64_t value, const std::string& name) {
    timeline->OnReach(value, [this, name](const absl::Status& status) {
      times_[name] = status.ok() ? clock_->NowNanos() : -1;
    });
  }
  std::map<std::string, int64_t> times_;
};

TEST_F(Timing, TakesVirtualTimeAndNoneOfOurs) {
  Load("timing", DeviceText("a"));
  Bench a(Open());
  const int64_t start = Clock::Real().MonotonicNanos();
  ASSERT_TRUE(a.Work(3600e3 * kMillisecondOfFlops).ok());
  EXPECT_EQ(clock_->NowNanos(), 0) << "submitting drives nothing";
  ASSERT_TRUE(a.Wait().ok());
  EXPECT_EQ(clock_->NowNanos(), 3600'000 * kMillisecond + kLaunchNanos);
  EXPECT_EQ(a.queue->busy_nanos(), 3600'000 * kMillisecond + kLaunchNanos);
  EXPECT_LT(Clock::Real().MonotonicNanos() - start, 10'000 * kMillisecond);
}

TEST_F(Timing, OperationsOfAQueueFollowEachOther) {
  Load("timing", DeviceText("a"));
  Bench a(Open());
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(a.Work(i * kMillisecondOfFlops).ok());
    Note(a.timeline, a.value, std::to_string(i));
  }
  clock_->RunUntilIdle();
  EXPECT_EQ(times_["1"], 1 * kMillisecond + 1 * kLaunchNanos);
  EXPECT_EQ(times_["2"], 3 * kMillisecond + 2 * kLaunchNanos);
  EXPECT_EQ(times_["3"], 6 * kMillisecond + 3 * kLaunchNanos);
}

TEST_F(Timing, QueuesOfADeviceShareItsComputeAndDevicesDoNot) {
  Load("timing", DeviceText("a") + DeviceText("b"));
  Bench a(Open(0)), b(Open(1));
  const std::unique_ptr<Queue> second = *a.device->CreateQueue(QueueKind::kCompute);
  const Ref<Timeline> other = *a.device->CreateTimeline();
  ASSERT_TRUE(a.Work(kMillisecondOfFlops).ok());
  ASSERT_TRUE(a.Launch(*second, {kMillisecondOfFlops, 0, 0}, {.signal = {other, 1}}).ok());
  ASSERT_TRUE(b.Work(kMillisecondOfFlops).ok());
  Note(a.timeline, 1, "a1");
  Note(other, 1, "a2");
  Note(b.timeline, 1, "b");
  clock_->RunUntilIdle();
  EXPECT_EQ(times_["a1"], kMillisecond + kLaunchNanos);
  EXPECT_EQ(times_["a2"], 2 * (kMillisecond + kLaunchNanos));
  EXPECT_EQ(times_["b"], kMillisecond + kLaunchNanos);
}

TEST_F(Timing, CopiesOccupyTheLinkOfTheirDirectionBesideCompute) {
  Load("timing", DeviceText("a"));
  Bench a(Open());
  const Ref<Buffer> large = *a.device->Allocate(kMillisecondOfLink);
  const std::unique_ptr<Queue> up = *a.device->CreateQueue(QueueKind::kTransfer);
  const std::unique_ptr<Queue> up2 = *a.device->CreateQueue(QueueKind::kTransfer);
  const std::unique_ptr<Queue> down = *a.device->CreateQueue(QueueKind::kTransfer);
  const Ref<Timeline> t = *a.device->CreateTimeline();
  const Ref<Timeline> t2 = *a.device->CreateTimeline();
  const Ref<Timeline> t3 = *a.device->CreateTimeline();
  char host = 0;  // not touched: no data moves
  ASSERT_TRUE(up->Write(&host, *large, 0, large->bytes(), {.signal = {t, 1}}).ok());
  ASSERT_TRUE(up2->Write(&host, *large, 0, large->bytes(), {.signal = {t2, 1}}).ok());
  ASSERT_TRUE(down->Read(*large, 0, &host, large->bytes(), {.signal = {t3, 1}}).ok());
  ASSERT_TRUE(a.Work(kMillisecondOfFlops).ok());
  Note(t, 1, "up");
  Note(t2, 1, "up2");
  Note(t3, 1, "down");
  Note(a.timeline, 1, "compute");
  clock_->RunUntilIdle();
  EXPECT_EQ(times_["up"], kMillisecond + kLatencyNanos);
  EXPECT_EQ(times_["up2"], 2 * (kMillisecond + kLatencyNanos)) << "one after another";
  EXPECT_EQ(times_["down"], kMillisecond + kLatencyNanos) << "the other direction is free";
  EXPECT_EQ(times_["compute"], kMillisecond + kLaunchNanos);
}

TEST_F(Timing, APartOfADeviceHasItsPartOfTheRate) {
  Load("timing", DeviceText("a", "[device.op.work]\nbatch = [0, 10]\nms = [0.0, 2.0]\n"));
  Bench half(Open(0, {.compute_units = 5})), fifth(Open(0, {.compute_units = 2}));
  EXPECT_EQ(half.device->info().compute_units, 5u);
  ASSERT_TRUE(half.Launch(*half.queue, {0, 0, 5}, {.signal = {half.timeline, 1}}, 3).ok());
  ASSERT_TRUE(fifth.Launch(*fifth.queue, {0, 0, 5}, {.signal = {fifth.timeline, 1}}).ok());
  Note(half.timeline, 1, "half");
  Note(fifth.timeline, 1, "fifth");
  clock_->RunUntilIdle();
  EXPECT_EQ(times_["half"], 6 * kMillisecond) << "3 units of 1 ms at half speed";
  EXPECT_EQ(times_["fifth"], 5 * kMillisecond) << "parts run beside each other";
  EXPECT_EQ(driver_->Open(infos_[0].uuid, {.compute_units = 11}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(Timing, WaitsOnAnotherDeviceHoldAQueueBack) {
  Load("timing", DeviceText("a") + DeviceText("b"));
  Bench a(Open(0)), b(Open(1));
  ASSERT_TRUE(a.Work(4 * kMillisecondOfFlops).ok());
  const Fence wait[] = {{a.timeline, 1}};
  ASSERT_TRUE(b.Launch(*b.queue, {kMillisecondOfFlops, 0, 0},
                       {.waits = wait, .signal = {b.timeline, ++b.value}})
                  .ok());
  ASSERT_TRUE(b.Wait().ok());
  EXPECT_EQ(clock_->NowNanos(), 5 * kMillisecond + 2 * kLaunchNanos);
}

// Three stages of 1, 3 and 2 ms, fed by callbacks alone, as the executor works: the slowest stage
// says how fast items leave.
TEST_F(Timing, APipelineRunsAtThePaceOfItsSlowestStage) {
  Load("timing", DeviceText("a") + DeviceText("b") + DeviceText("c"));
  Bench stages[] = {Bench(Open(0)), Bench(Open(1)), Bench(Open(2))};
  const double millis[] = {1, 3, 2};
  constexpr uint64_t kItems = 50;
  std::vector<int64_t> left;
  std::function<void(int, uint64_t)> enter = [&](int stage, uint64_t item) {
    Bench& bench = stages[stage];
    ASSERT_TRUE(bench
                    .Launch(*bench.queue, {millis[stage] * kMillisecondOfFlops, 0, 0},
                            {.signal = {bench.timeline, item}})
                    .ok());
    bench.timeline->OnReach(item, [&, stage, item](const absl::Status& status) {
      ASSERT_TRUE(status.ok());
      if (stage < 2) return enter(stage + 1, item);
      left.push_back(clock_->NowNanos());
    });
  };
  for (uint64_t item = 1; item <= kItems; ++item) enter(0, item);
  clock_->RunUntilIdle();
  ASSERT_EQ(left.size(), kItems);
  EXPECT_EQ(left[0], 6 * kMillisecond + 3 * kLaunchNanos);
  for (size_t i = 1; i < kItems; ++i) {
    EXPECT_EQ(left[i] - left[i - 1], 3 * kMillisecond + kLaunchNanos);
  }
}

TEST_F(Timing, ComesOutTheSameEachTime) {
  std::vector<std::vector<int64_t>> runs;
  for (int run = 0; run < 2; ++run) {
    Load("timing", DeviceText("a", "count = 4\n"));
    std::vector<std::unique_ptr<Bench>> benches;
    for (int i = 0; i < 4; ++i) benches.push_back(std::make_unique<Bench>(Open(i)));
    std::vector<int64_t>& times = runs.emplace_back();
    for (uint64_t item = 1; item <= 40; ++item) {
      for (int i = 0; i < 4; ++i) {
        const Fence before[] = {{benches[(i + 3) % 4]->timeline, item - 1}};
        ASSERT_TRUE(
            benches[i]
                ->Launch(*benches[i]->queue,
                         {static_cast<double>((item * 7919 + i * 104729) % 1000) * 1e6, 0, 0},
                         {.waits = before, .signal = {benches[i]->timeline, item}})
                .ok());
        benches[i]->timeline->OnReach(
            item, [&](const absl::Status&) { times.push_back(clock_->NowNanos()); });
      }
    }
    clock_->RunUntilIdle();
    EXPECT_EQ(times.size(), 160u);
  }
  EXPECT_EQ(runs[0], runs[1]);
}

TEST_F(Timing, BuffersCountButHaveNoMemory) {
  Load("timing", DeviceText("a"));
  const std::unique_ptr<Device> device = Open();
  Ref<Buffer> buffer = *device->Allocate(kGiB);
  EXPECT_EQ(buffer->host(), nullptr);
  EXPECT_EQ(device->allocated_bytes(), kGiB);
  EXPECT_EQ(device->Allocate(1).status().code(), absl::StatusCode::kResourceExhausted);
  buffer = nullptr;
  EXPECT_EQ(device->allocated_bytes(), 0u);
}

TEST_F(Timing, AQueueThatCanNeverEndIsCancelledWhenItGoes) {
  Load("timing", DeviceText("a"));
  Bench a(Open());
  const Ref<Timeline> never = *a.device->CreateTimeline();
  const Fence wait[] = {{never, 1}};
  ASSERT_TRUE(a.queue->Barrier({.waits = wait, .signal = {a.timeline, 1}}).ok());
  a.queue = nullptr;
  EXPECT_EQ(a.timeline->Wait(1).code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace het::simulated
