// The planner against exhaustive search, and against itself on changed instances.
#include <cmath>

#include "gtest/gtest.h"
#include "scheduler/brute_force_test_util.h"
#include "scheduler/instance_json.h"
#include "scheduler/planner.h"
#include "scheduler/random_instance_test_util.h"

namespace het::scheduler {
namespace {

bool Close(double a, double b) {
  return std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b)) + 1e-300;
}

TEST(PlannerOracle, MatchesExhaustiveSearchOnTwoThousandSmallInstances) {
  RandomInstances random(20221);
  int infeasible = 0;
  int of_objective[2] = {0, 0};
  for (int n = 0; n < 2000; ++n) {
    const Instance instance = random.Small();
    const double best = BruteForce(instance).Best();
    const absl::StatusOr<Plan> plan = MakePlan(instance);
    if (std::isinf(best)) {
      ++infeasible;
      ASSERT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted)
          << InstanceToJson(instance);
      continue;
    }
    ASSERT_TRUE(plan.ok()) << plan.status() << "\n" << InstanceToJson(instance);
    ++of_objective[static_cast<int>(instance.objective)];
    ASSERT_TRUE(Close(ObjectiveMs(instance, *plan), best))
        << "instance " << n << ": " << ObjectiveMs(instance, *plan) << " ms, best " << best
        << " ms\n"
        << InstanceToJson(instance) << "\n"
        << PlanToJson(instance, *plan, 0);
    ASSERT_TRUE(plan->optimal) << InstanceToJson(instance);
    ASSERT_EQ(plan->gap, 0);
    ASSERT_TRUE(Close(plan->lower_bound_ms, best));
    ASSERT_LE(plan->certificate.infeasible_ms, best);
    const absl::StatusOr<Plan> checked = PlanFromStages(instance, plan->stages);
    ASSERT_TRUE(checked.ok()) << checked.status();
    ASSERT_EQ(checked->bottleneck_ms, plan->bottleneck_ms);
    ASSERT_EQ(checked->latency_ms, plan->latency_ms);
  }
  // The generator must keep exercising all three.
  EXPECT_GT(infeasible, 100);
  EXPECT_GT(of_objective[0], 500);
  EXPECT_GT(of_objective[1], 500);
}

TEST(PlannerOracle, MatchesAFullDynamicProgramOnNodesOfEightSlices) {
  RandomInstances random(14);
  int compared = 0;
  for (int n = 0; n < 120; ++n) {
    Instance instance = random.Node(random.Whole(8, 18), 8, random.Whole(2, 8), true, n % 3 != 0);
    instance.objective = n % 2 == 0 ? Objective::kThroughput : Objective::kLatency;
    const double best = FullProgram(instance).Best();
    const absl::StatusOr<Plan> plan = MakePlan(instance);
    ASSERT_EQ(plan.ok(), !std::isinf(best)) << plan.status() << InstanceToJson(instance);
    if (!plan.ok()) continue;
    ++compared;
    ASSERT_TRUE(plan->optimal);
    ASSERT_TRUE(Close(ObjectiveMs(instance, *plan), best)) << InstanceToJson(instance);
  }
  EXPECT_GT(compared, 60);
}

// Without room for the exact search: never better than the truth, never a false proof, and a bound
// that holds.
TEST(PlannerOracle, StatesAnHonestGapWhenTheBudgetEnds) {
  RandomInstances random(7);
  int unproven = 0;
  for (int n = 0; n < 500; ++n) {
    const Instance instance = random.Small();
    const double best = BruteForce(instance).Best();
    PlannerOptions options;
    options.max_expansions = 200;
    options.max_table_bytes = 512;
    const absl::StatusOr<Plan> plan = MakePlan(instance, options);
    if (!plan.ok()) {
      ASSERT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted);
      continue;
    }
    const double value = ObjectiveMs(instance, *plan);
    ASSERT_GE(value, best * (1 - 1e-9)) << InstanceToJson(instance);
    ASSERT_LE(plan->lower_bound_ms, best * (1 + 1e-9)) << InstanceToJson(instance);
    if (plan->optimal) {
      ASSERT_TRUE(Close(value, best)) << InstanceToJson(instance);
      continue;
    }
    ++unproven;
    if (plan->lower_bound_ms > 0) {
      ASSERT_TRUE(Close(plan->gap, value / plan->lower_bound_ms - 1));
    }
  }
  EXPECT_GT(unproven, 20);
}

TEST(PlannerOracle, TheOrderInWhichSlicesAreListedDoesNotMatter) {
  RandomInstances random(11);
  for (int n = 0; n < 30; ++n) {
    Instance instance = random.Node(40, 8, 5, true, n % 2 == 0);
    instance.objective = n % 3 == 0 ? Objective::kLatency : Objective::kThroughput;
    const absl::StatusOr<Plan> before = MakePlan(instance);
    random.Shuffle(instance);
    const absl::StatusOr<Plan> after = MakePlan(instance);
    ASSERT_EQ(before.ok(), after.ok());
    if (!before.ok()) continue;
    ASSERT_TRUE(before->optimal && after->optimal);
    ASSERT_TRUE(Close(ObjectiveMs(instance, *before), ObjectiveMs(instance, *after)));
  }
}

TEST(PlannerOracle, ScalingAllTimesScalesTheOptimum) {
  RandomInstances random(12);
  for (int n = 0; n < 30; ++n) {
    Instance instance = random.Node(40, 6, 6, true, n % 2 == 0);
    instance.objective = n % 3 == 0 ? Objective::kLatency : Objective::kThroughput;
    const absl::StatusOr<Plan> before = MakePlan(instance);
    constexpr double kFactor = 0x1p-20;  // exact in binary
    for (SliceSpec& slice : instance.slices) {
      for (double& ms : slice.ms_per_layer) ms *= kFactor;
    }
    for (auto& row : instance.links) {
      for (Link& link : row) link = {link.latency_ms * kFactor, link.ms_per_transfer * kFactor};
    }
    const absl::StatusOr<Plan> after = MakePlan(instance);
    ASSERT_EQ(before.ok(), after.ok());
    if (!before.ok()) continue;
    ASSERT_TRUE(Close(ObjectiveMs(instance, *before) * kFactor, ObjectiveMs(instance, *after)));
  }
}

TEST(PlannerOracle, ACostlySliceDoesNotBlurTheOthers) {
  RandomInstances random(13);
  for (int n = 0; n < 200; ++n) {
    Instance instance = random.Small();
    SliceSpec& slow = instance.slices.back();
    for (double& ms : slow.ms_per_layer) ms = ms * 1e13 + 1e12;
    const double best = BruteForce(instance).Best();
    const absl::StatusOr<Plan> plan = MakePlan(instance);
    ASSERT_EQ(plan.ok(), !std::isinf(best));
    if (plan.ok()) {
      ASSERT_TRUE(Close(ObjectiveMs(instance, *plan), best)) << InstanceToJson(instance);
    }
  }
}

}  // namespace
}  // namespace het::scheduler
