#include "runtime/pipeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "devices/simulated/faults.h"
#include "runtime/node_test_util.h"

namespace het::runtime {
namespace {

constexpr char kFunctional[] = R"(
name = "runtime-test"
mode = "functional"
[[device]]
name = "red"
vendor = "Rosso"
memory = "64MiB"
compute_units = 8
memory_gb_per_s = 200
f32_tflops = 1
launch_us = 1
link_latency_us = 1
link_gb_per_s = 50
[[device]]
name = "blue"
vendor = "Blu"
memory = "64MiB"
compute_units = 8
memory_gb_per_s = 200
f32_tflops = 1
launch_us = 1
link_latency_us = 1
link_gb_per_s = 50
)";

// Stages of 2, 4 and 1 ms for the 64 groups of a launch; links of 0.1 ms each way.
constexpr char kTiming[] = R"(
name = "runtime-timing"
mode = "timing"
[[device]]
name = "two"
vendor = "V"
memory = "1GiB"
compute_units = 8
memory_gb_per_s = 200
f32_tflops = 1
link_latency_us = 100
link_gb_per_s = 1000
[device.op.add]
batch = [0, 1]
ms = [0.03125, 0.03125]
[[device]]
name = "four"
vendor = "V"
memory = "1GiB"
compute_units = 8
memory_gb_per_s = 200
f32_tflops = 1
link_latency_us = 100
link_gb_per_s = 1000
[device.op.add]
batch = [0, 1]
ms = [0.0625, 0.0625]
[[device]]
name = "one"
vendor = "V"
memory = "1GiB"
compute_units = 8
memory_gb_per_s = 200
f32_tflops = 1
link_latency_us = 100
link_gb_per_s = 1000
[device.op.add]
batch = [0, 1]
ms = [0.015625, 0.015625]
)";

constexpr size_t kFloats = 64;
constexpr uint64_t kBytes = kFloats * sizeof(float);

// Items with their own numbers in, and what came out.
struct Batch {
  explicit Batch(size_t items) : inputs(items), outputs(items), outcomes(items) {
    for (size_t i = 0; i < items; ++i) {
      inputs[i].assign(kFloats, static_cast<float>(i));
      outputs[i].assign(kFloats, -1);
    }
  }
  void Submit(Pipeline& pipeline) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      Pipeline::Item item;
      item.input = inputs[i].data();
      item.input_bytes = kBytes;
      item.output = outputs[i].data();
      item.output_capacity = kBytes;
      item.done = [this, i](uint64_t number, const absl::Status& status, uint64_t bytes) {
        EXPECT_EQ(bytes, status.ok() ? kBytes : 0);
        (void)number;
        outcomes[i] = status;
        ++done;
      };
      ASSERT_TRUE(pipeline.Submit(std::move(item)).ok());
    }
  }
  // How many came out as input + `added`.
  size_t Right(float added) const {
    size_t right = 0;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outcomes[i].ok()) continue;
      const float want = static_cast<float>(i) + added;
      right += std::all_of(outputs[i].begin(), outputs[i].end(),
                           [want](float got) { return got == want; });
    }
    return right;
  }
  std::vector<std::vector<float>> inputs, outputs;
  std::vector<absl::Status> outcomes;
  std::atomic<size_t> done{0};
};

Ref<Pipeline> Make(const TestNode& node, std::vector<Pipeline::Stage> stages,
                   uint32_t in_flight = 0) {
  Pipeline::Options options;
  options.stages = std::move(stages);
  options.input_capacity = kBytes;
  options.in_flight = in_flight;
  auto pipeline = Pipeline::Create(node.session(), std::move(options));
  EXPECT_TRUE(pipeline.ok()) << pipeline.status();
  return pipeline.ok() ? *std::move(pipeline) : nullptr;
}

TEST(Pipeline, RunsStagesAcrossTwoSlicesOfTheHost) {
  const TestNode node;
  const std::string cpu = node.Find("cpu");
  const Ref<LeaseHandle> a = node.Acquire(cpu), b = node.Acquire(cpu);
  const Ref<Pipeline> pipeline =
      Make(node, Stages(AddStage(a, 1, kBytes), AddStage(a, 10, kBytes), AddStage(b, 100, kBytes)));
  Batch batch(300);
  batch.Submit(*pipeline);
  EXPECT_TRUE(pipeline->Drain(absl::Seconds(50)).ok());
  EXPECT_EQ(batch.Right(111), 300u);
  EXPECT_EQ(pipeline->failed_stage(), -1);
  const Pipeline::StageStats stats = *pipeline->Stats(2);
  EXPECT_EQ(stats.items, 300u);
  EXPECT_EQ(stats.transfer_bytes, 300 * kBytes);
  EXPECT_GT(stats.busy_nanos, 0);
  EXPECT_LT(stats.busy_nanos, stats.elapsed_nanos);
}

TEST(Pipeline, StagesItemsThroughTheHostBetweenTwoVendors) {
  const TestNode node(kFunctional);
  const Ref<LeaseHandle> red = node.Acquire(node.Find("simulated", "red"), 100);
  const Ref<LeaseHandle> blue = node.Acquire(node.Find("simulated", "blue"), 100);
  const Ref<LeaseHandle> cpu = node.Acquire(node.Find("cpu"));
  const Ref<Pipeline> pipeline =
      Make(node, Stages(AddStage(red, 1, kBytes), AddStage(blue, 10, kBytes),
                        AddStage(cpu, 100, kBytes), AddStage(red, 1000, kBytes)));
  Batch batch(300);
  batch.Submit(*pipeline);
  EXPECT_TRUE(pipeline->Drain(absl::Seconds(50)).ok());
  EXPECT_EQ(batch.Right(1111), 300u);
}

TEST(Pipeline, TenThousandItems) {
  const TestNode node;
  const std::string cpu = node.Find("cpu");
  const Ref<LeaseHandle> a = node.Acquire(cpu), b = node.Acquire(cpu);
  const Ref<Pipeline> pipeline =
      Make(node, Stages(AddStage(a, 1, kBytes), AddStage(b, 10, kBytes)), 8);
  Batch batch(10000);
  batch.Submit(*pipeline);
  EXPECT_TRUE(pipeline->Drain(absl::Seconds(100)).ok());
  EXPECT_EQ(batch.Right(11), 10000u);
  EXPECT_EQ(batch.done, 10000u);
}

int64_t TimedRun(int items) {
  const TestNode node(kTiming);
  std::vector<Pipeline::Stage> stages;
  for (const char* name : {"two", "four", "one"}) {
    const Ref<LeaseHandle> lease = node.Acquire(node.Find("simulated", name), 100);
    stages.push_back(AddStage(lease, 1, kBytes));
  }
  const Ref<Pipeline> pipeline = Make(node, std::move(stages), 4);
  Batch batch(items);
  batch.Submit(*pipeline);
  EXPECT_TRUE(pipeline->Drain(absl::Seconds(30)).ok());
  EXPECT_EQ(pipeline->Stats(1)->busy_nanos, items * 4'000'000);
  return pipeline->Stats(1)->elapsed_nanos;
}

TEST(Pipeline, OverlapsStagesAndTransfersInVirtualTime) {
  // Fill: 0.1 + 2 + 0.2 ms before the bottleneck has its first item; then 4 ms an item; 0.2 + 1 +
  // 0.1 ms behind the last one.
  EXPECT_NEAR(TimedRun(50), 2'300'000 + 50 * 4'000'000 + 1'300'000, 100);
}

TEST(Pipeline, VirtualTimeIsTheSameEveryTime) { EXPECT_EQ(TimedRun(30), TimedRun(30)); }

TEST(Pipeline, AnErrorOfAStageFailsItsItemOnly) {
  for (const char* profile : {"", kFunctional}) {
    const TestNode node(profile);
    const Ref<LeaseHandle> a = node.Acquire(node.Find("cpu"));
    const Ref<LeaseHandle> b =
        *profile == '\0' ? node.Acquire(node.Find("cpu")) : node.Acquire(node.Find("simulated"));
    Pipeline::Stage second = AddStage(b, 10, kBytes);
    second.run = [run = std::move(second.run)](Pipeline::Call& call) mutable -> absl::Status {
      if (call.item == 7) return absl::OutOfRangeError("seven");
      return run(call);
    };
    const Ref<Pipeline> pipeline = Make(node, Stages(AddStage(a, 1, kBytes), std::move(second)));
    Batch batch(50);
    batch.Submit(*pipeline);
    const absl::Status drained = pipeline->Drain(absl::Seconds(50));
    EXPECT_EQ(drained.code(), absl::StatusCode::kOutOfRange);
    EXPECT_NE(drained.message().find("stage 1 \"add\""), std::string::npos) << drained;
    EXPECT_EQ(batch.Right(11), 49u);
    EXPECT_EQ(pipeline->failed_stage(), 1);
  }
}

TEST(Pipeline, GoesOnAfterWorkThatFailedOnTheDevice) {
  const TestNode node;
  const Ref<LeaseHandle> lease = node.Acquire(node.Find("cpu"));
  const Ref<Timeline> broken = *(*lease->device())->CreateTimeline();
  broken->Fail(absl::InternalError("it broke"));
  Pipeline::Stage stage = AddStage(lease, 1, kBytes);
  stage.run = [run = std::move(stage.run), broken](Pipeline::Call& call) mutable -> absl::Status {
    if (call.item == 3) {
      const Fence wait{broken, 1};
      return (*call.queue)->Barrier(Sync{{&wait, 1}, {}});  // its failure breaks the queue
    }
    return run(call);
  };
  // One at a time, so that only the one item was on the queue.
  const Ref<Pipeline> pipeline = Make(node, Stages(std::move(stage)), 1);
  Batch batch(10);
  batch.Submit(*pipeline);
  EXPECT_EQ(pipeline->Drain(absl::Seconds(50)).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(batch.Right(1), 9u);
  EXPECT_EQ(batch.outcomes[3].code(), absl::StatusCode::kInternal);
}

void LoseTheSecondStage(const char* profile, const std::string& first, const std::string& second) {
  const TestNode node(profile);
  const Ref<LeaseHandle> a = node.Acquire(node.Find("simulated", first), 100);
  const std::string lost = node.Find("simulated", second);
  const Ref<LeaseHandle> b = node.Acquire(lost, 100);
  simulated::Faults faults;
  faults.lose_after_ops = 40;
  simulated::SetFaults(lost, faults);
  const Ref<Pipeline> pipeline =
      Make(node, Stages(AddStage(a, 1, kBytes), AddStage(b, 10, kBytes)));
  Batch batch(100);
  batch.Submit(*pipeline);
  EXPECT_EQ(pipeline->Drain(absl::Seconds(50)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(batch.done, 100u);
  EXPECT_EQ(pipeline->failed_stage(), 1);
  const auto failed = std::count_if(batch.outcomes.begin(), batch.outcomes.end(),
                                    [](const absl::Status& s) { return absl::IsDataLoss(s); });
  EXPECT_GT(failed, 0);
  EXPECT_LT(failed, 100);
  EXPECT_EQ(batch.outcomes.back().code(), absl::StatusCode::kDataLoss);
  // Later items fail at once, and what was not lost goes on in a new pipeline.
  Batch later(3);
  later.Submit(*pipeline);
  EXPECT_EQ(pipeline->Drain(absl::Seconds(50)).code(), absl::StatusCode::kDataLoss);
  const Ref<Pipeline> rest = Make(node, Stages(AddStage(a, 1, kBytes), AddStage(a, 10, kBytes)));
  Batch again(20);
  again.Submit(*rest);
  EXPECT_TRUE(rest->Drain(absl::Seconds(50)).ok());
  simulated::HealDevice(lost);
}

TEST(Pipeline, ALostDeviceFailsOnlyItsPipeline) { LoseTheSecondStage(kFunctional, "red", "blue"); }
TEST(Pipeline, ALostDeviceFailsOnlyItsPipelineInVirtualTime) {
  LoseTheSecondStage(kTiming, "two", "four");
}

TEST(Pipeline, CanBeReleasedWhileADeviceHangs) {
  for (const char* profile : {kFunctional, kTiming}) {
    const TestNode node(profile);
    const std::string device = node.Find("simulated");
    const Ref<LeaseHandle> lease = node.Acquire(device, 100);
    simulated::Faults faults;
    faults.hang_after_ops = 10;
    simulated::SetFaults(device, faults);
    Batch batch(30);
    {
      const Ref<Pipeline> pipeline = Make(node, Stages(AddStage(lease, 1, kBytes)));
      batch.Submit(*pipeline);
      EXPECT_EQ(pipeline->Drain(absl::Milliseconds(300)).code(),
                absl::StatusCode::kDeadlineExceeded);
    }
    EXPECT_EQ(batch.done, 30u);
    EXPECT_EQ(batch.outcomes.back().code(), absl::StatusCode::kCancelled);
    simulated::HealDevice(device);
  }
}

TEST(Pipeline, ChannelMemoryIsChargedAndGivenBack) {
  const TestNode node;
  const Ref<LeaseHandle> lease = node.Acquire(node.Find("cpu"), 50, kMiB);
  EXPECT_EQ(lease->quota().used(), 0u);
  {
    const Ref<Pipeline> pipeline =
        Make(node, Stages(AddStage(lease, 1, kBytes), AddStage(lease, 1, kBytes)), 4);
    EXPECT_EQ(lease->quota().used(), 3 * 4 * kBytes);  // input, and two outputs
  }
  EXPECT_EQ(lease->quota().used(), 0u);
  Pipeline::Options options;
  options.stages.push_back(AddStage(lease, 1, 600 * kKiB));
  options.in_flight = 2;
  const auto refused = Pipeline::Create(node.session(), std::move(options));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("asked 600 KiB"), std::string::npos)
      << refused.status();
  EXPECT_EQ(lease->quota().used(), 0u);
}

TEST(Pipeline, RefusesWhatCannotBe) {
  const TestNode node;
  const Ref<LeaseHandle> lease = node.Acquire(node.Find("cpu"));
  EXPECT_EQ(Pipeline::Create(node.session(), {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  const Ref<Pipeline> pipeline = Make(node, Stages(AddStage(lease, 1, kBytes)));
  Pipeline::Item item;
  std::vector<float> data(2 * kFloats);
  item.input = data.data();
  item.input_bytes = 2 * kBytes;
  EXPECT_EQ(pipeline->Submit(std::move(item)).code(), absl::StatusCode::kInvalidArgument);
  Pipeline::Item small;
  small.input = data.data();
  small.input_bytes = kBytes;
  small.output = data.data();
  small.output_capacity = 4;
  ASSERT_TRUE(pipeline->Submit(std::move(small)).ok());
  EXPECT_EQ(pipeline->Drain(absl::Seconds(10)).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(pipeline->Stats(1).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(Link, IsMeasuredTheWayAPipelineMovesThings) {
  const TestNode node(kTiming);
  const Ref<LeaseHandle> two = node.Acquire(node.Find("simulated", "two"), 100);
  const Ref<LeaseHandle> four = node.Acquire(node.Find("simulated", "four"), 100);
  EXPECT_EQ(*MeasureLink(*two, *two, kMiB), 0.0);
  // Two hops of 0.1 ms and 1 MiB at 1000 GB/s each.
  EXPECT_NEAR(*MeasureLink(*two, *four, kMiB), 2 * (0.1 + kMiB / 1e12 * 1e3), 1e-5);
  EXPECT_EQ(two->quota().used(), 0u);
  const TestNode host;
  const std::string cpu = host.Find("cpu");
  const Ref<LeaseHandle> a = host.Acquire(cpu), b = host.Acquire(cpu);
  EXPECT_GT(*MeasureLink(*a, *b, 4 * kMiB), 0.0);
  EXPECT_EQ(MeasureLink(*a, *b, kGiB).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace het::runtime
