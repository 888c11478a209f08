// What the parts of hetctl simulate share: its options, the runs it made of them, and the ways to
// print these.
#ifndef HET_TOOLS_HETCTL_SIMULATE_H_
#define HET_TOOLS_HETCTL_SIMULATE_H_

#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "report/allocation.h"
#include "scheduler/fleet/overload.h"
#include "scheduler/fleet/simulator.h"

namespace het::hetctl {

struct SimulateOptions {
  std::string nodes;
  std::string jobs;
  std::vector<std::string> policies = {"het"};
  std::string seeds = "42";
  double arrival = 0;  // above 0: the overload experiment
  int window = 1;
  std::string format;
  std::vector<std::string> add_nodes, remove_nodes, cut;
  std::vector<double> loads = {1};
  double until_s = 0;  // 0: to the end
  double mtbf_hours = 0, repair_hours = 4;
  std::vector<std::string> quotas;  // "tenant=devices"
  bool no_preempt = false;
  std::string report;  // file for the allocation report; its ending is the encoding
  std::string report_format = "native";
  // A request trace on one node instead of jobs on a fleet.
  std::string requests, node, model;
  std::vector<std::string> prices;  // "device=per hour"
  double rate = 0;                  // of the trace; 0: 80 % of what the node can do
  double ttft_limit_s = 10, tbt_limit_ms = 500;
  std::optional<int32_t> prefill_chunk;  // tokens in a pass; 0: whole prompts
};

// Set by SIGINT and SIGTERM: runs end early and report what they have.
extern volatile std::sig_atomic_t simulate_interrupted;

// One policy under one load, once per seed. Either overload or timed has as many entries as seeds.
struct Scenario {
  std::string policy;
  double load = 1;
  std::vector<uint64_t> seeds;
  std::vector<fleet::OverloadResult> overload;
  std::vector<fleet::SimulatorResult> timed;
};

// Mean over seeds and half the width of its 95 % confidence interval (Student's t); 0 for one seed.
struct Estimate {
  double mean = 0;
  double plus_minus = 0;
};
Estimate EstimateOf(const std::vector<double>& values);
Estimate EstimateOf(const Scenario& scenario,
                    const std::function<double(const fleet::SimulatorResult&)>& value);

// What was simulated, for the heading of a page: "1213 nodes, 6212 devices; 8152 jobs".
struct SimulateSubject {
  std::string text;
  std::vector<std::string> tenants;
};

void PrintScenarioTable(const SimulateSubject& subject, const std::vector<Scenario>& scenarios);
void PrintScenarioCsv(const std::vector<Scenario>& scenarios);
// One scenario is an object, several are a list.
Json ScenariosToJson(const SimulateSubject& subject, const std::vector<Scenario>& scenarios);
// A whole page, no scripts, nothing fetched.
std::string ScenariosToHtml(const SimulateSubject& subject, const std::vector<Scenario>& scenarios);

// Replays options.requests and prints the deployments side by side; format is "table" or "json".
absl::Status SimulateLlm(const SimulateOptions& options, const std::string& format);

// The run's allocation report, as hetd's (docs/report.md): one row per hour, device, state and job.
// Hours count from the trace's zero, which is written as 1970. Jobs use what they hold, so nothing
// is HeldIdle; free is what some job of the load could have, stranded what none could.
// InvalidArgument for more than 2 million device-hours.
absl::StatusOr<report::Report> FleetReport(const fleet::Fleet& fleet, const fleet::Names& tenants,
                                           const fleet::SimulatorResult& result);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_SIMULATE_H_
