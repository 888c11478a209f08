// Do slices hold? Tenants in processes of their own keep one device busy through the arbiter; how
// much of the device's busy time each had, per window of a second, beside what it asked for.
//
//   share --device simulated --weights 75:25 [--kernel-us 220:220] [--depth 4:4]
//         [--policy guaranteed] [--priority 1:1] [--sync] [--seconds 10] [-o table|json]
//
// A list has one value per tenant, or one for all. The device keeps the books, not the arbiter. The
// first second is a warm-up and is not counted.
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
  std::vector<std::vector<double>> windows;  // [tenant][window] share of busy
  std::vector<std::vector<double>> wall;     // share of wall time
  std::vector<std::vector<double>> absent;   // part of the window with nothing asked
  std::vector<double> device_busy;           // [window]
};

absl::StatusOr<Outcome> RunSimulated(const std::vector<TenantPlan>& tenants,
                                     const Options& options) {
  ArbiterOptions arbiter;
  arbiter.depth = options.arbiter_depth;
  HET_ASSIGN_OR_RETURN(std::unique_ptr<ArbiterHost> host,
                       ArbiterHost::Create("simulated", arbiter));
  double sum = 0;
  for (const TenantPlan& tenant : tenants) sum += tenant.weight;
  Tenants::Plan plan;
  plan.start_ns = NowNs() + kSecond + static_cast<int64_t>(tenants.size()) * 10'000'000;
  plan.window_ns = kSecond;
  plan.end_ns = plan.start_ns + options.seconds * kSecond + 50'000'000;
  HET_ASSIGN_OR_RETURN(plan.device,
                       simulated::SharedTimeline::Create(plan.start_ns, plan.window_ns));
  Tenants group(*host);
  for (const TenantPlan& tenant : tenants) {
    ArbiterLease lease;
    lease.weight = Share::OfParts(
        std::max<uint32_t>(1, static_cast<uint32_t>(std::lround(tenant.weight / sum * 10000))));
    lease.policy = tenant.policy;
    lease.priority = tenant.priority;
    lease.uid = geteuid();
    HET_ASSIGN_OR_RETURN(const uint32_t index, host->AddLease(lease));
    HET_RETURN_IF_ERROR(group.Start(index, tenant.work, plan));
  }
  HET_RETURN_IF_ERROR(group.Wait(plan));

  Outcome outcome;
  outcome.windows.resize(tenants.size());
  outcome.wall.resize(tenants.size());
  outcome.absent.resize(tenants.size());
  for (int window = 0; window < options.seconds; ++window) {
    double busy = 0;
    for (size_t i = 0; i < tenants.size(); ++i) busy += plan.device->Busy(i, window);
    outcome.device_busy.push_back(busy / kSecond);
    for (size_t i = 0; i < tenants.size(); ++i) {
      const double own = plan.device->Busy(i, window);
      outcome.windows[i].push_back(busy > 0 ? own / busy : 0);
      outcome.wall[i].push_back(own / kSecond);
      outcome.absent[i].push_back(static_cast<double>(group.report(i).absent_ns[window].load()) /
                                  kSecond);
    }
  }
  simulated::SharedTimeline::Destroy(plan.device);
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

void Print(const std::vector<TenantPlan>& tenants, const Outcome& outcome, const Options& options) {
  double sum = 0;
  for (const TenantPlan& tenant : tenants) sum += tenant.weight;
  std::vector<double> errors;
  Json clients = Json::array();
  for (size_t i = 0; i < tenants.size(); ++i) {
    const double asked = tenants[i].weight / sum;
    for (double share : outcome.windows[i]) errors.push_back(std::abs(share - asked) * 100);
    clients.push_back({{"asked", asked},
                       {"policy", std::string(PolicyName(tenants[i].policy))},
                       {"priority", tenants[i].priority},
                       {"kernel_us", tenants[i].work.kernel_ns / 1e3},
                       {"depth", tenants[i].work.depth},
                       {"median", Median(outcome.windows[i])},
                       {"windows", Rounded(outcome.windows[i])},
                       {"wall", Rounded(outcome.wall[i])},
                       {"absent", Rounded(outcome.absent[i])}});
  }
  const double worst = errors.empty() ? 0 : *std::max_element(errors.begin(), errors.end());
  const double busy = Median(outcome.device_busy);
  if (options.output == "json") {
    const Json json = {{"benchmark", "share"},
                       {"device", "simulated"},
                       {"simulated", true},
                       {"sync", options.sync},
                       {"window_seconds", 1},
                       {"warm_up_seconds", 1},
                       {"clients", clients},
                       {"worst_error_points", worst},
                       {"median_error_points", Median(errors)},
                       {"device_busy", busy}};
    std::printf("%s\n", PrintJson(json, 2).c_str());
    return;
  }
  std::printf("simulated device, %d windows of 1 s after 1 s of warm-up%s\n", options.seconds,
              options.sync ? ", wait after every launch" : "");
  std::printf("%-7s %-12s %8s %6s %8s %8s %8s %8s %8s %8s\n", "tenant", "policy", "kernel", "depth",
              "asked", "median", "min", "max", "wall", "absent");
  for (size_t i = 0; i < tenants.size(); ++i) {
    const auto [low, high] =
        std::minmax_element(outcome.windows[i].begin(), outcome.windows[i].end());
    std::printf("%-7zu %-12s %5.0f us %6u %7.2f%% %7.2f%% %7.2f%% %7.2f%% %7.2f%% %7.2f%%\n", i,
                std::string(PolicyName(tenants[i].policy)).c_str(), tenants[i].work.kernel_ns / 1e3,
                tenants[i].work.depth, 100 * tenants[i].weight / sum,
                100 * Median(outcome.windows[i]), 100 * *low, 100 * *high,
                100 * Median(outcome.wall[i]), 100 * Median(outcome.absent[i]));
  }
  std::printf("error of a window's share: worst %.3f points, median %.3f; device busy %.2f %%\n",
              worst, Median(errors), 100 * busy);
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Shares of one device, measured");
  app.add_option("--device", options.device, "simulated");
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
  if (options.device != "simulated") {
    std::fprintf(stderr, "share: there is no device %s here; there is: simulated\n",
                 options.device.c_str());
    return kUsage;
  }
  const absl::StatusOr<std::vector<TenantPlan>> tenants = ParseTenants(options);
  if (!tenants.ok()) {
    std::fprintf(stderr, "share: %s\n", std::string(tenants.status().message()).c_str());
    return kUsage;
  }
  const absl::StatusOr<Outcome> outcome = RunSimulated(*tenants, options);
  if (!outcome.ok()) {
    std::fprintf(stderr, "share: %s\n", std::string(outcome.status().message()).c_str());
    return 1;
  }
  Print(*tenants, *outcome, options);
  return 0;
}

}  // namespace
}  // namespace het::bench

int main(int argc, char** argv) { return het::bench::Main(argc, argv); }
