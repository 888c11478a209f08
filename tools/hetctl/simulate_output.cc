// How hetctl simulate prints its runs: tables, CSV, JSON, the allocation report.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/hetctl/simulate.h"

namespace het::hetctl {
namespace {

using fleet::SimulatorResult;

// The figures of a run in time, in the order of every table.
struct Figure {
  const char* key;      // JSON and CSV
  const char* heading;  // table
  double scale;         // of the table
  double (*value)(const SimulatorResult&);
};
const Figure kFigures[] = {
    {"utilisation", "ALLOCATED %", 100, [](const SimulatorResult& r) { return r.Utilisation(); }},
    {"stranded_share", "STRANDED %", 100,
     [](const SimulatorResult& r) {
       return r.capacity_device_hours > 0 ? r.stranded_device_hours / r.capacity_device_hours : 0;
     }},
    {"wait_mean_s", "WAIT MEAN S", 1, [](const SimulatorResult& r) { return r.all.wait.mean_s; }},
    {"wait_p95_s", "P95 S", 1, [](const SimulatorResult& r) { return r.all.wait.p95_s; }},
    {"wait_p99_s", "P99 S", 1, [](const SimulatorResult& r) { return r.all.wait.p99_s; }},
    {"waiting_at_end", "WAITING", 1,
     [](const SimulatorResult& r) { return static_cast<double>(r.all.waiting); }},
    {"displaced", "DISPLACED", 1,
     [](const SimulatorResult& r) { return static_cast<double>(r.all.displaced); }},
    {"failed", "FAILED", 1,
     [](const SimulatorResult& r) { return static_cast<double>(r.all.failed); }},
    {"impossible", "IMPOSSIBLE", 1,
     [](const SimulatorResult& r) { return static_cast<double>(r.all.impossible); }},
};

Estimate OverloadEstimate(const Scenario& scenario) {
  std::vector<double> values;
  for (const auto& result : scenario.overload) values.push_back(result.UnallocatedShare());
  return EstimateOf(values);
}

void PrintOverloadTable(const std::vector<Scenario>& scenarios) {
  std::printf("%-12s %6s %12s %9s %9s %8s %8s\n", "POLICY", "SEED", "UNALLOCATED", "IN PARTS",
              "IN WHOLES", "PLACED", "REFUSED");
  for (const Scenario& scenario : scenarios) {
    for (size_t i = 0; i < scenario.overload.size(); ++i) {
      const fleet::OverloadResult& r = scenario.overload[i];
      const double capacity = static_cast<double>(r.capacity_milli);
      std::printf("%-12s %6llu %10.2f %% %7.2f %% %7.2f %% %8lld %8lld\n", scenario.policy.c_str(),
                  static_cast<unsigned long long>(scenario.seeds[i]), 100 * r.UnallocatedShare(),
                  100 * static_cast<double>(r.in_parts_milli) / capacity,
                  100 * static_cast<double>(r.in_wholes_milli) / capacity,
                  static_cast<long long>(r.placed), static_cast<long long>(r.refused));
    }
    const Estimate mean = OverloadEstimate(scenario);
    std::printf("%-12s %6s %10.2f %% +- %.2f (95 %% confidence)\n", scenario.policy.c_str(), "mean",
                100 * mean.mean, 100 * mean.plus_minus);
  }
}

void PrintClasses(const SimulateSubject& subject, const SimulatorResult& r) {
  std::printf("\n%-12s %8s %9s %8s %8s %11s %11s %9s %6s\n", "CLASS", "ARRIVED", "COMPLETED",
              "RUNNING", "WAITING", "WAIT MEAN S", "WAIT P99 S", "DISPLACED", "FAILED");
  for (int c = 0; c < fleet::kJobClasses; ++c) {
    const fleet::ClassSummary& s = r.by_class[c];
    if (s.arrived == 0) continue;
    std::printf("%-12s %8lld %9lld %8lld %8lld %11.1f %11.1f %9lld %6lld\n",
                std::string(fleet::JobClassName(static_cast<fleet::JobClass>(c))).c_str(),
                static_cast<long long>(s.arrived), static_cast<long long>(s.completed),
                static_cast<long long>(s.running), static_cast<long long>(s.waiting), s.wait.mean_s,
                s.wait.p99_s, static_cast<long long>(s.displaced),
                static_cast<long long>(s.failed));
  }
  if (r.by_tenant.size() > 1) {
    std::printf("\n%-16s %8s %8s %14s %14s %11s\n", "TENANT", "ARRIVED", "STARTED", "DEVICE HOURS",
                "OF IT BORROWED", "WAIT MEAN S");
    for (size_t t = 0; t < r.by_tenant.size(); ++t) {
      const fleet::TenantSummary& s = r.by_tenant[t];
      if (s.arrived == 0) continue;
      std::printf("%-16s %8lld %8lld %14.1f %14.1f %11.1f\n", subject.tenants[t].c_str(),
                  static_cast<long long>(s.arrived), static_cast<long long>(s.started),
                  s.device_hours, s.borrowed_device_hours, s.mean_wait_s);
    }
  }
  if (!r.impossible.empty()) {
    std::printf("\n%lld jobs would not fit the empty fleet and never waited, such as %s\n",
                static_cast<long long>(r.all.impossible), r.impossible.front().c_str());
  }
}

Json WaitToJson(const fleet::WaitSummary& wait) {
  return {{"count", wait.count}, {"mean_s", wait.mean_s}, {"p50_s", wait.p50_s},
          {"p95_s", wait.p95_s}, {"p99_s", wait.p99_s},   {"max_s", wait.max_s}};
}

Json ClassToJson(const fleet::ClassSummary& s) {
  return {{"arrived", s.arrived}, {"completed", s.completed},   {"running", s.running},
          {"waiting", s.waiting}, {"impossible", s.impossible}, {"displaced", s.displaced},
          {"failed", s.failed},   {"wait", WaitToJson(s.wait)}};
}

Json TimedToJson(const SimulateSubject& subject, const Scenario& scenario) {
  Json seeds = Json::array();
  for (size_t i = 0; i < scenario.timed.size(); ++i) {
    const SimulatorResult& r = scenario.timed[i];
    Json item = {{"seed", scenario.seeds[i]}, {"device_failures", r.device_failures}};
    for (const Figure& figure : kFigures) item[figure.key] = figure.value(r);
    for (int c = 0; c < fleet::kJobClasses; ++c) {
      item["classes"][std::string(fleet::JobClassName(static_cast<fleet::JobClass>(c)))] =
          ClassToJson(r.by_class[c]);
    }
    for (size_t t = 0; t < r.by_tenant.size(); ++t) {
      const fleet::TenantSummary& s = r.by_tenant[t];
      item["tenants"][subject.tenants[t]] = {{"arrived", s.arrived},
                                             {"started", s.started},
                                             {"device_hours", s.device_hours},
                                             {"borrowed_device_hours", s.borrowed_device_hours},
                                             {"mean_wait_s", s.mean_wait_s}};
    }
    item["impossible_jobs"] = r.impossible;
    Json series = Json::array();
    for (const fleet::Sample& sample : r.series) {
      series.push_back({sample.time_s, sample.capacity_milli, sample.allocated_milli,
                        sample.stranded_milli, sample.waiting, sample.running});
    }
    item["series_columns"] = {"time_s",         "capacity_milli", "allocated_milli",
                              "stranded_milli", "waiting",        "running"};
    item["series"] = std::move(series);
    seeds.push_back(std::move(item));
  }
  Json json = {{"policy", scenario.policy}, {"load", scenario.load}, {"seeds", seeds}};
  for (const Figure& figure : kFigures) {
    const Estimate estimate = EstimateOf(scenario, figure.value);
    json["mean"][figure.key] = estimate.mean;
    json["plus_minus_95"][figure.key] = estimate.plus_minus;
  }
  return json;
}

Json OverloadToJson(const Scenario& scenario) {
  Json seeds = Json::array();
  for (size_t i = 0; i < scenario.overload.size(); ++i) {
    const fleet::OverloadResult& r = scenario.overload[i];
    seeds.push_back(
        {{"seed", scenario.seeds[i]},
         {"unallocated_gpu_share", r.UnallocatedShare()},
         {"arrived", r.arrived},
         {"placed", r.placed},
         {"multi_device",
          {{"placed", r.multi}, {"linked", r.multi_linked}, {"one_numa", r.multi_one_numa}}},
         {"refused", r.refused}});
  }
  const Estimate mean = OverloadEstimate(scenario);
  return {{"policy", scenario.policy},
          {"seeds", seeds},
          {"mean", mean.mean},
          {"plus_minus_95", mean.plus_minus}};
}

}  // namespace

Estimate EstimateOf(const std::vector<double>& values) {
  // Student's t at 97.5 % for 1 to 30 degrees of freedom.
  constexpr double kT[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                           2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                           2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  Estimate estimate;
  const size_t n = values.size();
  if (n == 0) return estimate;
  for (const double value : values) estimate.mean += value / static_cast<double>(n);
  if (n < 2) return estimate;
  double squares = 0;
  for (const double value : values) squares += (value - estimate.mean) * (value - estimate.mean);
  const double error = std::sqrt(squares / static_cast<double>(n - 1) / static_cast<double>(n));
  estimate.plus_minus = error * (n - 2 < std::size(kT) ? kT[n - 2] : 1.96);
  return estimate;
}

Estimate EstimateOf(const Scenario& scenario,
                    const std::function<double(const SimulatorResult&)>& value) {
  std::vector<double> values;
  for (const SimulatorResult& result : scenario.timed) values.push_back(value(result));
  return EstimateOf(values);
}

void PrintScenarioTable(const SimulateSubject& subject, const std::vector<Scenario>& scenarios) {
  std::printf("%s\n", subject.text.c_str());
  if (scenarios.empty()) return;
  if (!scenarios.front().overload.empty()) return PrintOverloadTable(scenarios);
  std::printf("%-12s %6s %6s", "POLICY", "LOAD", "SEEDS");
  for (const Figure& figure : kFigures) std::printf(" %18s", figure.heading);
  std::printf("\n");
  for (const Scenario& scenario : scenarios) {
    std::printf("%-12s %6g %6zu", scenario.policy.c_str(), scenario.load, scenario.timed.size());
    for (const Figure& figure : kFigures) {
      const Estimate e = EstimateOf(scenario, figure.value);
      std::printf(" %18s", absl::StrFormat("%.1f +- %.1f", figure.scale * e.mean,
                                           figure.scale * e.plus_minus)
                               .c_str());
    }
    std::printf("\n");
  }
  if (scenarios.size() == 1 && !scenarios.front().timed.empty())
    PrintClasses(subject, scenarios.front().timed.front());
}

void PrintScenarioCsv(const std::vector<Scenario>& scenarios) {
  if (!scenarios.empty() && !scenarios.front().overload.empty()) {
    std::printf("policy,seed,unallocated_gpu_share,arrived,placed,refused\n");
    for (const Scenario& scenario : scenarios) {
      for (size_t i = 0; i < scenario.overload.size(); ++i) {
        const fleet::OverloadResult& r = scenario.overload[i];
        std::printf("%s,%llu,%.6f,%lld,%lld,%lld\n", scenario.policy.c_str(),
                    static_cast<unsigned long long>(scenario.seeds[i]), r.UnallocatedShare(),
                    static_cast<long long>(r.arrived), static_cast<long long>(r.placed),
                    static_cast<long long>(r.refused));
      }
    }
    return;
  }
  std::printf("policy,load,seed");
  for (const Figure& figure : kFigures) std::printf(",%s", figure.key);
  std::printf("\n");
  for (const Scenario& scenario : scenarios) {
    for (size_t i = 0; i < scenario.timed.size(); ++i) {
      std::printf("%s,%g,%llu", scenario.policy.c_str(), scenario.load,
                  static_cast<unsigned long long>(scenario.seeds[i]));
      for (const Figure& figure : kFigures) std::printf(",%.6g", figure.value(scenario.timed[i]));
      std::printf("\n");
    }
  }
}

Json ScenariosToJson(const SimulateSubject& subject, const std::vector<Scenario>& scenarios) {
  Json list = Json::array();
  for (const Scenario& scenario : scenarios) {
    list.push_back(scenario.timed.empty() ? OverloadToJson(scenario)
                                          : TimedToJson(subject, scenario));
    if (simulate_interrupted != 0) list.back()["interrupted"] = true;
  }
  return list.size() == 1 ? list[0] : list;
}

}  // namespace het::hetctl
