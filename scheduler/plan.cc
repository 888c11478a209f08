#include "scheduler/plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace het::scheduler {
namespace {

absl::Status CheckStages(const Instance& instance, const std::vector<Stage>& stages) {
  std::vector<bool> used(instance.slices.size(), false);
  int covered = 0;
  for (size_t i = 0; i < stages.size(); ++i) {
    const Stage& stage = stages[i];
    const std::string name = absl::StrCat("stage ", i);
    if (stage.slice < 0 || stage.slice >= instance.SliceCount()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, " is on slice ", stage.slice, ", there are ", instance.SliceCount()));
    }
    if (used[stage.slice]) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is on slice \"",
                                                     instance.slices[stage.slice].name,
                                                     "\", which an earlier stage uses"));
    }
    used[stage.slice] = true;
    if (stage.begin != covered || stage.end <= stage.begin || stage.end > instance.LayerCount()) {
      return absl::InvalidArgumentError(absl::StrCat(name, " has layers [", stage.begin, ", ",
                                                     stage.end, "); a run that begins at ", covered,
                                                     " is needed"));
    }
    covered = stage.end;
    const int64_t bytes = instance.StageBytes(stage.slice, stage.begin, stage.end);
    const SliceSpec& slice = instance.slices[stage.slice];
    if (bytes > slice.memory_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(name, " needs ", bytes, " bytes, slice \"",
                                                       slice.name, "\" has ", slice.memory_bytes,
                                                       ": ", bytes - slice.memory_bytes, " short"));
    }
  }
  if (covered != instance.LayerCount()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the stages cover ", covered, " of ", instance.LayerCount(), " layers"));
  }
  return absl::OkStatus();
}

// JSON has no infinity: null stands for it.
nlohmann::json Number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json(nullptr);
}

}  // namespace

double ObjectiveMs(const Instance& instance, const Plan& plan) {
  return instance.objective == Objective::kThroughput ? plan.bottleneck_ms : plan.latency_ms;
}

absl::StatusOr<Plan> PlanFromStages(const Instance& instance, std::vector<Stage> stages) {
  HET_RETURN_IF_ERROR(CheckStages(instance, stages));
  Plan plan;
  for (size_t i = 0; i < stages.size(); ++i) {
    const double ms = instance.StageMs(stages[i].slice, stages[i].begin, stages[i].end);
    const double transfer = i == 0 ? 0.0 : instance.LinkMs(stages[i - 1].slice, stages[i].slice);
    plan.bottleneck_ms = std::max({plan.bottleneck_ms, ms, transfer});
    plan.latency_ms += ms + transfer;
  }
  if (plan.bottleneck_ms > 0) {
    // A sum that is a whole multiple of the bottleneck must not round up to one group more.
    const double groups = std::ceil(plan.latency_ms / plan.bottleneck_ms * (1 - 1e-12));
    plan.groups_in_flight = std::max(1, static_cast<int>(groups));
  }
  plan.stages = std::move(stages);
  return plan;
}

void StateProof(const Instance& instance, bool optimal, double lower_bound_ms, std::string proof,
                Plan& plan) {
  const double value = ObjectiveMs(instance, plan);
  plan.optimal = optimal;
  plan.lower_bound_ms = optimal ? value : std::min(lower_bound_ms, value);
  if (optimal || value == plan.lower_bound_ms) {
    plan.gap = 0;
  } else if (plan.lower_bound_ms > 0) {
    plan.gap = value / plan.lower_bound_ms - 1;
  } else {
    plan.gap = std::numeric_limits<double>::infinity();
  }
  plan.certificate.infeasible_ms = plan.lower_bound_ms * (1 - 1e-9);
  plan.certificate.proof = std::move(proof);
}

std::string PlanToJson(const Instance& instance, const Plan& plan, double planning_ms) {
  using json = nlohmann::ordered_json;
  json root;
  json& stages = root["stages"] = json::array();
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const Stage& stage = plan.stages[i];
    json entry;
    entry["slice"] = instance.slices[stage.slice].name;
    entry["begin"] = stage.begin;
    entry["end"] = stage.end;
    entry["ms"] = instance.StageMs(stage.slice, stage.begin, stage.end);
    entry["bytes"] = instance.StageBytes(stage.slice, stage.begin, stage.end);
    if (i + 1 < plan.stages.size()) {
      entry["transfer_ms"] = instance.LinkMs(stage.slice, plan.stages[i + 1].slice);
    }
    stages.push_back(std::move(entry));
  }
  root["bottleneck_ms"] = plan.bottleneck_ms;
  root["latency_ms"] = plan.latency_ms;
  root["objective"] = std::string(ObjectiveName(instance.objective));
  root["optimal"] = plan.optimal;
  root["lower_bound_ms"] = plan.lower_bound_ms;
  root["gap"] = Number(plan.gap);
  root["groups_in_flight"] = plan.groups_in_flight;
  root["solver"] = plan.solver;
  root["certificate"] = {{"infeasible_ms", plan.certificate.infeasible_ms},
                         {"proof", plan.certificate.proof},
                         {"expansions", plan.certificate.expansions}};
  root["planning_ms"] = planning_ms;
  return root.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace het::scheduler
