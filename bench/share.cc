// Do slices hold? Tenants in processes of their own keep one device busy through the arbiter; how
// much of the device's busy time each had, per window of a second, beside what it asked for.
//
//   share --device simulated|UUID|opencl|cpu --weights 75:25 [--kernel-us 220:220] [--depth 4:4]
//         [--policy guaranteed] [--priority 1:1] [--sync] [--seconds 10] [-o table|json]
//
// A list has one value per tenant, or one for all. The first second is a warm-up and is not
// counted. Not the arbiter keeps the books: the device does. `simulated` needs no daemon and no
// hardware; a real device is used through libhet and hetd (the one that HET_SOCKET names, or one of
// its own), its clock times the work, and the share of the work that got done is shown beside it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/status.h"
#include "bench/sharing/bench_daemon.h"
#include "bench/sharing/device_tenants.h"
#include "bench/sharing/tenants.h"

namespace het::bench {
namespace {

constexpr int kUsage = 64;
constexpr int64_t kSecond = 1'000'000'000;

struct Options {
  std::string device = "simulated";
  std::string weights = "75:25";
  std::string kernel_us = "220";
  std::string depth = "4";
  std::string policy = "guaranteed";
  std::string priority = "1";
  bool sync = false;
  int seconds = 10;
  int arbiter_depth = 2;
  std::string output = "table";
};

struct TenantPlan {
  double weight = 0;
  Policy policy = Policy::kGuaranteed;
  uint32_t priority = 1;
  TenantWork work;
};

// "a:b:c" with one value for everybody or one each.
absl::StatusOr<std::vector<double>> ParseList(const std::string& name, const std::string& text,
                                              size_t count, double least, double most) {
  std::vector<double> values;
  for (absl::string_view part : absl::StrSplit(text, ':')) {
    double value;
    if (!absl::SimpleAtod(part, &value) || !(value >= least) || !(value <= most)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", name, " ", text, ": '", part, "' is not a number from ", least, " to ", most));
    }
    values.push_back(value);
  }
  if (count != 0 && values.size() == 1) values.resize(count, values[0]);
  if (count != 0 && values.size() != count) {
    return absl::InvalidArgumentError(absl::StrCat("--", name, " ", text, " has ", values.size(),
                                                   " values, --weights has ", count,
                                                   "; give one, or one per tenant"));
  }
  return values;
}

absl::StatusOr<std::vector<TenantPlan>> ParseTenants(const Options& options) {
  HET_ASSIGN_OR_RETURN(const std::vector<double> weights,
                       ParseList("weights", options.weights, 0, 0.01, 10000));
  const size_t count = weights.size();
  if (count > 32) return absl::InvalidArgumentError("at most 32 tenants");
  HET_ASSIGN_OR_RETURN(const auto lengths,
                       ParseList("kernel-us", options.kernel_us, count, 1, 1e6));
  HET_ASSIGN_OR_RETURN(const auto depths, ParseList("depth", options.depth, count, 1, 256));
  HET_ASSIGN_OR_RETURN(const auto priorities, ParseList("priority", options.priority, count, 0, 3));
  std::vector<std::string> policies = absl::StrSplit(options.policy, ':');
  if (policies.size() == 1) policies.resize(count, policies[0]);
  if (policies.size() != count) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--policy ", options.policy, " has ", policies.size(), " values for ", count, " tenants"));
  }
  std::vector<TenantPlan> tenants(count);
  for (size_t i = 0; i < count; ++i) {
    tenants[i].weight = weights[i];
    HET_ASSIGN_OR_RETURN(tenants[i].policy, ParsePolicy(policies[i]));
    tenants[i].priority = static_cast<uint32_t>(priorities[i]);
    tenants[i].work.kernel_ns = static_cast<int64_t>(lengths[i] * 1000);
    tenants[i].work.depth = static_cast<uint32_t>(depths[i]);
    tenants[i].work.sync = options.sync;
  }
  return tenants;
}

struct Outcome {
  std::string device = "simulated";
  std::vector<std::vector<double>> busy;    // [tenant][window] nanoseconds
  std::vector<std::vector<double>> absent;  // part of the window with nothing asked; or empty
  std::vector<std::vector<double>> work;    // as busy, by launches completed; or empty
  std::vector<double> kernel_us;            // as measured alone; or empty
};

uint32_t SharePartsOf(double weight, double sum) {
  return std::max<uint32_t>(1, static_cast<uint32_t>(std::lround(weight / sum * 10000)));
}

double SumOfWeights(const std::vector<TenantPlan>& tenants) {
  double sum = 0;
  for (const TenantPlan& tenant : tenants) sum += tenant.weight;
  return sum;
}

absl::StatusOr<Outcome> RunSimulated(const std::vector<TenantPlan>& tenants,
                                     const Options& options) {
  ArbiterOptions arbiter;
  arbiter.depth = options.arbiter_depth;
  HET_ASSIGN_OR_RETURN(std::unique_ptr<ArbiterHost> host,
                       ArbiterHost::Create("simulated", arbiter));
  const double sum = SumOfWeights(tenants);
  Tenants::Plan plan;
  plan.start_ns = NowNs() + kSecond + static_cast<int64_t>(tenants.size()) * 10'000'000;
  plan.window_ns = kSecond;
  plan.end_ns = plan.start_ns + options.seconds * kSecond + 50'000'000;
  HET_ASSIGN_OR_RETURN(plan.device,
                       simulated::SharedTimeline::Create(plan.start_ns, plan.window_ns));
  Tenants group(*host);
  for (const TenantPlan& tenant : tenants) {
    ArbiterLease lease;
    lease.weight = Share::OfParts(SharePartsOf(tenant.weight, sum));
    lease.policy = tenant.policy;
    lease.priority = tenant.priority;
    lease.uid = geteuid();
    HET_ASSIGN_OR_RETURN(const uint32_t index, host->AddLease(lease));
    HET_RETURN_IF_ERROR(group.Start(index, tenant.work, plan));
  }
  HET_RETURN_IF_ERROR(group.Wait(plan));

  Outcome outcome;
  outcome.busy.resize(tenants.size());
  outcome.absent.resize(tenants.size());
  for (size_t i = 0; i < tenants.size(); ++i) {
    for (int window = 0; window < options.seconds; ++window) {
      outcome.busy[i].push_back(plan.device->Busy(i, window));
      outcome.absent[i].push_back(static_cast<double>(group.report(i).absent_ns[window].load()) /
                                  kSecond);
    }
  }
  simulated::SharedTimeline::Destroy(plan.device);
  return outcome;
}

absl::StatusOr<Outcome> RunReal(const std::vector<TenantPlan>& plans, const Options& options) {
  constexpr het_policy kPolicies[] = {HET_GUARANTEED, HET_CAPPED, HET_BEST_EFFORT};
  constexpr het_priority kPriorities[] = {HET_PRIORITY_BATCH, HET_PRIORITY_NORMAL,
                                          HET_PRIORITY_HIGH, HET_PRIORITY_HIGH};
  HET_ASSIGN_OR_RETURN(const auto daemon, BenchDaemon::Open());
  const double sum = SumOfWeights(plans);
  std::vector<DeviceTenant> tenants;
  tenants.reserve(plans.size());
  for (const TenantPlan& plan : plans) {
    tenants.push_back({SharePartsOf(plan.weight, sum), kPolicies[static_cast<int>(plan.policy)],
                       kPriorities[plan.priority], plan.work.kernel_ns / 1e3, plan.work.depth,
                       plan.work.sync});
  }
  HET_ASSIGN_OR_RETURN(DeviceRun run,
                       RunOnDevice(daemon->socket(), options.device, tenants, options.seconds));
  Outcome outcome;
  outcome.device = std::move(run.device);
  outcome.busy = std::move(run.busy);
  outcome.work = std::move(run.work);
  outcome.kernel_us = std::move(run.kernel_us);
  return outcome;
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Json Rounded(const std::vector<double>& values) {
  Json list = Json::array();
  for (double value : values) list.push_back(std::round(value * 1e5) / 1e5);
  return list;
}

// What the windows come to.
struct Summary {
  std::vector<std::vector<double>> windows;  // [tenant][window] share of what all had
  std::vector<std::vector<double>> wall;     // share of wall time
  std::vector<double> asked;
  double worst_points = 0;
  double median_points = 0;
  double device_busy = 0;
};

Summary Summarise(const std::vector<TenantPlan>& tenants, const Outcome& outcome) {
  Summary summary;
  const size_t count = tenants.size();
  summary.windows.resize(count);
  summary.wall.resize(count);
  const double sum = SumOfWeights(tenants);
  std::vector<double> errors, busy;
  for (const TenantPlan& tenant : tenants) summary.asked.push_back(tenant.weight / sum);
  for (size_t window = 0; window < outcome.busy[0].size(); ++window) {
    double all = 0;
    for (size_t i = 0; i < count; ++i) all += outcome.busy[i][window];
    busy.push_back(all / kSecond);
    for (size_t i = 0; i < count; ++i) {
      const double own = outcome.busy[i][window];
      summary.windows[i].push_back(all > 0 ? own / all : 0);
      summary.wall[i].push_back(own / kSecond);
      errors.push_back(std::abs(summary.windows[i].back() - summary.asked[i]) * 100);
    }
  }
  summary.worst_points = *std::max_element(errors.begin(), errors.end());
  summary.median_points = Median(errors);
  summary.device_busy = Median(busy);
  return summary;
}

// Of the work that all got done, over the whole run.
double WorkShare(const Outcome& outcome, size_t tenant) {
  double own = 0, all = 0;
  for (size_t i = 0; i < outcome.work.size(); ++i) {
    for (const double work : outcome.work[i]) {
      all += work;
      if (i == tenant) own += work;
    }
  }
  return all > 0 ? own / all : 0;
}

void PrintAsJson(const std::vector<TenantPlan>& tenants, const Outcome& outcome,
                 const Summary& summary, const Options& options) {
  Json clients = Json::array();
  for (size_t i = 0; i < tenants.size(); ++i) {
    Json client = {{"asked", summary.asked[i]},
                   {"policy", std::string(PolicyName(tenants[i].policy))},
                   {"priority", tenants[i].priority},
                   {"kernel_us", tenants[i].work.kernel_ns / 1e3},
                   {"depth", tenants[i].work.depth},
                   {"median", Median(summary.windows[i])},
                   {"windows", Rounded(summary.windows[i])},
                   {"wall", Rounded(summary.wall[i])}};
    if (!outcome.absent.empty()) client["absent"] = Rounded(outcome.absent[i]);
    if (!outcome.kernel_us.empty()) {
      client["kernel_us_alone"] = outcome.kernel_us[i];
      client["work_share"] = WorkShare(outcome, i);
    }
    clients.push_back(std::move(client));
  }
  const Json json = {{"benchmark", "share"},
                     {"device", outcome.device},
                     {"simulated", options.device == "simulated"},
                     {"sync", options.sync},
                     {"window_seconds", 1},
                     {"warm_up_seconds", 1},
                     {"clients", clients},
                     {"worst_error_points", summary.worst_points},
                     {"median_error_points", summary.median_points},
                     {"device_busy", summary.device_busy}};
  std::printf("%s\n", PrintJson(json, 2).c_str());
}

void PrintAsTable(const std::vector<TenantPlan>& tenants, const Outcome& outcome,
                  const Summary& summary, const Options& options) {
  std::printf("%s%s, %d windows of 1 s after 1 s of warm-up%s\n", outcome.device.c_str(),
              options.device == "simulated" ? " device" : "", options.seconds,
              options.sync ? ", wait after every launch" : "");
  std::printf("%-7s %-12s %9s %6s %8s %8s %8s %8s %8s %8s\n", "tenant", "policy", "kernel", "depth",
              "asked", "median", "min", "max", "wall", "absent");
  for (size_t i = 0; i < tenants.size(); ++i) {
    const std::vector<double>& windows = summary.windows[i];
    const auto [low, high] = std::minmax_element(windows.begin(), windows.end());
    const double kernel =
        outcome.kernel_us.empty() ? tenants[i].work.kernel_ns / 1e3 : outcome.kernel_us[i];
    std::printf("%-7zu %-12s %6.0f us %6u %7.2f%% %7.2f%% %7.2f%% %7.2f%% %7.2f%% ", i,
                std::string(PolicyName(tenants[i].policy)).c_str(), kernel, tenants[i].work.depth,
                100 * summary.asked[i], 100 * Median(windows), 100 * *low, 100 * *high,
                100 * Median(summary.wall[i]));
    std::printf("%7.2f%%\n",
                100 * (outcome.work.empty() ? Median(outcome.absent[i]) : WorkShare(outcome, i)));
  }
  std::printf("error of a window's share: worst %.3f points, median %.3f; device busy %.2f %%\n",
              summary.worst_points, summary.median_points, 100 * summary.device_busy);
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Shares of one device, measured");
  app.add_option("--device", options.device, "simulated, a UUID, or a backend (its first device)");
  app.add_option("--weights", options.weights, "shares asked, one per tenant: 75:25");
  app.add_option("--kernel-us", options.kernel_us, "length of a launch in us");
  app.add_option("--depth", options.depth, "launches a tenant keeps wanted");
  app.add_option("--policy", options.policy, "guaranteed, capped or best_effort");
  app.add_option("--priority", options.priority, "0 to 3");
  app.add_flag("--sync", options.sync, "wait after every launch");
  app.add_option("--seconds", options.seconds, "windows of one second")->check(CLI::Range(1, 1000));
  app.add_option("--arbiter-depth", options.arbiter_depth, "launches in flight among competitors")
      ->check(CLI::Range(1, 64));
  app.add_option("-o,--output", options.output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "share: %s\n", error.what());
    return kUsage;
  }
  const absl::StatusOr<std::vector<TenantPlan>> tenants = ParseTenants(options);
  if (!tenants.ok()) {
    std::fprintf(stderr, "share: %s\n", std::string(tenants.status().message()).c_str());
    return kUsage;
  }
  const absl::StatusOr<Outcome> outcome =
      options.device == "simulated" ? RunSimulated(*tenants, options) : RunReal(*tenants, options);
  if (!outcome.ok()) {
    std::fprintf(stderr, "share: %s\n", std::string(outcome.status().message()).c_str());
    return 1;
  }
  const Summary summary = Summarise(*tenants, *outcome);
  (options.output == "json" ? PrintAsJson : PrintAsTable)(*tenants, *outcome, summary, options);
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
