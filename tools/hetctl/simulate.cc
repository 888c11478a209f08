// hetctl simulate: what a fleet, a load and a placement policy come to, in virtual time, without a
// daemon.
#include "tools/hetctl/simulate.h"

#include <cstdio>
#include <limits>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"
#include "scheduler/fleet/what_if.h"
#include "tools/hetctl/command.h"
#include "tools/hetctl/report_file.h"

namespace het::hetctl {

volatile std::sig_atomic_t simulate_interrupted = 0;

namespace {

constexpr double kHour = 3600;

absl::StatusOr<std::vector<uint64_t>> ParseSeeds(const std::string& text) {
  std::vector<uint64_t> seeds;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    uint64_t first = 0, last = 0;
    if (!absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last) ||
        last < first || last - first >= 1000) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--seeds: numbers and ranges of up to 1000 expected, such as 42-51 or 1,7; \"", text,
          "\" is there"));
    }
    for (uint64_t seed = first; seed <= last; ++seed) seeds.push_back(seed);
  }
  return seeds;
}

absl::StatusOr<std::vector<int64_t>> ParseQuotas(const std::vector<std::string>& quotas,
                                                 fleet::Names& tenants) {
  std::vector<int64_t> milli;
  for (const std::string& quota : quotas) {
    const std::vector<std::string> parts = absl::StrSplit(quota, '=');
    double devices = 0;
    if (parts.size() != 2 || parts[0].empty() || !absl::SimpleAtod(parts[1], &devices) ||
        !(devices >= 0) || devices > 1e9) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--quota: TENANT=DEVICES expected, such as blue=12.5; \"", quota, "\" is there"));
    }
    const auto tenant = tenants.Find(parts[0]);
    if (!tenant) {
      return absl::NotFoundError(absl::StrCat("--quota: no job has the tenant \"", parts[0], "\""));
    }
    milli.resize(static_cast<size_t>(tenants.size()), 0);
    milli[static_cast<size_t>(*tenant)] = static_cast<int64_t>(devices * fleet::kWholeDevice);
  }
  return milli;
}

absl::Status Change(const std::vector<std::string>& changes,
                    absl::Status (*apply)(fleet::Fleet&, const fleet::ModelCount&),
                    const char* option, fleet::Fleet& fleet) {
  for (const std::string& change : changes) {
    const auto parsed = fleet::ParseModelCount(change);
    if (!parsed.ok()) return Annotate(parsed.status(), option);
    if (const auto done = apply(fleet, *parsed); !done.ok()) return Annotate(done, option);
  }
  return absl::OkStatus();
}

struct Inputs {
  fleet::Fleet machines;
  fleet::Jobs jobs;
  std::vector<uint64_t> seeds;
  std::vector<int64_t> quota_milli;
  SimulateSubject subject;
};

absl::StatusOr<Inputs> Load(const SimulateOptions& options) {
  Inputs inputs;
  HET_ASSIGN_OR_RETURN(inputs.seeds, ParseSeeds(options.seeds));
  const auto nodes = ReadFile(options.nodes);
  if (!nodes.ok()) return Annotate(nodes.status(), "--nodes");
  HET_ASSIGN_OR_RETURN(inputs.machines, fleet::ParseNodes(*nodes, options.nodes));
  const auto jobs = ReadFile(options.jobs);
  if (!jobs.ok()) return Annotate(jobs.status(), "--jobs");
  HET_ASSIGN_OR_RETURN(inputs.jobs, fleet::ParseJobs(*jobs, options.jobs, inputs.machines.models));
  HET_RETURN_IF_ERROR(Change(options.add_nodes, fleet::AddNodes, "--add-nodes", inputs.machines));
  HET_RETURN_IF_ERROR(
      Change(options.remove_nodes, fleet::RemoveNodes, "--remove-nodes", inputs.machines));
  HET_RETURN_IF_ERROR(Change(options.cut, fleet::CutDevices, "--cut", inputs.machines));
  HET_ASSIGN_OR_RETURN(inputs.quota_milli, ParseQuotas(options.quotas, inputs.jobs.tenants));
  int64_t devices = 0;
  for (const fleet::NodeSpec& node : inputs.machines.nodes) devices += node.devices;
  inputs.subject.text = absl::StrCat(inputs.machines.nodes.size(), " nodes, ", devices,
                                     " devices; ", inputs.jobs.jobs.size(), " jobs");
  for (const auto& [name, changes] :
       {std::pair("--add-nodes", &options.add_nodes),
        std::pair("--remove-nodes", &options.remove_nodes), std::pair("--cut", &options.cut)}) {
    for (const std::string& change : *changes)
      absl::StrAppend(&inputs.subject.text, "; ", name, " ", change);
  }
  for (int i = 0; i < inputs.jobs.tenants.size(); ++i)
    inputs.subject.tenants.push_back(inputs.jobs.tenants[i]);
  return inputs;
}

absl::Status RunSeed(const SimulateOptions& options, const Inputs& inputs, uint64_t seed,
                     Scenario& scenario) {
  if (options.arrival > 0) {
    HET_ASSIGN_OR_RETURN(
        auto result,
        fleet::RunOverload(inputs.machines, inputs.jobs.jobs, scenario.policy,
                           {.arrival = options.arrival, .window = options.window, .seed = seed},
                           [](bool) { return simulate_interrupted == 0; }));
    scenario.overload.push_back(result);
  } else {
    fleet::SimulatorOptions simulator;
    simulator.policy = scenario.policy;
    simulator.seed = seed;
    simulator.load = scenario.load;
    if (options.until_s > 0) simulator.until_s = options.until_s;
    simulator.device_mtbf_s = options.mtbf_hours * kHour;
    simulator.repair_s = options.repair_hours * kHour;
    simulator.preempt = !options.no_preempt;
    simulator.quota_milli = inputs.quota_milli;
    const bool report = !options.report.empty();
    HET_ASSIGN_OR_RETURN(auto result,
                         fleet::Simulate(inputs.machines, inputs.jobs, simulator, report,
                                         [] { return simulate_interrupted == 0; }));
    if (report) {
      HET_ASSIGN_OR_RETURN(const report::Report rows,
                           FleetReport(inputs.machines, inputs.jobs.tenants, result));
      HET_ASSIGN_OR_RETURN(const std::string encoding, ReportEncodingOf(options.report));
      HET_ASSIGN_OR_RETURN(const ReportFile file,
                           MakeReportFile(rows, options.report_format, encoding));
      HET_RETURN_IF_ERROR(WriteReportFile(file, options.report));
      result.stays.clear();
      result.jobs.clear();
    }
    scenario.timed.push_back(std::move(result));
  }
  scenario.seeds.push_back(seed);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Scenario>> RunAll(const SimulateOptions& options, const Inputs& inputs) {
  std::vector<Scenario> scenarios;
  for (const std::string& policy : options.policies) {
    for (const double load : options.loads) {
      Scenario scenario;
      scenario.policy = policy;
      scenario.load = load;
      for (const uint64_t seed : inputs.seeds) {
        if (simulate_interrupted != 0) break;
        HET_RETURN_IF_ERROR(RunSeed(options, inputs, seed, scenario));
      }
      scenarios.push_back(std::move(scenario));
    }
  }
  return scenarios;
}

int Simulate(const Globals& globals, const SimulateOptions& options) {
  std::string format = options.format;
  if (format.empty()) format = globals.format == Format::kJson ? "json" : "table";
  std::signal(SIGINT, [](int) { simulate_interrupted = 1; });
  std::signal(SIGTERM, [](int) { simulate_interrupted = 1; });
  if (!options.requests.empty()) {
    const absl::Status status = SimulateLlm(options, format);
    return status.ok() ? kExitOk : Fail(status);
  }
  if (options.nodes.empty() || options.jobs.empty()) {
    std::fprintf(stderr,
                 "hetctl: simulate needs --nodes and --jobs, or --requests, --node and --model\n");
    return kExitUsage;
  }
  const auto inputs = Load(options);
  if (!inputs.ok()) return Fail(inputs.status());
  if (!options.report.empty() &&
      (options.arrival > 0 || options.policies.size() * options.loads.size() > 1 ||
       inputs->seeds.size() > 1)) {
    return Fail(absl::InvalidArgumentError(
        "--report: is of one run in time: one policy, one load, one seed, no --arrival"));
  }
  if (!options.report.empty()) {
    const auto encoding = ReportEncodingOf(options.report);
    if (!encoding.ok()) return Fail(encoding.status());
    if (*encoding == "html" && options.report_format != "native") {
      return Fail(absl::InvalidArgumentError("--report-format is for .csv and .jsonl files"));
    }
  }
  const auto scenarios = RunAll(options, *inputs);
  if (!scenarios.ok()) return Fail(scenarios.status());
  if (format == "json") {
    std::printf("%s\n", PrintJson(ScenariosToJson(inputs->subject, *scenarios)).c_str());
  } else if (format == "csv") {
    PrintScenarioCsv(*scenarios);
  } else if (format == "html") {
    std::fputs(ScenariosToHtml(inputs->subject, *scenarios).c_str(), stdout);
  } else {
    PrintScenarioTable(inputs->subject, *scenarios);
  }
  if (simulate_interrupted != 0)
    std::fprintf(stderr, "hetctl: interrupted; this is what there was\n");
  return kExitOk;
}

}  // namespace

void RegisterSimulate(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<SimulateOptions>();
  CLI::App* command = app.add_subcommand(
      "simulate", "What a fleet, a load and a placement policy come to; no daemon needed.");
  command->add_option("--nodes", options->nodes,
                      "the nodes as CSV (openb's columns; docs/fleet.md)");
  command->add_option("--jobs", options->jobs, "the jobs as CSV (openb's columns; docs/fleet.md)");
  command
      ->add_option(
          "--policy", options->policies,
          "random, dot-product, clustering, packing, best-fit, fgd or het; several with commas")
      ->delimiter(',');
  command->add_option("--seeds", options->seeds, "such as 42-51 or 1,7");
  command
      ->add_option(
          "--arrival", options->arrival,
          "the overload experiment: shuffled jobs up to this multiple of the fleet's devices, "
          "none leaves")
      ->check(CLI::Range(0.01, 100.0));
  command->add_option("--window", options->window,
                      "with --arrival: jobs that may wait for a better order");
  command->add_option("--load", options->loads, "arrivals times this; several with commas")
      ->delimiter(',')
      ->check(CLI::Range(0.001, 1000.0));
  command->add_option("--add-nodes", options->add_nodes, "MODEL=N more nodes of that model");
  command->add_option("--remove-nodes", options->remove_nodes, "MODEL=N nodes fewer");
  command->add_option("--cut", options->cut, "MODEL=N: every such device in N parts");
  command->add_option("--quota", options->quotas, "TENANT=DEVICES of its own; may be repeated");
  command->add_option("--mtbf-hours", options->mtbf_hours, "mean time between failures of a device")
      ->check(CLI::Range(0.0, 1e9));
  command->add_option("--repair-hours", options->repair_hours, "until a failed device is back")
      ->check(CLI::Range(0.0, 1e9));
  command->add_flag("--no-preempt", options->no_preempt, "nobody is displaced");
  command->add_option("--until", options->until_s, "stop at this second of the trace")
      ->check(CLI::Range(0.0, 1e12));
  command->add_option("--report", options->report,
                      "write the allocation report to this .csv, .jsonl or .html file");
  command->add_option("--report-format", options->report_format, "its columns")
      ->check(CLI::IsMember({"native", "focus-1.3"}));
  command->add_option("--requests", options->requests,
                      "LLM requests instead of jobs: Azure's CSV or Mooncake's JSON lines");
  command->add_option("--node", options->node, "with --requests: a profile of simulated devices");
  command->add_option("--model", options->model, "with --requests: the model (docs/fleet.md)");
  command
      ->add_option(
          "--rate", options->rate,
          "with --requests: times the trace's rate (default: 80 % of what the node can do)")
      ->check(CLI::Range(1e-6, 1e6));
  command->add_option("--ttft-limit", options->ttft_limit_s,
                      "seconds to the first token, to be good");
  command->add_option("--tbt-limit", options->tbt_limit_ms,
                      "milliseconds between tokens, to be good");
  command
      ->add_option("--prefill-chunk", options->prefill_chunk,
                   "prompt tokens in one pass, beside a decode step; 0: whole prompts (default: "
                   "what suits each deployment best)")
      ->check(CLI::Range(0, 1'000'000));
  command->add_option("--price", options->prices, "DEVICE=PER_HOUR, for the cost of tokens");
  command->add_option("-o,--output", options->format, "table, json, csv or html")
      ->check(CLI::IsMember({"table", "json", "csv", "html"}));
  command->callback([&globals, options] {
    globals.run = [&globals, options] { return Simulate(globals, *options); };
  });
}

}  // namespace het::hetctl
