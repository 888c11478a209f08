#include "scheduler/planner.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "scheduler/bottleneck.h"
#include "scheduler/infeasible.h"
#include "scheduler/probe.h"
#include "scheduler/set_search.h"
#include "scheduler/sum_search.h"
#include "scheduler/tick_model.h"

namespace het::scheduler {
namespace {

double LargestTime(const Instance& instance) {
  double largest = 0;
  for (const SliceSpec& slice : instance.slices) {
    for (double ms : slice.ms_per_layer) largest = std::max(largest, ms);
  }
  for (int u = 0; u < instance.SliceCount(); ++u) {
    for (int v = 0; v < instance.SliceCount(); ++v)
      largest = std::max(largest, instance.LinkMs(u, v));
  }
  return largest;
}

// Any plan within memory, or why there is none.
absl::StatusOr<std::vector<Stage>> AnyPlan(const Instance& instance, SearchBudget& budget) {
  const TickModel model(instance, LargestTime(instance));
  SearchResult result = FindWithin(model, TickModel::kNoLimit, budget);
  if (result.verdict == Verdict::kFeasible) return std::move(result.stages);
  return ExplainInfeasible(instance, result.verdict == Verdict::kInfeasible, budget);
}

// Of all cuts of the stages' order that keep the bottleneck, the one with the least latency.
std::vector<Stage> LeastLatencyCut(const Instance& instance, const TickModel& model,
                                   const std::vector<Stage>& stages, int64_t bottleneck) {
  std::vector<int> order;
  for (const Stage& stage : stages) order.push_back(stage.slice);
  const SumChain chain = BestInOrder(LatencyProblem(instance, model, bottleneck), order);
  return chain.cost < kNoChain ? chain.stages : stages;
}

absl::StatusOr<Plan> PlanThroughput(const Instance& instance, SearchBudget& budget,
                                    std::vector<Stage> stages) {
  double max_ms = LargestTime(instance);
  // A few rounds at most: the second one already has the bottleneck itself as the scale of its
  // ticks.
  for (int round = 0;; ++round) {
    const TickModel model(instance, max_ms);
    const Bottleneck best = MinimiseBottleneck(model, std::move(stages), budget);
    absl::StatusOr<Plan> plan =
        PlanFromStages(instance, LeastLatencyCut(instance, model, best.stages, best.ticks));
    if (!plan.ok()) return plan.status();
    if (!model.Resolves(best.ticks) && plan->bottleneck_ms > 0 && plan->bottleneck_ms < max_ms &&
        round < 3) {
      max_ms = plan->bottleneck_ms;
      stages = plan->stages;
      continue;
    }
    StateProof(instance, best.optimal, model.ToMs(best.lower_bound), best.proof, *plan);
    plan->solver = best.solver;
    return plan;
  }
}

// Orders to start the local search from: the given chain, then the slices it lacks; and all slices,
// fastest first.
std::vector<std::vector<int>> StartingOrders(const Instance& instance,
                                             const std::vector<Stage>& stages) {
  std::vector<int> fastest(instance.SliceCount());
  std::iota(fastest.begin(), fastest.end(), 0);
  std::vector<double> ms;
  for (int v = 0; v < instance.SliceCount(); ++v)
    ms.push_back(instance.StageMs(v, 0, instance.LayerCount()));
  std::stable_sort(fastest.begin(), fastest.end(), [&](int a, int b) { return ms[a] < ms[b]; });
  std::vector<int> extended;
  for (const Stage& stage : stages) extended.push_back(stage.slice);
  for (int v : fastest) {
    if (std::find(extended.begin(), extended.end(), v) == extended.end()) extended.push_back(v);
  }
  return {extended, fastest};
}

absl::StatusOr<Plan> PlanLatency(const Instance& instance, SearchBudget& budget,
                                 const std::vector<Stage>& feasible) {
  constexpr int64_t kOperationsPerStart = 20'000'000;
  const TickModel model(instance, LargestTime(instance));
  const SumProblem problem = LatencyProblem(instance, model, TickModel::kNoLimit);
  SumChain best;
  for (const std::vector<int>& order : StartingOrders(instance, feasible)) {
    SumChain chain = ImproveOrder(problem, order, kOperationsPerStart);
    if (chain.cost < best.cost) best = std::move(chain);
  }
  absl::StatusOr<Plan> plan = PlanFromStages(instance, best.stages);
  if (!plan.ok()) return plan.status();
  // No better plan has a stage or transfer longer than this sum, so the costs can be held at its
  // scale.
  const TickModel scaled(instance, plan->latency_ms);
  best.cost = plan->latency_ms;
  const SumProof proof =
      ProveSum(LatencyProblem(instance, scaled, scaled.ToTicks(plan->latency_ms)), best, budget);
  if (proof.chain.stages != best.stages) {
    plan = PlanFromStages(instance, proof.chain.stages);
    if (!plan.ok()) return plan.status();
    plan->solver = "exact set search";
  } else {
    plan->solver = "order search";
  }
  const bool optimal = proof.verdict == Verdict::kFeasible;
  StateProof(instance, optimal, proof.lower_bound,
             optimal ? "exhaustive search over the sets of slices"
                     : "capacity bound; the search ended at its budget",
             *plan);
  return plan;
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const Instance& instance, const PlannerOptions& options) {
  HET_RETURN_IF_ERROR(Validate(instance));
  SearchBudget budget = {options.max_expansions, options.max_table_bytes, 0};
  HET_ASSIGN_OR_RETURN(std::vector<Stage> feasible, AnyPlan(instance, budget));
  absl::StatusOr<Plan> plan = instance.objective == Objective::kThroughput
                                  ? PlanThroughput(instance, budget, std::move(feasible))
                                  : PlanLatency(instance, budget, feasible);
  if (plan.ok()) plan->certificate.expansions = budget.spent;
  return plan;
}

}  // namespace het::scheduler
