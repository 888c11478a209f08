// Each search alone against exhaustive search: in a whole planning call one could hide the other's
// mistakes.
#include <cmath>

#include "gtest/gtest.h"
#include "scheduler/beam_search.h"
#include "scheduler/bottleneck.h"
#include "scheduler/brute_force_test_util.h"
#include "scheduler/instance_json.h"
#include "scheduler/probe.h"
#include "scheduler/random_instance_test_util.h"
#include "scheduler/set_search.h"
#include "scheduler/sum_search.h"

namespace het::scheduler {
namespace {

SearchBudget Plenty() { return {10'000'000, int64_t{1} << 28, 0}; }

Instance SmallOf(Objective objective, RandomInstances& random) {
  Instance instance = random.Small();
  instance.objective = objective;
  return instance;
}

// The largest time in the instance, so that nothing is clamped.
double Scale(const Instance& instance) {
  double ms = 1;
  for (const SliceSpec& slice : instance.slices) {
    for (double layer : slice.ms_per_layer) ms = std::max(ms, layer);
  }
  for (const auto& row : instance.links) {
    for (const Link& link : row) ms = std::max(ms, link.Ms());
  }
  return ms;
}

TEST(SetSearch, IsFeasibleAtTheOptimumAndInfeasibleJustBelow) {
  RandomInstances random(31);
  SearchBudget budget = Plenty();
  for (int n = 0; n < 1500; ++n) {
    const Instance instance = SmallOf(Objective::kThroughput, random);
    const double best = BruteForce(instance).Best();
    const TickModel model(instance, Scale(instance));
    if (std::isinf(best)) {
      ASSERT_EQ(SetSearch(Probe(model, TickModel::kNoLimit), budget).verdict, Verdict::kInfeasible);
      continue;
    }
    const int64_t optimum = model.ToTicks(best * (1 + 1e-12)) + 8;
    const SearchResult at = SetSearch(Probe(model, optimum), budget);
    ASSERT_EQ(at.verdict, Verdict::kFeasible) << InstanceToJson(instance);
    ASSERT_LE(model.Bottleneck(at.stages), optimum);
    ASSERT_TRUE(PlanFromStages(instance, at.stages).ok()) << InstanceToJson(instance);
    if (best == 0) continue;
    const SearchResult below = SetSearch(Probe(model, model.ToTicks(best * (1 - 1e-9))), budget);
    ASSERT_EQ(below.verdict, Verdict::kInfeasible) << InstanceToJson(instance);
  }
}

// The furthest end of a chain is not enough: b can only take layer 1, so a must stop before it
// although it could hold both, and only b may hand over to c.
TEST(SetSearch, StopsEarlyWhereTheNextSliceNeedsIt) {
  Instance instance;
  instance.layers = {{1, 0}, {1, 0}, {9, 0}};
  instance.slices = {
      {"a", "", 2, 0, {1, 1, 1}}, {"b", "", 1, 0, {1, 1, 1}}, {"c", "", 9, 0, {9, 9, 1}}};
  instance.links.assign(3, std::vector<Link>(3, Link{50, 50}));
  instance.links[0][1] = instance.links[1][2] = {0, 0};
  const TickModel model(instance, 100);
  SearchBudget budget = Plenty();
  const SearchResult result = SetSearch(Probe(model, model.ToTicks(1)), budget);
  ASSERT_EQ(result.verdict, Verdict::kFeasible);
  const std::vector<Stage> expected = {{0, 0, 1}, {1, 1, 2}, {2, 2, 3}};
  EXPECT_EQ(result.stages, expected);
}

TEST(SetSearch, SaysUnknownWhenTheBudgetEnds) {
  RandomInstances random(5);
  const Instance instance = random.Node(40, 10, 10, true, true);
  const TickModel model(instance, Scale(instance));
  SearchBudget few = {3, int64_t{1} << 28, 0};
  EXPECT_EQ(SetSearch(Probe(model, model.ToTicks(1e3)), few).verdict, Verdict::kUnknown);
  EXPECT_EQ(few.spent, 3);
  SearchBudget small_table = {10'000'000, 256, 0};
  EXPECT_EQ(SetSearch(Probe(model, model.ToTicks(15)), small_table).verdict, Verdict::kUnknown);
}

TEST(SetSearch, MayBeginWithASliceThatNobodyMayHandTo) {
  Instance instance;
  instance.layers = {{1, 0}, {1, 0}};
  instance.slices = {{"a", "", 1, 0, {1, 1}}, {"b", "", 1, 0, {1, 1}}};
  instance.links = {{{}, {9, 0}}, {{0, 0}, {}}};  // b to a only
  const TickModel model(instance, 10);
  SearchBudget budget = Plenty();
  const SearchResult result = SetSearch(Probe(model, model.ToTicks(1)), budget);
  ASSERT_EQ(result.verdict, Verdict::kFeasible);
  EXPECT_EQ(result.stages[0].slice, 1);
}

TEST(BeamSearch, FindsOnlyPlansThatAreWithinTheBottleneck) {
  RandomInstances random(32);
  SearchBudget budget = Plenty();
  int found = 0;
  for (int n = 0; n < 500; ++n) {
    const Instance instance = SmallOf(Objective::kThroughput, random);
    const double best = BruteForce(instance).Best();
    const TickModel model(instance, Scale(instance));
    const int64_t asked = std::isinf(best) ? TickModel::kNoLimit : model.ToTicks(best * 1.1) + 8;
    const SearchResult result = BeamSearch(Probe(model, asked), 16, budget);
    if (std::isinf(best)) {
      ASSERT_NE(result.verdict, Verdict::kFeasible);
      continue;
    }
    ASSERT_NE(result.verdict, Verdict::kInfeasible) << InstanceToJson(instance);
    if (result.verdict != Verdict::kFeasible) continue;
    ++found;
    ASSERT_LE(model.Bottleneck(result.stages), asked);
    ASSERT_TRUE(PlanFromStages(instance, result.stages).ok());
  }
  EXPECT_GT(found, 200);
}

TEST(Probe, MergesSlicesByNumbersAndNotByType) {
  Instance instance;
  instance.layers.assign(4, {1, 0});
  instance.slices = {{"a", "gpu", 4, 0, {1, 1, 1, 1}},
                     {"b", "gpu", 4, 0, {2, 2, 2, 2}},
                     {"c", "npu", 4, 0, {1, 1, 1, 1}},
                     {"d", "gpu", 1, 0, {1, 1, 1, 1}}};
  const TickModel model(instance, 2);
  const Probe tight(model, model.ToTicks(4));
  ASSERT_EQ(tight.class_count(), 3);
  EXPECT_EQ(tight.classes()[0].members, (std::vector<int>{0, 2}));
  // Without a limit on time a and b hold the same runs as well.
  EXPECT_EQ(Probe(model, TickModel::kNoLimit).class_count(), 2);
  // A link that differs separates them where it decides something, and only there.
  instance.links.assign(4, std::vector<Link>(4, Link{1, 0}));
  instance.links[0][1] = {5, 0};
  const TickModel linked(instance, 5);
  EXPECT_EQ(Probe(linked, linked.ToTicks(4)).class_count(), 4);
  EXPECT_EQ(Probe(linked, linked.ToTicks(4)).group_count(), 2);
  EXPECT_EQ(Probe(linked, TickModel::kNoLimit).class_count(), 2);
  EXPECT_EQ(Probe(linked, TickModel::kNoLimit).group_count(), 1);
}

TEST(ProveSum, FindsTheLeastSumWithoutAnyHint) {
  RandomInstances random(33);
  SearchBudget budget = Plenty();
  for (int n = 0; n < 1500; ++n) {
    const Instance instance = SmallOf(Objective::kLatency, random);
    const double best = BruteForce(instance).Best();
    const TickModel model(instance, Scale(instance));
    const SumProblem problem = LatencyProblem(instance, model, TickModel::kNoLimit);
    const SumProof proof = ProveSum(problem, SumChain{}, budget);
    if (std::isinf(best)) {
      ASSERT_EQ(proof.verdict, Verdict::kInfeasible) << InstanceToJson(instance);
      continue;
    }
    ASSERT_EQ(proof.verdict, Verdict::kFeasible) << InstanceToJson(instance);
    ASSERT_NEAR(proof.chain.cost, best, 1e-9 * best) << InstanceToJson(instance);
    const absl::StatusOr<Plan> plan = PlanFromStages(instance, proof.chain.stages);
    ASSERT_TRUE(plan.ok()) << plan.status() << InstanceToJson(instance);
    ASSERT_NEAR(plan->latency_ms, best, 1e-9 * best) << InstanceToJson(instance);
  }
}

TEST(BestInOrder, FindsTheOptimumWhenGivenItsOrder) {
  RandomInstances random(34);
  SearchBudget budget = Plenty();
  for (int n = 0; n < 500; ++n) {
    const Instance instance = SmallOf(Objective::kLatency, random);
    const TickModel model(instance, Scale(instance));
    const SumProblem problem = LatencyProblem(instance, model, TickModel::kNoLimit);
    const SumProof proof = ProveSum(problem, SumChain{}, budget);
    if (proof.verdict != Verdict::kFeasible) continue;
    std::vector<int> order;
    for (const Stage& stage : proof.chain.stages) order.push_back(stage.slice);
    ASSERT_NEAR(BestInOrder(problem, order).cost, proof.chain.cost, 1e-9 * proof.chain.cost);
  }
}

}  // namespace
}  // namespace het::scheduler
