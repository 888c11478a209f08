// Queues of leases that share a device in time: the contract of a queue holds, shares follow, and
// nothing waits in a circle.
#include "runtime/gated_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "runtime/node_test_util.h"

namespace het::runtime {
namespace {

// Adds 1 to every element, in place.
void IncrementKernel(const het_native_call* call) {
  auto* values = static_cast<float*>(call->buffers[0]);
  for (uint64_t i = call->group_begin; i < call->group_end; ++i) values[i] += 1;
}

// Keeps the processors busy for about params nanoseconds.
void SpinKernel(const het_native_call* call) {
  const auto nanos = std::chrono::nanoseconds(*static_cast<const uint64_t*>(call->params));
  if (call->group_begin != 0) return;
  const auto until = std::chrono::steady_clock::now() + nanos;
  while (std::chrono::steady_clock::now() < until) continue;
}

Ref<Program> Build(LeaseHandle& lease, const char* name, het_native_fn function) {
  ProgramSource source;
  source.name = name;
  source.native = {{name, function}};
  return *(*lease.device())->Build(source);
}

Fence FenceOn(LeaseHandle& lease, uint64_t value) {
  return {*(*lease.device())->CreateTimeline(), value};
}

TEST(GatedQueue, KeepsOrderAndResultsWhileOthersCompete) {
  TestNode node;
  const std::string cpu = node.Find("cpu");
  constexpr int kSteps = 200, kCount = 64;
  const auto work = [&](uint32_t percent, std::vector<float>& out) {
    const Ref<LeaseHandle> lease = node.Acquire(cpu, percent);
    ASSERT_TRUE(lease->grant().slice.time_shared);
    const Ref<Program> program = Build(*lease, "increment", IncrementKernel);
    const Ref<QueueHandle> queue = *lease->CreateQueue(QueueKind::kCompute);
    const Ref<BufferHandle> buffer = *lease->Allocate(kCount * 4, MemoryKind::kDevice);
    const Fence done = FenceOn(*lease, kSteps + 1);
    ASSERT_TRUE((*queue)->Fill(**buffer, 0, kCount * 4, 0).ok());
    for (int i = 0; i < kSteps; ++i) {
      const BufferArg buffers[] = {{&**buffer, 0}};
      Launch launch;
      launch.kernel = *program->GetKernel("increment");
      launch.groups[0] = kCount;
      launch.buffers = buffers;
      // Some signal, some do not: batches of all lengths.
      const Fence signal = i % 3 == 0 ? Fence{done.timeline, uint64_t(i) + 1} : Fence{};
      ASSERT_TRUE((*queue)->Submit(launch, {{}, signal}).ok());
    }
    ASSERT_TRUE((*queue)->Read(**buffer, 0, out.data(), kCount * 4, {{}, done}).ok());
    ASSERT_TRUE((*queue)->Flush().ok());
    ASSERT_TRUE(done.timeline->Wait(done.value, absl::Seconds(30)).ok());
  };
  std::vector<float> a(kCount), b(kCount);
  std::jthread other([&] { work(30, b); });
  work(20, a);
  other.join();
  EXPECT_EQ(a, std::vector<float>(kCount, kSteps));
  EXPECT_EQ(b, std::vector<float>(kCount, kSteps));
}

TEST(GatedQueue, SharesFollowTheWeights) {
  TestNode node;
  const std::string cpu = node.Find("cpu");
  std::atomic<bool> stop{false};
  const auto busy = [&](Ref<LeaseHandle> lease) {
    const Ref<Program> program = Build(*lease, "spin", SpinKernel);
    const Ref<QueueHandle> queue = *lease->CreateQueue(QueueKind::kCompute);
    const Fence done = FenceOn(*lease, 0);
    uint64_t value = 0;
    while (!stop) {
      const uint64_t nanos = 500'000;
      Launch launch;
      launch.kernel = *program->GetKernel("spin");
      launch.params = {reinterpret_cast<const std::byte*>(&nanos), sizeof(nanos)};
      EXPECT_TRUE((*queue)->Submit(launch, {{}, {done.timeline, ++value}}).ok());
      EXPECT_TRUE((*queue)->Flush().ok());
      if (value > 4) EXPECT_TRUE(done.timeline->Wait(value - 4, absl::Seconds(30)).ok());
    }
    EXPECT_TRUE(done.timeline->Wait(value, absl::Seconds(30)).ok());
    return value;
  };
  auto leases = node.session()->Acquire({{cpu, Share::OfPercent(60), kMiB, Policy::kGuaranteed},
                                         {cpu, Share::OfPercent(20), kMiB, Policy::kGuaranteed}});
  ASSERT_TRUE(leases.ok()) << leases.status();
  uint64_t large = 0, small = 0;
  {
    std::jthread a([&] { large = busy((*leases)[0]); });
    std::jthread b([&] { small = busy((*leases)[1]); });
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    stop = true;
  }
  const double share = static_cast<double>(large) / static_cast<double>(large + small);
  EXPECT_NEAR(share, 0.75, 0.10) << large << " and " << small;
}

TEST(GatedQueue, AnOperationThatWaitsDoesNotHoldTheDevice) {
  TestNode node;
  const Ref<LeaseHandle> lease = node.Acquire(node.Find("cpu"), 30);
  const Ref<QueueHandle> first = *lease->CreateQueue(QueueKind::kCompute);
  const Ref<QueueHandle> second = *lease->CreateQueue(QueueKind::kCompute);
  const Ref<BufferHandle> buffer = *lease->Allocate(64, MemoryKind::kDevice);
  std::vector<uint8_t> out(64);
  const Fence half = FenceOn(*lease, 1), done = FenceOn(*lease, 1);
  // The reader comes first and waits for the writer, on a device that takes one at a time.
  const Fence waits[] = {half};
  ASSERT_TRUE((*first)->Read(**buffer, 0, out.data(), 64, {waits, done}).ok());
  ASSERT_TRUE((*first)->Flush().ok());
  ASSERT_TRUE((*second)->Fill(**buffer, 0, 64, 7, {{}, half}).ok());
  ASSERT_TRUE((*second)->Flush().ok());
  ASSERT_TRUE(done.timeline->Wait(1, absl::Seconds(10)).ok());
  EXPECT_EQ(out, std::vector<uint8_t>(64, 7));
}

TEST(GatedQueue, AFailedWaitFailsWhatWaited) {
  TestNode node;
  const Ref<LeaseHandle> lease = node.Acquire(node.Find("cpu"), 30);
  const Ref<QueueHandle> queue = *lease->CreateQueue(QueueKind::kCompute);
  const Ref<BufferHandle> buffer = *lease->Allocate(64, MemoryKind::kDevice);
  const Fence never = FenceOn(*lease, 1), done = FenceOn(*lease, 1);
  const Fence waits[] = {never};
  ASSERT_TRUE((*queue)->Fill(**buffer, 0, 64, 7, {waits, done}).ok());
  never.timeline->Fail(absl::DataLossError("gone"));
  EXPECT_EQ(done.timeline->Wait(1, absl::Seconds(10)).code(), absl::StatusCode::kDataLoss);
}

TEST(GatedQueue, PipelinesRunAcrossTimeSharedSlices) {
  TestNode node;
  const std::string cpu = node.Find("cpu");
  const Ref<LeaseHandle> a = node.Acquire(cpu, 30), b = node.Acquire(cpu, 30);
  constexpr int kItems = 50, kCount = 16;
  Pipeline::Options options;
  options.stages = Stages(AddStage(a, 1, kCount * 4), AddStage(b, 10, kCount * 4));
  options.input_capacity = kCount * 4;
  options.in_flight = 4;
  auto pipeline = Pipeline::Create(node.session(), std::move(options));
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  std::vector<std::vector<float>> in(kItems), out(kItems, std::vector<float>(kCount));
  std::atomic<int> left{0};
  for (int i = 0; i < kItems; ++i) {
    in[i].assign(kCount, static_cast<float>(i));
    Pipeline::Item item;
    item.input = in[i].data();
    item.input_bytes = kCount * 4;
    item.output = out[i].data();
    item.output_capacity = kCount * 4;
    item.done = [&left](uint64_t, const absl::Status& status, uint64_t) {
      EXPECT_TRUE(status.ok()) << status;
      ++left;
    };
    ASSERT_TRUE((*pipeline)->Submit(std::move(item)).ok());
  }
  ASSERT_TRUE((*pipeline)->Drain(absl::Seconds(30)).ok());
  EXPECT_EQ(left, kItems);
  for (int i = 0; i < kItems; ++i) EXPECT_EQ(out[i], std::vector<float>(kCount, i + 11.0f));
}

}  // namespace
}  // namespace het::runtime
