#include "scheduler/planner.h"

#include <cmath>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "scheduler/naive_split.h"
#include "scheduler/random_instance_test_util.h"

namespace het::scheduler {
namespace {

using ::testing::HasSubstr;

SliceSpec Slice(const char* name, int64_t memory, int layers, double ms) {
  return {name, "", memory, 0, std::vector<double>(layers, ms)};
}

TEST(MakePlan, SplitsBySpeedAndNotByMemory) {
  Instance instance;
  instance.layers.assign(6, Layer{10, 0});
  instance.slices = {Slice("slow and large", 1000, 6, 2), Slice("fast and small", 40, 6, 1)};
  const absl::StatusOr<Plan> plan = MakePlan(instance);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->bottleneck_ms, 4);  // 4 layers on the fast one, which is also all it holds
  EXPECT_EQ(plan->latency_ms, 8);
  EXPECT_EQ(plan->groups_in_flight, 2);
  EXPECT_TRUE(plan->optimal);
}

TEST(MakePlan, LeavesOutASliceWhoseTransferCostsMoreThanItBrings) {
  Instance instance;
  instance.layers.assign(4, Layer{1, 0});
  instance.slices = {Slice("a", 100, 4, 1), Slice("b", 100, 4, 1)};
  instance.links.assign(2, std::vector<Link>(2, Link{2, 3}));
  const absl::StatusOr<Plan> alone = MakePlan(instance);
  ASSERT_TRUE(alone.ok());
  EXPECT_EQ(alone->stages.size(), 1u);
  EXPECT_EQ(alone->bottleneck_ms, 4);
  instance.links[1][0] = {0.5, 0.5};  // only one direction is quick
  const absl::StatusOr<Plan> both = MakePlan(instance);
  ASSERT_TRUE(both.ok());
  ASSERT_EQ(both->stages.size(), 2u);
  EXPECT_EQ(both->stages[0].slice, 1);
  EXPECT_EQ(both->bottleneck_ms, 2);
  EXPECT_EQ(both->groups_in_flight, 3);  // ceil((2 + 1 + 2) / 2)
}

TEST(MakePlan, ForLatencyUsesAsFewTransfersAsMemoryAllows) {
  Instance instance;
  instance.objective = Objective::kLatency;
  instance.layers.assign(6, Layer{10, 0});
  instance.slices = {Slice("a", 30, 6, 1), Slice("b", 30, 6, 1), Slice("c", 60, 6, 1.5)};
  instance.links.assign(3, std::vector<Link>(3, Link{4, 0}));
  const absl::StatusOr<Plan> one = MakePlan(instance);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->latency_ms, 9);  // all on c
  instance.links.assign(3, std::vector<Link>(3, Link{2, 0}));
  const absl::StatusOr<Plan> two = MakePlan(instance);
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(two->latency_ms, 8);  // a and b and one transfer
  EXPECT_TRUE(two->optimal);
}

TEST(MakePlan, AmongEqualBottlenecksTakesTheCutOfLeastLatency) {
  Instance instance;
  instance.layers.assign(4, Layer{1, 0});
  // The second slice must take two layers at 5 ms each; the first could take one or two of the rest
  // alone.
  instance.slices = {{"a", "", 2, 0, {1, 1, 9, 9}}, {"b", "", 9, 0, {4, 4, 5, 5}}};
  const absl::StatusOr<Plan> plan = MakePlan(instance);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->bottleneck_ms, 10);
  EXPECT_EQ(plan->latency_ms, 12);
}

TEST(MakePlan, CountsKvAndReservedBytes) {
  Instance instance;
  instance.layers.assign(2, Layer{10, 5});
  instance.slices = {Slice("a", 30, 2, 1)};
  EXPECT_TRUE(MakePlan(instance).ok());
  instance.slices[0].reserved_bytes = 1;
  EXPECT_EQ(MakePlan(instance).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(MakePlan, NamesTheLayerThatFitsNoSlice) {
  Instance instance;
  instance.layers = {{10, 0}, {70, 5}};
  instance.slices = {Slice("small", 40, 2, 1), Slice("large", 60, 2, 1)};
  instance.slices[1].reserved_bytes = 4;
  const absl::Status status = MakePlan(instance).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("layer 1 needs 75 B (75 bytes)"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"large\", has 56 B"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("19 B (19 bytes) short"));
}

TEST(MakePlan, SaysByHowMuchAllSlicesTogetherAreTooSmall) {
  Instance instance;
  instance.layers.assign(10, Layer{10, 0});
  instance.slices = {Slice("a", 40, 10, 1), Slice("b", 45, 10, 1)};
  const absl::Status status = MakePlan(instance).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("need 100 B"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("together have 85 B"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("15 B (15 bytes) short"));
}

TEST(MakePlan, SaysWhatWouldDoWhenOnlyWholeLayersDoNotFit) {
  Instance instance;
  instance.layers.assign(4, Layer{10, 0});
  instance.slices = {Slice("a", 17, 4, 1),
                     Slice("b", 28, 4, 1)};  // 45 bytes for 40, but 1 + 2 layers
  const absl::Status status = MakePlan(instance).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("no arrangement of runs of whole layers fits"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("every slice is short of 2 B"));
  for (SliceSpec& slice : instance.slices) slice.memory_bytes += 2;
  EXPECT_TRUE(MakePlan(instance).ok());
}

TEST(MakePlan, FillsMemoryExactly) {
  Instance instance;
  instance.layers = {{7, 0}, {3, 0}, {5, 0}, {5, 0}, {1, 0}, {9, 0}};
  for (const char* name : {"a", "b", "c"}) instance.slices.push_back(Slice(name, 10, 6, 1));
  const absl::StatusOr<Plan> plan = MakePlan(instance);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->stages.size(), 3u);
  instance.slices[1].memory_bytes = 9;
  EXPECT_EQ(MakePlan(instance).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(MakePlan, TakesTimesOfZero) {
  Instance instance;
  instance.layers.assign(3, Layer{1, 0});
  instance.slices = {Slice("a", 2, 3, 0), Slice("b", 2, 3, 0)};
  for (Objective objective : {Objective::kThroughput, Objective::kLatency}) {
    instance.objective = objective;
    const absl::StatusOr<Plan> plan = MakePlan(instance);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(plan->bottleneck_ms, 0);
    EXPECT_EQ(plan->latency_ms, 0);
    EXPECT_EQ(plan->groups_in_flight, 1);
    EXPECT_TRUE(plan->optimal);
  }
}

TEST(MakePlan, ProvesSixteenSlicesOfEightTypes) {
  RandomInstances random(51);
  for (int n = 0; n < 5; ++n) {
    const Instance instance = random.Node(80, 16, 8, true, n % 2 == 0);
    const absl::StatusOr<Plan> plan = MakePlan(instance);
    if (!plan.ok()) continue;
    EXPECT_TRUE(plan->optimal);
    EXPECT_GT(plan->certificate.infeasible_ms, plan->bottleneck_ms * (1 - 2e-9));
    EXPECT_LT(plan->certificate.infeasible_ms, plan->bottleneck_ms);
    EXPECT_FALSE(plan->certificate.proof.empty());
  }
}

TEST(MakePlan, AnswersForSixtyFourDifferentSlicesWithAGap) {
  RandomInstances random(52);
  const Instance instance = random.Node(200, 64, 64, true, true);
  PlannerOptions options;
  options.max_expansions = 300'000;
  const absl::StatusOr<Plan> plan = MakePlan(instance, options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LE(plan->lower_bound_ms, plan->bottleneck_ms);
  EXPECT_LT(plan->gap, 0.25);
  const absl::StatusOr<Plan> even = SplitEvenly(instance);
  if (even.ok()) {
    EXPECT_LT(plan->bottleneck_ms, even->bottleneck_ms);
  }
}

TEST(MakePlan, PlansTheLargestInstanceWithinItsBudget) {
  RandomInstances random(53);
  const Instance instance = random.Node(300, kMaxSlices, kMaxSlices, false, false);
  PlannerOptions options;
  options.max_expansions = 100'000;
  options.max_table_bytes = 16 << 20;
  const absl::StatusOr<Plan> plan = MakePlan(instance, options);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LE(plan->certificate.expansions, options.max_expansions);
}

TEST(PlanFromStages, RefusesWhatIsNoPlan) {
  Instance instance;
  instance.layers.assign(4, Layer{10, 0});
  instance.slices = {Slice("a", 20, 4, 1), Slice("b", 40, 4, 1)};
  const auto code = [&](std::vector<Stage> stages) {
    return PlanFromStages(instance, stages).status().code();
  };
  EXPECT_EQ(code({{0, 0, 2}, {1, 2, 4}}), absl::StatusCode::kOk);
  EXPECT_EQ(code({}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{1, 0, 3}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{1, 0, 5}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{0, 0, 2}, {1, 3, 4}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{0, 0, 2}, {1, 2, 2}, {1, 2, 4}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{0, 0, 2}, {0, 2, 4}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{2, 0, 4}}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{0, 0, 3}, {1, 3, 4}}), absl::StatusCode::kResourceExhausted);
}

TEST(PlanToJson, HasTheFieldsOfTheFormat) {
  Instance instance;
  instance.layers.assign(4, Layer{10, 0});
  instance.slices = {Slice("a", 20, 4, 1), Slice("b", 40, 4, 1)};
  const absl::StatusOr<Plan> plan = MakePlan(instance);
  ASSERT_TRUE(plan.ok());
  const auto json = nlohmann::json::parse(PlanToJson(instance, *plan, 1.5), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_EQ(json["stages"].size(), 2u);
  EXPECT_EQ(json["stages"][0]["begin"], 0);
  EXPECT_EQ(json["stages"][0]["end"], json["stages"][1]["begin"]);
  EXPECT_EQ(json["stages"][1]["end"], 4);
  EXPECT_TRUE(json["stages"][0]["slice"] == "a" || json["stages"][0]["slice"] == "b");
  EXPECT_EQ(json["bottleneck_ms"], 2);
  EXPECT_EQ(json["optimal"], true);
  EXPECT_EQ(json["planning_ms"], 1.5);
}

TEST(NaiveSplit, DealsOutLayersEvenlyAndByMemory) {
  Instance instance;
  instance.layers.assign(8, Layer{10, 0});
  instance.slices = {Slice("a", 60, 8, 1), Slice("b", 20, 8, 1)};
  const absl::StatusOr<Plan> by_memory = SplitByMemory(instance);
  ASSERT_TRUE(by_memory.ok());
  EXPECT_EQ(by_memory->stages, (std::vector<Stage>{{0, 0, 6}, {1, 6, 8}}));
  const absl::StatusOr<Plan> even =
      SplitEvenly(instance);  // b does not hold its half: a is filled first
  ASSERT_TRUE(even.ok());
  EXPECT_EQ(even->stages, (std::vector<Stage>{{0, 0, 6}, {1, 6, 8}}));
  instance.slices[1].memory_bytes = 40;
  EXPECT_EQ(SplitEvenly(instance)->stages, (std::vector<Stage>{{0, 0, 4}, {1, 4, 8}}));
  instance.slices[0].memory_bytes = 10;
  EXPECT_EQ(SplitEvenly(instance).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace het::scheduler
