// hetctl plan: plans a written instance, without a daemon; or what a model would get of the devices
// that are free now.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/status.h"
#include "base/units.h"
#include "scheduler/instance_json.h"
#include "scheduler/planner.h"
#include "tools/hetctl/command.h"

namespace het::hetctl {
namespace {

using scheduler::Instance;
using scheduler::Plan;

void PrintPlanTable(const Instance& instance, const Plan& plan, double planning_ms) {
  std::vector<Json> rows;
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const scheduler::Stage& stage = plan.stages[i];
    const scheduler::SliceSpec& slice = instance.slices[static_cast<size_t>(stage.slice)];
    Json row = {
        {"stage", i},
        {"slice", slice.name},
        {"layers",
         absl::StrCat(stage.begin, "-", stage.end - 1, " (", stage.end - stage.begin, ")")},
        {"ms", absl::StrFormat("%.3f", instance.StageMs(stage.slice, stage.begin, stage.end))},
        {"memory", absl::StrCat(FormatBytes(static_cast<uint64_t>(
                                    instance.StageBytes(stage.slice, stage.begin, stage.end))),
                                " / ", FormatBytes(static_cast<uint64_t>(slice.memory_bytes)))}};
    row["transfer"] =
        i + 1 < plan.stages.size()
            ? absl::StrFormat("%.3f", instance.LinkMs(stage.slice, plan.stages[i + 1].slice))
            : "";
    rows.push_back(std::move(row));
  }
  const auto text = [](const char* field) {
    return [field](const Json& item) {
      const Json& value = item[field];
      return value.is_string() ? value.get<std::string>() : value.dump();
    };
  };
  std::fputs(FormatTable({{"STAGE", text("stage")},
                          {"SLICE", text("slice")},
                          {"LAYERS", text("layers")},
                          {"MS", text("ms"), false, true},
                          {"MEMORY", text("memory"), false, true},
                          {"TRANSFER MS", text("transfer"), false, true}},
                         rows, true, true)
                 .c_str(),
             stdout);
  const std::string bound =
      plan.optimal ? "optimal, proven"
                   : absl::StrFormat("not proven optimal, at most %.1f%% above it", plan.gap * 100);
  std::printf(
      "bottleneck %.3f ms, latency %.3f ms, %d groups in flight: %s (%s, planned in %.1f ms)\n",
      plan.bottleneck_ms, plan.latency_ms, plan.groups_in_flight, bound.c_str(),
      plan.solver.c_str(), planning_ms);
}

int PlanInstance(const Globals& globals, const std::string& path) {
  absl::StatusOr<std::string> text = path == "-" ? ReadFile("/dev/stdin") : ReadFile(path);
  if (!text.ok()) return Fail(Annotate(text.status(), "--instance"));
  std::vector<std::string> ignored;
  const absl::StatusOr<Instance> instance = scheduler::ParseInstance(*text, &ignored);
  if (!instance.ok()) return Fail(Annotate(instance.status(), path));
  for (const std::string& key : ignored)
    std::fprintf(stderr, "hetctl: %s: ignored %s\n", path.c_str(), key.c_str());

  const auto start = std::chrono::steady_clock::now();
  const absl::StatusOr<Plan> plan = scheduler::MakePlan(*instance);
  const double planning_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  if (!plan.ok()) return Fail(Annotate(plan.status(), path));
  if (globals.format == Format::kTable || globals.format == Format::kWide) {
    PrintPlanTable(*instance, *plan, planning_ms);
  } else {
    std::printf("%s\n", scheduler::PlanToJson(*instance, *plan, planning_ms).c_str());
  }
  return kExitOk;
}

}  // namespace

void RegisterPlan(CLI::App& app, Globals& globals) {
  auto path = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "plan", "Plan which layers run on which slice: a written instance, no daemon needed.");
  command
      ->add_option(
          "--instance", *path,
          "the instance as JSON (layers, slices, links, objective); - reads standard input")
      ->required();
  command->callback([&globals, path] {
    globals.run = [&globals, path] { return PlanInstance(globals, *path); };
  });
}

}  // namespace het::hetctl
