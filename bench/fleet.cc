// What placing costs: one seed of the openb experiment, the time of single decisions, and how both
// grow with the fleet.
//
// The openb trace is read where it is (HET_DATA_DIR, else ../shared/data); its nodes are repeated
// to make larger fleets, its jobs drawn to 1.46 times the devices, so that the largest run is a
// million jobs on 100,000 nodes. Last, runs in time, with departures. Control: best-fit, a policy
// whose score is one subtraction, through the same index.
//
//   fleet [--largest 100000] [-o table|json]
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "bench/report.h"
#include "scheduler/fleet/overload.h"
#include "scheduler/fleet/simulator.h"

namespace het::bench {
namespace {

using Clock = std::chrono::steady_clock;

double Micros(Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

struct Timed {
  double seconds = 0;
  double mean_us = 0, worst_us = 0;  // of a decision
  int64_t decisions = 0;
  double unallocated = 0;
};

Timed Run(const fleet::Fleet& fleet, const std::vector<fleet::Job>& jobs, const char* policy,
          double arrival, uint64_t seed) {
  Timed timed;
  const auto start = Clock::now();
  auto last = start;
  Clock::duration in_decisions{};
  const auto result =
      fleet::RunOverload(fleet, jobs, policy, {.arrival = arrival, .seed = seed}, [&](bool) {
        const auto now = Clock::now();
        // The first interval holds the shuffle.
        if (timed.decisions++ > 0) {
          in_decisions += now - last;
          timed.worst_us = std::max(timed.worst_us, Micros(now - last));
        }
        last = now;
        return true;
      });
  if (!result.ok()) {
    std::fprintf(stderr, "fleet: %s\n", std::string(result.status().message()).c_str());
    std::exit(1);
  }
  timed.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  timed.mean_us =
      Micros(in_decisions) / static_cast<double>(std::max<int64_t>(timed.decisions - 1, 1));
  timed.unallocated = result->UnallocatedShare();
  return timed;
}

double PeakGib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / (1024 * 1024);
}

int Main(int argc, char** argv) {
  int largest = 100'000;
  std::string output = "table";
  CLI::App app("What placing costs, and how it grows with the fleet");
  app.add_option("--largest", largest, "nodes of the largest fleet")
      ->check(CLI::Range(1000, 1'000'000));
  app.add_option("-o,--output", output, "table or json")->check(CLI::IsMember({"table", "json"}));
  CLI11_PARSE(app, argc, argv);

  const char* directory = std::getenv("HET_DATA_DIR");
  const std::string base = directory != nullptr ? directory : HET_SOURCE_DIR "/../shared/data";
  const auto nodes = ReadFile(base + "/openb/openb_node_list_gpu_node.csv");
  const auto pods = ReadFile(base + "/openb/openb_pod_list_default.csv");
  if (!nodes.ok() || !pods.ok()) {
    std::fprintf(stderr, "fleet: no openb trace in %s (HET_DATA_DIR)\n", base.c_str());
    return 1;
  }
  auto openb = fleet::ParseNodes(*nodes, "nodes");
  if (!openb.ok()) return 1;
  const auto jobs = fleet::ParseJobs(*pods, "jobs", openb->models);
  if (!jobs.ok()) return 1;

  Report report("fleet");
  // One seed of the published experiment, policies interleaved.
  const std::vector<const char*> policies = {"best-fit", "fgd", "het"};
  std::vector<Samples> seconds(policies.size()), mean(policies.size()), worst(policies.size());
  for (uint64_t seed = 42; seed < 47; ++seed) {
    for (size_t p = 0; p < policies.size(); ++p) {
      const Timed timed = Run(*openb, jobs->jobs, policies[p], 1.3, seed);
      seconds[p].Add(timed.seconds);
      mean[p].Add(timed.mean_us);
      worst[p].Add(timed.worst_us);
    }
  }
  for (size_t p = 0; p < policies.size(); ++p) {
    report.Add({"openb, 1,213 nodes, one seed", policies[p], "s", seconds[p],
                seconds[p].median() / seconds[0].median()});
    report.Add(
        {"a decision, mean", policies[p], "us", mean[p], mean[p].median() / mean[0].median()});
    report.Add({"a decision, worst", policies[p], "us", worst[p], 0});
  }
  report.Add(Goal{"het, one seed, s", seconds[2].median(), 0.5});
  report.Add(Goal{"het, mean decision, us", mean[2].median(), 50});
  report.Add(Goal{"het, worst decision, us", worst[2].median(), 5000});

  // The curve.
  std::vector<std::pair<int, double>> curve;
  Timed last;
  for (const int size : {1'000, 3'000, 10'000, 30'000, 100'000, 300'000}) {
    if (size > largest) break;
    fleet::Fleet fleet;
    fleet.models = openb->models;
    for (int n = 0; n < size; ++n) {
      fleet.nodes.push_back(openb->nodes[static_cast<size_t>(n) * 787 % openb->nodes.size()]);
      fleet.names.push_back("");
      fleet.cost_per_hour.push_back(0);
    }
    last = Run(fleet, jobs->jobs, "het", 1.46, 42);
    Samples mean_us, total;
    mean_us.Add(last.mean_us);
    total.Add(last.seconds);
    const std::string name = absl::StrCat(size, " nodes, ", last.decisions, " jobs");
    report.Add({name, "het, a decision", "us", mean_us, 0});
    report.Add({name, "het, the whole run", "s", total, 0});
    curve.emplace_back(size, last.mean_us);
  }
  if (curve.size() > 1) {
    const double growth = curve.back().second / curve.front().second;
    const double nodes_growth = static_cast<double>(curve.back().first) / curve.front().first;
    report.Add(
        Goal{absl::StrFormat("cost per decision over %.0f times the nodes, times", nodes_growth),
             growth, nodes_growth});
  }
  if (largest >= 100'000) {
    report.Add(Goal{"100,000 nodes, a million jobs, s", last.seconds, 300});
    report.Add(Goal{"peak memory, GiB", PeakGib(), 4});
  }
  // The trace in time, arrivals times a hundred: jobs come and leave.
  for (const char* policy : {"fgd", "het"}) {
    fleet::SimulatorOptions options;
    options.policy = policy;
    options.load = 100;
    const auto start = Clock::now();
    const auto result = fleet::Simulate(*openb, *jobs, options);
    if (!result.ok()) return 1;
    Samples seconds_in_time;
    seconds_in_time.Add(std::chrono::duration<double>(Clock::now() - start).count());
    report.Add(
        {absl::StrCat("in time, ", result->all.arrived, " jobs"), policy, "s", seconds_in_time, 0});
  }
  report.Print(output == "json");
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
