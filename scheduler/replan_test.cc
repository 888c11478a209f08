#include "scheduler/replan.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "scheduler/instance_json.h"
#include "scheduler/random_instance_test_util.h"

namespace het::scheduler {
namespace {

// Every plan without the lost slice and within the limit: the fewest bytes that one of them loads.
class FewestBytes {
 public:
  FewestBytes(const Instance& instance, const Plan& old, int lost, double limit_ms)
      : instance_(instance), limit_ms_(limit_ms), used_(instance.slices.size(), false) {
    used_[lost] = true;
    for (const Stage& stage : old.stages) {
      for (int i = stage.begin; i < stage.end; ++i)
        owner_.push_back(stage.slice == lost ? -1 : stage.slice);
    }
    Extend({}, 0);
  }
  double bytes() const { return best_; }

 private:
  void Extend(std::vector<Stage> stages, double loaded) {
    const int begin = stages.empty() ? 0 : stages.back().end;
    if (begin == instance_.LayerCount()) {
      const absl::StatusOr<Plan> plan = PlanFromStages(instance_, stages);
      if (plan.ok() && ObjectiveMs(instance_, *plan) <= limit_ms_) best_ = std::min(best_, loaded);
      return;
    }
    for (int v = 0; v < instance_.SliceCount(); ++v) {
      if (used_[v]) continue;
      used_[v] = true;
      double more = loaded;
      for (int end = begin + 1; end <= instance_.LayerCount(); ++end) {
        if (owner_[end - 1] != v) more += static_cast<double>(instance_.LayerBytes(end - 1));
        stages.push_back({v, begin, end});
        Extend(stages, more);
        stages.pop_back();
      }
      used_[v] = false;
    }
  }

  const Instance& instance_;
  const double limit_ms_;
  std::vector<bool> used_;
  std::vector<int> owner_;
  double best_ = std::numeric_limits<double>::infinity();
};

Instance FourEqualSlices() {
  Instance instance;
  instance.layers.assign(12, Layer{100, 0});
  for (const char* name : {"a", "b", "c", "d"}) {
    instance.slices.push_back({name, "", 1200, 0, std::vector<double>(12, 1.0)});
  }
  return instance;
}

TEST(PlanAfterLoss, LoadsAsLittleAsExhaustiveSearch) {
  RandomInstances random(41);
  int compared = 0;
  for (int n = 0; n < 400; ++n) {
    Instance instance = random.Small();
    instance.objective = Objective::kThroughput;
    const absl::StatusOr<Plan> old = MakePlan(instance);
    if (!old.ok()) continue;
    const int lost = random.Whole(0, instance.SliceCount() - 1);
    ReplanOptions options;
    options.slack = 0.2;
    const absl::StatusOr<Replan> replan = PlanAfterLoss(instance, *old, lost, options);
    if (!replan.ok()) {
      ASSERT_EQ(replan.status().code(), absl::StatusCode::kResourceExhausted) << replan.status();
      continue;
    }
    ++compared;
    for (const Stage& stage : replan->plan.stages) ASSERT_NE(stage.slice, lost);
    const double limit = replan->plan.lower_bound_ms * 1.2 * (1 + 1e-9);
    ASSERT_LE(replan->plan.bottleneck_ms, limit) << InstanceToJson(instance);
    ASSERT_TRUE(replan->fewest_bytes);
    ASSERT_EQ(static_cast<double>(replan->loaded_bytes),
              FewestBytes(instance, *old, lost, limit).bytes())
        << InstanceToJson(instance);
    ASSERT_GE(replan->loaded_bytes, replan->unavoidable_bytes);
  }
  EXPECT_GT(compared, 100);
}

TEST(PlanAfterLoss, StaysWithinTheLatencyItMayTake) {
  RandomInstances random(42);
  int compared = 0;
  for (int n = 0; n < 200; ++n) {
    Instance instance = random.Small();
    instance.objective = Objective::kLatency;
    const absl::StatusOr<Plan> old = MakePlan(instance);
    if (!old.ok()) continue;
    const int lost = random.Whole(0, instance.SliceCount() - 1);
    const absl::StatusOr<Replan> replan = PlanAfterLoss(instance, *old, lost);
    if (!replan.ok()) continue;
    ++compared;
    const double limit = replan->plan.lower_bound_ms * 1.05 * (1 + 1e-9);
    ASSERT_LE(replan->plan.latency_ms, limit) << InstanceToJson(instance);
    ASSERT_GE(static_cast<double>(replan->loaded_bytes),
              FewestBytes(instance, *old, lost, limit).bytes());
  }
  EXPECT_GT(compared, 50);
}

TEST(PlanAfterLoss, LeavesAnUnusedSlicesLossWithoutConsequence) {
  Instance instance = FourEqualSlices();
  instance.slices.push_back({"useless", "", 0, 0, std::vector<double>(12, 1.0)});
  const absl::StatusOr<Plan> old = MakePlan(instance);
  ASSERT_TRUE(old.ok());
  const absl::StatusOr<Replan> replan = PlanAfterLoss(instance, *old, 4);
  ASSERT_TRUE(replan.ok());
  EXPECT_EQ(replan->loaded_bytes, 0);
  EXPECT_EQ(replan->plan.stages, old->stages);
  EXPECT_TRUE(replan->plan.optimal);
}

TEST(PlanAfterLoss, TradesTheSlackForBytes) {
  const Instance instance = FourEqualSlices();
  const absl::StatusOr<Plan> old = MakePlan(instance);
  ASSERT_TRUE(old.ok());
  ASSERT_EQ(old->bottleneck_ms, 3);
  const int lost = old->stages[0].slice;
  ReplanOptions options;
  options.slack = 0;
  const absl::StatusOr<Replan> best = PlanAfterLoss(instance, *old, lost, options);
  options.slack = 0.5;
  const absl::StatusOr<Replan> lazy = PlanAfterLoss(instance, *old, lost, options);
  ASSERT_TRUE(best.ok() && lazy.ok());
  EXPECT_EQ(best->plan.bottleneck_ms, 4);  // 4 + 4 + 4: the cuts move
  EXPECT_EQ(best->loaded_bytes, 600);
  EXPECT_EQ(lazy->plan.bottleneck_ms, 6);  // 6 + 3 + 3: only the lost layers are loaded
  EXPECT_EQ(lazy->loaded_bytes, 300);
  EXPECT_EQ(lazy->unavoidable_bytes, 300);
  EXPECT_NEAR(lazy->plan.gap, 0.5, 1e-9);
}

TEST(PlanAfterLoss, RefusesWhatItCannotPlan) {
  Instance instance = FourEqualSlices();
  const absl::StatusOr<Plan> old = MakePlan(instance);
  ASSERT_TRUE(old.ok());
  EXPECT_EQ(PlanAfterLoss(instance, *old, 4).status().code(), absl::StatusCode::kInvalidArgument);
  ReplanOptions options;
  options.slack = -1;
  EXPECT_EQ(PlanAfterLoss(instance, *old, 0, options).status().code(),
            absl::StatusCode::kInvalidArgument);
  Plan foreign = *old;
  foreign.stages.pop_back();
  EXPECT_EQ(PlanAfterLoss(instance, foreign, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
  for (SliceSpec& slice : instance.slices) slice.memory_bytes = 300;
  EXPECT_EQ(PlanAfterLoss(instance, *old, 0).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace het::scheduler
