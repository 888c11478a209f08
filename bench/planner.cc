// How long planning takes, and what the plan is worth against naive splits.
//
// For each shape of node, random instances of a model: slices of so many types that differ up to
// tenfold in speed and fourfold in memory, layers that differ by a fifth, memory limits, and three
// kinds of links: free, random per pair of types, random per pair of slices (which leaves no two
// slices equal). Control: the even and the memory-proportional split of the same instance, as the
// ratio of their bottleneck to the plan's.
//
//   planner [--instances 30] [--layers 80] [-o table|json]
#include "scheduler/planner.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "scheduler/instance.h"
#include "scheduler/naive_split.h"

namespace het::scheduler {
namespace {

enum class Links { kFree, kByType, kByPair };
constexpr const char* kLinkNames[] = {"free", "by type", "by pair"};

struct Shape {
  int slices;
  int types;
};
constexpr Shape kShapes[] = {{4, 4},  {8, 8},   {12, 12}, {16, 4},
                             {16, 8}, {16, 16}, {32, 32}, {64, 64}};

class Generator {
 public:
  explicit Generator(uint32_t seed) : engine_(seed) {}

  Instance Make(Shape shape, int layers, Links links, Objective objective) {
    Instance instance;
    instance.objective = objective;
    std::vector<double> cost;
    constexpr int64_t kLayerBytes = 530'000'000;
    for (int i = 0; i < layers; ++i) {
      instance.layers.push_back({kLayerBytes, 0});
      cost.push_back(Real(0.9, 1.1));
    }
    std::vector<SliceSpec> types(shape.types);
    for (SliceSpec& type : types) {
      const double ms = Real(1, 10);
      for (double c : cost) type.ms_per_layer.push_back(c * ms);
      // On average 1.5 times what the model needs, from 0.6 to 2.4 times a fair share each.
      type.memory_bytes =
          static_cast<int64_t>(kLayerBytes * Real(0.6, 2.4) * (layers / shape.slices + 1));
    }
    for (int v = 0; v < shape.slices; ++v) {
      instance.slices.push_back(types[v % shape.types]);
      instance.slices.back().name = absl::StrCat("slice", v);
      instance.slices.back().type = absl::StrCat("type", v % shape.types);
    }
    AddLinks(shape, links, 3.0 * layers / shape.slices, instance);
    return instance;
  }

 private:
  double Real(double low, double high) { return low + (high - low) * (engine_() / 4294967296.0); }

  // Transfers of up to one and a half times a usual bottleneck, so that a good part of them is out
  // of the question.
  void AddLinks(Shape shape, Links links, double bottleneck, Instance& instance) {
    if (links == Links::kFree) return;
    const int kinds = links == Links::kByType ? shape.types : shape.slices;
    std::vector<std::vector<Link>> table(kinds, std::vector<Link>(kinds));
    for (auto& row : table) {
      for (Link& link : row) link = {Real(0, 0.05), Real(0, 1.5 * bottleneck)};
    }
    instance.links.assign(shape.slices, std::vector<Link>(shape.slices));
    for (int u = 0; u < shape.slices; ++u) {
      for (int v = 0; v < shape.slices; ++v) instance.links[u][v] = table[u % kinds][v % kinds];
    }
  }

  std::mt19937 engine_;
};

struct Spread {
  std::vector<double> values;
  void Add(double value) { values.push_back(value); }
  double Median() {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }
  double Min() const {
    return values.empty() ? 0 : *std::min_element(values.begin(), values.end());
  }
  double Max() const {
    return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
  }
};

struct Row {
  Shape shape{};
  Links links = Links::kFree;
  Objective objective = Objective::kThroughput;
  int planned = 0;
  int infeasible = 0;
  int optimal = 0;
  Spread ms;
  Spread cpu_ms;  // the same calls without what other programs took from the machine
  Spread gap;
  Spread even;
  Spread by_memory;
};

Row Measure(Shape shape, Links links, Objective objective, int layers, int instances) {
  Row row;
  row.shape = shape;
  row.links = links;
  row.objective = objective;
  Generator generator(static_cast<uint32_t>(1000 * shape.slices + shape.types));
  for (int n = 0; n < instances; ++n) {
    const Instance instance = generator.Make(shape, layers, links, objective);
    const std::clock_t cpu = std::clock();
    const auto start = std::chrono::steady_clock::now();
    const absl::StatusOr<Plan> plan = MakePlan(instance);
    const auto end = std::chrono::steady_clock::now();
    row.ms.Add(std::chrono::duration<double, std::milli>(end - start).count());
    row.cpu_ms.Add(1e3 * static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC);
    if (!plan.ok()) {
      ++row.infeasible;
      continue;
    }
    ++row.planned;
    if (plan->optimal) ++row.optimal;
    row.gap.Add(plan->gap);
    if (const auto split = SplitEvenly(instance); split.ok()) {
      row.even.Add(ObjectiveMs(instance, *split) / ObjectiveMs(instance, *plan));
    }
    if (const auto split = SplitByMemory(instance); split.ok()) {
      row.by_memory.Add(ObjectiveMs(instance, *split) / ObjectiveMs(instance, *plan));
    }
  }
  return row;
}

void PrintHeader() {
  std::printf("%-11s %-13s %-8s | %-29s | %-8s | %-9s %-9s | %-22s | %-22s\n", "objective", "node",
              "links", "planning ms, median (min-max)", "CPU ms", "optimal", "gap max",
              "even/plan (min-max)", "by memory/plan (min-max)");
}

void Print(Row& row) {
  const std::string node = absl::StrCat(row.shape.slices, " of ", row.shape.types, " types");
  std::printf(
      "%-11s %-13s %-8s | %8.2f (%7.2f -%9.2f) | %8.2f | %3d of %-3d %6.2f %% | %5.2f (%5.2f "
      "-%6.2f) | "
      "%5.2f (%5.2f -%6.2f)\n",
      std::string(ObjectiveName(row.objective)).c_str(), node.c_str(),
      kLinkNames[static_cast<int>(row.links)], row.ms.Median(), row.ms.Min(), row.ms.Max(),
      row.cpu_ms.Median(), row.optimal, row.planned, 100 * row.gap.Max(), row.even.Median(),
      row.even.Min(), row.even.Max(), row.by_memory.Median(), row.by_memory.Min(),
      row.by_memory.Max());
  std::fflush(stdout);
}

Json ToJson(Spread& spread) {
  return {{"median", spread.Median()}, {"min", spread.Min()}, {"max", spread.Max()}};
}

Json ToJson(Row& row) {
  return {{"objective", std::string(ObjectiveName(row.objective))},
          {"slices", row.shape.slices},
          {"types", row.shape.types},
          {"links", kLinkNames[static_cast<int>(row.links)]},
          {"planned", row.planned},
          {"infeasible", row.infeasible},
          {"optimal", row.optimal},
          {"planning_ms", ToJson(row.ms)},
          {"planning_cpu_ms", ToJson(row.cpu_ms)},
          {"gap", ToJson(row.gap)},
          {"even_over_plan", ToJson(row.even)},
          {"by_memory_over_plan", ToJson(row.by_memory)}};
}

int Main(int argc, char** argv) {
  int instances = 30;
  int layers = 80;
  std::string output = "table";
  CLI::App app("Planning time, and the plan against naive splits");
  app.add_option("--instances", instances, "Random instances per row")->check(CLI::Range(1, 10000));
  app.add_option("--layers", layers, "Layers of the model")->check(CLI::Range(1, kMaxLayers));
  app.add_option("-o,--output", output, "table or json")->check(CLI::IsMember({"table", "json"}));
  CLI11_PARSE(app, argc, argv);
  Json rows = Json::array();
  if (output == "table") PrintHeader();
  for (Objective objective : {Objective::kThroughput, Objective::kLatency}) {
    for (Links links : {Links::kFree, Links::kByType, Links::kByPair}) {
      for (Shape shape : kShapes) {
        Row row = Measure(shape, links, objective, layers, instances);
        if (output == "table") Print(row);
        rows.push_back(ToJson(row));
      }
    }
  }
  if (output == "json") {
    std::printf(
        "%s\n",
        PrintJson(Json{{"benchmark", "planner"}, {"layers", layers}, {"rows", rows}}, 2).c_str());
  }
  return 0;
}

}  // namespace
}  // namespace het::scheduler

int main(int argc, char** argv) { return het::scheduler::Main(argc, argv); }
