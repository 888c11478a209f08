#include "scheduler/replan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "scheduler/bottleneck.h"
#include "scheduler/sum_search.h"
#include "scheduler/tick_model.h"

namespace het::scheduler {
namespace {

constexpr int64_t kOperationsPerStart = 10'000'000;

// The instance without one slice; slices behind it move up by one.
Instance Without(const Instance& instance, int lost) {
  Instance rest = instance;
  rest.slices.erase(rest.slices.begin() + lost);
  if (!rest.links.empty()) {
    rest.links.erase(rest.links.begin() + lost);
    for (auto& row : rest.links) row.erase(row.begin() + lost);
  }
  return rest;
}

class Replanner {
 public:
  // `rest` lacks the lost slice; `owner` says on which of its slices each layer lay, -1 for the
  // lost one.
  Replanner(const Instance& rest, const Plan& best, std::vector<int> owner,
            const ReplanOptions& options)
      : rest_(rest),
        best_(best),
        owner_(std::move(owner)),
        limit_ms_(ObjectiveMs(rest, best) * (1 + options.slack)),
        model_(rest, limit_ms_),
        budget_{options.planner.max_expansions, options.planner.max_table_bytes, 0} {}

  int64_t Loaded(const std::vector<Stage>& stages) const {
    int64_t bytes = 0;
    for (const Stage& stage : stages) {
      for (int i = stage.begin; i < stage.end; ++i) {
        if (owner_[i] != stage.slice) bytes += rest_.LayerBytes(i);
      }
    }
    return bytes;
  }

  // The stages, and whether no permitted plan loads less.
  std::pair<std::vector<Stage>, bool> Run() {
    return rest_.objective == Objective::kThroughput ? WithinBottleneck() : WithinLatency();
  }

 private:
  // The old chain's order with all other slices behind it, and the new optimum's.
  std::vector<std::vector<int>> Orders() const {
    std::vector<int> kept;
    for (int v : owner_) {
      if (v >= 0 && (kept.empty() || kept.back() != v)) kept.push_back(v);
    }
    std::vector<int> fresh;
    for (const Stage& stage : best_.stages) fresh.push_back(stage.slice);
    std::vector<std::vector<int>> orders = {kept, fresh};
    for (std::vector<int>& order : orders) {
      for (int v = 0; v < rest_.SliceCount(); ++v) {
        if (std::find(order.begin(), order.end(), v) == order.end()) order.push_back(v);
      }
    }
    return orders;
  }

  // Costs: `bytes` per byte loaded and `ms` per millisecond.
  SumProblem Problem(int64_t bottleneck, double bytes, double ms) const {
    SumProblem problem = LatencyProblem(rest_, model_, bottleneck);
    for (int v = 0; v < problem.slices(); ++v) {
      std::vector<double>& prefix = problem.prefix[v];
      double before = prefix[0];
      for (int i = 0; i < problem.layers; ++i) {
        const double time = prefix[i + 1] - before;
        before = prefix[i + 1];
        const double loaded = owner_[i] == v ? 0.0 : static_cast<double>(rest_.LayerBytes(i));
        prefix[i + 1] = prefix[i] + bytes * loaded + ms * time;
      }
    }
    for (std::vector<double>& row : problem.links) {
      for (double& link : row) {
        if (link < kNoChain) link *= ms;
      }
    }
    return problem;
  }

  SumChain Improve(const SumProblem& problem) const {
    SumChain best;
    for (const std::vector<int>& order : Orders()) {
      SumChain chain = ImproveOrder(problem, order, kOperationsPerStart);
      if (chain.cost < best.cost) best = std::move(chain);
    }
    return best;
  }

  std::pair<std::vector<Stage>, bool> WithinBottleneck() {
    // The limit may have been rounded below the optimum itself.
    const int64_t bottleneck = std::max(model_.ToTicks(limit_ms_), model_.Bottleneck(best_.stages));
    const SumProblem problem = Problem(bottleneck, 1, 0);
    SumChain known = Improve(problem);
    if (known.cost == kNoChain) known = {best_.stages, static_cast<double>(Loaded(best_.stages))};
    SumProof proof = ProveSum(problem, std::move(known), budget_);
    return {std::move(proof.chain.stages), proof.verdict == Verdict::kFeasible};
  }

  // Bisects the price of a millisecond in bytes: too low and the plan is too slow, too high and it
  // loads too much.
  std::pair<std::vector<Stage>, bool> WithinLatency() const {
    std::vector<Stage> chosen = best_.stages;
    const auto permits = [&](double price) {
      const SumChain chain = Improve(Problem(TickModel::kNoLimit, 1, price));
      const absl::StatusOr<Plan> plan = PlanFromStages(rest_, chain.stages);
      if (!plan.ok() || plan->latency_ms > limit_ms_) return false;
      if (Loaded(chain.stages) < Loaded(chosen)) chosen = chain.stages;
      return true;
    };
    if (permits(0)) return {std::move(chosen), false};
    double low = 0;
    double high = FirstPrice();
    for (int step = 0; step < 4 && !permits(high); ++step) {
      low = high;
      high *= 10;
    }
    for (int step = 0; step < 10; ++step) {
      const double middle = (low + high) / 2;
      (permits(middle) ? high : low) = middle;
    }
    return {std::move(chosen), false};
  }

  // At this price the whole model weighs as much as a percent of the permitted time.
  double FirstPrice() const {
    double bytes = 1;
    for (int i = 0; i < rest_.LayerCount(); ++i) bytes += static_cast<double>(rest_.LayerBytes(i));
    return limit_ms_ > 0 ? 100 * bytes / limit_ms_ : 1;
  }

  const Instance& rest_;
  const Plan& best_;
  const std::vector<int> owner_;
  const double limit_ms_;
  const TickModel model_;
  SearchBudget budget_;
};

}  // namespace

absl::StatusOr<Replan> PlanAfterLoss(const Instance& instance, const Plan& plan, int lost_slice,
                                     const ReplanOptions& options) {
  HET_RETURN_IF_ERROR(Validate(instance));
  if (lost_slice < 0 || lost_slice >= instance.SliceCount()) {
    return absl::InvalidArgumentError(
        absl::StrCat("slice ", lost_slice, " was lost, there are ", instance.SliceCount()));
  }
  if (!(options.slack >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the slack is ", options.slack, "; it is 0 or more"));
  }
  if (absl::StatusOr<Plan> checked = PlanFromStages(instance, plan.stages); !checked.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the plan to replace does not fit the instance: ", checked.status().message()));
  }
  if (instance.SliceCount() == 1) {
    return absl::ResourceExhaustedError(
        absl::StrCat("slice \"", instance.slices[0].name, "\" was lost and there is no other"));
  }
  const Instance rest = Without(instance, lost_slice);
  std::vector<int> owner;
  Replan replan;
  for (const Stage& stage : plan.stages) {
    for (int i = stage.begin; i < stage.end; ++i) {
      owner.push_back(stage.slice == lost_slice ? -1
                                                : stage.slice - (stage.slice > lost_slice ? 1 : 0));
      if (stage.slice == lost_slice) replan.unavoidable_bytes += instance.LayerBytes(i);
    }
  }
  HET_ASSIGN_OR_RETURN(const Plan best, MakePlan(rest, options.planner));
  Replanner replanner(rest, best, std::move(owner), options);
  auto [stages, fewest] = replanner.Run();
  replan.loaded_bytes = replanner.Loaded(stages);
  replan.fewest_bytes = fewest || replan.loaded_bytes == replan.unavoidable_bytes;
  for (Stage& stage : stages) stage.slice += stage.slice >= lost_slice ? 1 : 0;
  HET_ASSIGN_OR_RETURN(replan.plan, PlanFromStages(instance, std::move(stages)));
  const double value = ObjectiveMs(instance, replan.plan);
  const bool optimal = best.optimal && value <= ObjectiveMs(rest, best) * (1 + 1e-12);
  StateProof(instance, optimal, best.lower_bound_ms, best.certificate.proof, replan.plan);
  replan.plan.certificate.expansions = best.certificate.expansions;
  replan.plan.solver = "few loaded bytes within the slack";
  return replan;
}

}  // namespace het::scheduler
