// The page of hetctl simulate: plots of what was allocated, stranded and waited for, policies side
// by side.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/hetctl/simulate.h"
#include "tools/hetctl/svg_plot.h"

namespace het::hetctl {
namespace {

using fleet::Sample;
using fleet::SimulatorResult;

constexpr double kHour = 3600;

constexpr char kStyle[] =
    "body{font:15px/1.5 system-ui,sans-serif;margin:24px auto;max-width:1360px;padding:0 16px;"
    "color:#1a1a1a;background:#fff}"
    "h1{font-size:22px;margin:0 0 4px}p{margin:0 0 16px;color:#555}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(480px,660px));gap:20px}"
    "svg{width:100%;height:auto;border:1px solid #ddd;border-radius:4px}"
    "svg text{font:12px system-ui,sans-serif;fill:#333}svg .title{font-size:14px;font-weight:600}"
    "svg .grid{stroke:#e4e4e4}"
    "table{border-collapse:collapse;margin:0 0 24px}th,td{padding:4px 12px;text-align:right;"
    "border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}";

std::string NameOf(const Scenario& scenario, bool many_loads) {
  return many_loads ? absl::StrFormat("%s, load %g", scenario.policy, scenario.load)
                    : scenario.policy;
}

void AddRow(std::string& html, const char* cell, const std::vector<std::string>& cells) {
  absl::StrAppend(&html, "<tr>");
  for (const std::string& text : cells)
    absl::StrAppend(&html, "<", cell, ">", EscapeHtml(text), "</", cell, ">");
  absl::StrAppend(&html, "</tr>\n");
}

std::string Cell(const Estimate& estimate, double scale, const char* unit) {
  const std::string spread =
      estimate.plus_minus > 0 ? absl::StrFormat(" ± %.2f", scale * estimate.plus_minus) : "";
  return absl::StrFormat("%.2f%s%s", scale * estimate.mean, spread, unit);
}

// One line per scenario, from its first seed.
template <typename Value>
std::string OverTime(const PlotFrame& frame, const std::vector<Scenario>& scenarios,
                     bool many_loads, Value value) {
  std::vector<PlotLine> lines;
  for (const Scenario& scenario : scenarios) {
    if (scenario.timed.empty()) continue;
    PlotLine line{NameOf(scenario, many_loads), {}, scenarios.size() == 1};
    for (const Sample& sample : scenario.timed.front().series)
      line.points.emplace_back(sample.time_s / kHour, value(sample));
    lines.push_back(std::move(line));
  }
  return LinePlot(frame, lines);
}

std::string TimedBody(const std::vector<Scenario>& scenarios) {
  bool many_loads = false;
  for (const Scenario& s : scenarios) many_loads |= s.load != scenarios.front().load;
  const auto utilisation = [](const SimulatorResult& r) { return r.Utilisation(); };
  const auto stranded = [](const SimulatorResult& r) {
    return r.capacity_device_hours > 0 ? r.stranded_device_hours / r.capacity_device_hours : 0;
  };
  const auto wait = [](const SimulatorResult& r) { return r.all.wait.mean_s / kHour; };
  std::string html = "<table>\n";
  AddRow(html, "th",
         {"", "allocated", "stranded", "wait, mean", "wait, P99", "waiting at the end", "displaced",
          "failed", "impossible"});
  std::vector<PlotBar> used, lost, waits;
  for (const Scenario& s : scenarios) {
    const std::string name = NameOf(s, many_loads);
    const auto count = [&s](int64_t fleet::ClassSummary::*field) {
      return absl::StrFormat("%.0f", EstimateOf(s, [field](const SimulatorResult& r) {
                                       return static_cast<double>(r.all.*field);
                                     }).mean);
    };
    AddRow(html, "td",
           {name, Cell(EstimateOf(s, utilisation), 100, " %"),
            Cell(EstimateOf(s, stranded), 100, " %"), Cell(EstimateOf(s, wait), 1, " h"),
            Cell(EstimateOf(s, [](const SimulatorResult& r) { return r.all.wait.p99_s / kHour; }),
                 1, " h"),
            count(&fleet::ClassSummary::waiting), count(&fleet::ClassSummary::displaced),
            count(&fleet::ClassSummary::failed), count(&fleet::ClassSummary::impossible)});
    const Estimate u = EstimateOf(s, utilisation), f = EstimateOf(s, stranded),
                   w = EstimateOf(s, wait);
    used.push_back({name, 100 * u.mean, 100 * u.plus_minus});
    lost.push_back({name, 100 * f.mean, 100 * f.plus_minus});
    waits.push_back({name, w.mean, w.plus_minus});
  }
  absl::StrAppend(&html, "</table>\n<div class=\"plots\">\n");
  const auto share = [](double milli, const Sample& s) {
    return s.capacity_milli > 0 ? 100 * milli / static_cast<double>(s.capacity_milli) : 0;
  };
  absl::StrAppend(
      &html,
      OverTime({"Devices allocated", "hours", "% of capacity"}, scenarios, many_loads,
               [&](const Sample& s) { return share(static_cast<double>(s.allocated_milli), s); }),
      OverTime({"Free, but of no use to the next job", "hours", "% of capacity"}, scenarios,
               many_loads, [&](const Sample& s) { return share(s.stranded_milli, s); }),
      OverTime({"Jobs waiting", "hours", "jobs"}, scenarios, many_loads,
               [](const Sample& s) { return static_cast<double>(s.waiting); }),
      OverTime({"Jobs running", "hours", "jobs"}, scenarios, many_loads,
               [](const Sample& s) { return static_cast<double>(s.running); }));
  absl::StrAppend(&html, BarPlot({"Allocated over the whole time", "", "% of capacity"}, used),
                  BarPlot({"Stranded over the whole time", "", "% of capacity"}, lost),
                  BarPlot({"Wait until the first start, mean", "", "hours"}, waits));
  return html + "</div>\n";
}

std::string OverloadBody(const std::vector<Scenario>& scenarios) {
  std::string html =
      "<p>Overload: more jobs than fit, none leaves; what is left of the devices in the end is "
      "stranded.</p>\n<table>\n";
  AddRow(html, "th", {"", "unallocated", "in parts", "in whole devices", "jobs placed"});
  std::vector<PlotBar> bars;
  for (const Scenario& s : scenarios) {
    const auto estimate = [&s](auto value) {
      std::vector<double> values;
      for (const fleet::OverloadResult& r : s.overload) values.push_back(value(r));
      return EstimateOf(values);
    };
    const auto of_capacity = [](int64_t fleet::OverloadResult::*field) {
      return [field](const fleet::OverloadResult& r) {
        return static_cast<double>(r.*field) / static_cast<double>(r.capacity_milli);
      };
    };
    const Estimate share = estimate(of_capacity(&fleet::OverloadResult::unallocated_milli));
    AddRow(html, "td",
           {s.policy, Cell(share, 100, " %"),
            Cell(estimate(of_capacity(&fleet::OverloadResult::in_parts_milli)), 100, " %"),
            Cell(estimate(of_capacity(&fleet::OverloadResult::in_wholes_milli)), 100, " %"),
            Cell(estimate(
                     [](const fleet::OverloadResult& r) { return static_cast<double>(r.placed); }),
                 1, "")});
    bars.push_back({s.policy, 100 * share.mean, 100 * share.plus_minus});
  }
  return absl::StrCat(
      html, "</table>\n<div class=\"plots\">\n",
      BarPlot({"Devices left unallocated, mean over seeds", "", "% of capacity"}, bars),
      "</div>\n");
}

}  // namespace

std::string ScenariosToHtml(const SimulateSubject& subject,
                            const std::vector<Scenario>& scenarios) {
  const bool overload = !scenarios.empty() && !scenarios.front().overload.empty();
  const size_t seeds = scenarios.empty() ? 0 : scenarios.front().seeds.size();
  return absl::StrCat(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\"><title>het simulate</title>\n<style>",
      kStyle, "</style></head><body>\n<h1>Simulated fleet</h1>\n<p>", EscapeHtml(subject.text),
      "; ", seeds, seeds == 1 ? " seed" : " seeds, ± is the 95 % confidence interval",
      simulate_interrupted != 0 ? "; interrupted" : "",
      ". Nothing here was measured on devices.</p>\n",
      overload ? OverloadBody(scenarios) : TimedBody(scenarios), "</body></html>\n");
}

}  // namespace het::hetctl
