// hetctl report: where the hours of the devices went.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/status.h"
#include "report/table.h"
#include "report/timestamp.h"
#include "tools/hetctl/connect.h"
#include "tools/hetctl/fetch_report.h"
#include "tools/hetctl/report_file.h"

namespace het::hetctl {
namespace {

struct ReportOptions {
  std::string from = "-24h", to = "now", format = "native", encoding = "table", file;
};

// Hours of devices: by device and, for what is held, by tenant.
struct Line {
  double hours[report::kStates] = {};
  int64_t denied = 0;
};

Json LineToJson(const std::string& what, const std::string& name, const Line& line) {
  Json json = {{"of", what}, {"name", name}, {"refused", line.denied}};
  for (report::State state : report::kAllStates) {
    json[std::string(report::StateName(state))] = line.hours[static_cast<int>(state)];
  }
  return json;
}

// What a person wants to see first: device-hours by state.
std::vector<Json> Summary(const report::Report& report) {
  std::map<uint32_t, Line> devices;
  std::map<std::string, Line> tenants;
  for (const report::Row& row : report.rows) {
    const double hours = static_cast<double>(row.compute_share) / report::kWhole *
                         static_cast<double>(row.covered_ms) / report::kHourMs;
    devices[row.device].hours[static_cast<int>(row.state)] += hours;
    devices[row.device].denied += std::max<int64_t>(0, row.denied_requests);
    const bool held = row.state == report::State::kUsed || row.state == report::State::kHeldIdle;
    if (held) tenants[row.tenant].hours[static_cast<int>(row.state)] += hours;
  }
  std::vector<Json> items;
  for (const auto& [index, line] : devices) {
    const report::Device& device = report.devices[index];
    const bool say = device.simulated && !absl::StrContains(device.name, "simulated");
    items.push_back(LineToJson(
        "device", absl::StrCat(device.id.substr(0, 8), " ", device.name, say ? " (simulated)" : ""),
        line));
  }
  for (const auto& [tenant, line] : tenants) {
    items.push_back(LineToJson("tenant", tenant.empty() ? "(no name)" : tenant, line));
  }
  return items;
}

// Hours, or less where it is less.
std::string TimeText(double hours) {
  if (hours <= 0) return "-";
  if (hours >= 1) return absl::StrFormat("%.1f h", hours);
  return hours >= 1.0 / 60 ? absl::StrFormat("%.1f min", hours * 60)
                           : absl::StrFormat("%.1f s", hours * 3600);
}

std::vector<Column> SummaryColumns() {
  std::vector<Column> columns = {
      {"OF", [](const Json& item) { return item["of"].get<std::string>(); }},
      {"NAME", [](const Json& item) { return item["name"].get<std::string>(); }}};
  for (report::State state : report::kAllStates) {
    const std::string name(report::StateName(state));
    columns.push_back({absl::AsciiStrToUpper(name),
                       [name](const Json& item) { return TimeText(item[name].get<double>()); },
                       false, true});
  }
  columns.push_back(
      {"REFUSED", [](const Json& item) { return PrintJson(item["refused"]); }, false, true});
  return columns;
}

absl::StatusOr<report::Report> Fetch(const Globals& globals, const ReportOptions& options) {
  const int64_t now = Clock::Real().WallNanos() / 1'000'000'000;
  HET_ASSIGN_OR_RETURN(const int64_t from, report::ParseTime(options.from, now));
  HET_ASSIGN_OR_RETURN(int64_t to, report::ParseTime(options.to, now));
  if (from >= to) {
    return absl::InvalidArgumentError(absl::StrCat("--from ", report::FormatTime(from),
                                                   " is not before --to ", report::FormatTime(to)));
  }
  // Whole hours: the one in which --to lies is in.
  if (report::HourOf(to) != to) to = report::HourOf(to) + report::kHourSeconds;
  HET_ASSIGN_OR_RETURN(const std::unique_ptr<protocol::Client> client, Connect(globals));
  HET_ASSIGN_OR_RETURN(report::Report report, FetchReport(*client, report::HourOf(from), to));
  report.generator = absl::StrCat("hetctl ", HET_VERSION);
  return report;
}

int Deliver(const report::Report& report, const ReportOptions& options) {
  const auto file = MakeReportFile(report, options.format, options.encoding);
  if (!file.ok()) return Fail(file.status());
  if (options.file.empty()) {
    if (std::fwrite(file->content.data(), 1, file->content.size(), stdout) !=
            file->content.size() ||
        std::fflush(stdout) != 0) {
      return Fail(ErrnoStatus(errno, "cannot write the report"));
    }
    return kExitOk;
  }
  if (const absl::Status written = WriteReportFile(*file, options.file); !written.ok()) {
    return Fail(written);
  }
  std::fprintf(stderr, "%zu rows in %s, described by %s.json\n", file->rows, options.file.c_str(),
               options.file.c_str());
  return kExitOk;
}

int ReportCommand(const Globals& globals, const ReportOptions& options) {
  const auto report = Fetch(globals, options);
  if (!report.ok()) {
    Fail(report.status());
    return absl::IsInvalidArgument(report.status()) ? static_cast<int>(kExitUsage)
                                                    : ExitCodeFor(report.status());
  }
  if (report->open_hour != report::kUnknown) {
    std::fprintf(stderr, "the hour from %s is not over: its rows will change\n",
                 report::FormatTime(report->open_hour).c_str());
  }
  if (options.encoding != "table") return Deliver(*report, options);
  const std::vector<Json> items = Summary(*report);
  if (items.empty()) {
    std::fprintf(stderr, "nothing was sampled from %s to %s\n",
                 report::FormatTime(report->from).c_str(), report::FormatTime(report->to).c_str());
    return kExitOk;
  }
  PrintList(SummaryColumns(), items, Format::kTable, globals.headers);
  std::fprintf(stderr, "compute, as time of whole devices; -o csv, jsonl or html has everything\n");
  return kExitOk;
}

}  // namespace

void RegisterReport(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* report =
      app.add_subcommand("report", "Say where the hours of the devices went, and for whom.");
  report->add_option(
      "--from", options->from,
      "2026-11-25, 2026-11-25T15:00 (UTC), @UNIXSECONDS, -24h, -30d (default: -24h)");
  report->add_option("--to", options->to, "the same, or now (default: now)");
  report->add_option("--format", options->format, "the columns: native or focus-1.3")
      ->check(CLI::IsMember({"native", "focus-1.3"}));
  report->add_option("-o,--output", options->encoding, "table, csv, jsonl or html")
      ->check(CLI::IsMember({"table", "csv", "jsonl", "html"}));
  report->add_option("--file", options->file,
                     "write to this file, and what is in it to FILE.json (default: stdout)");
  report->callback([&globals, options] {
    if (options->encoding == "html" && options->format != "native") {
      throw CLI::ValidationError("--format", "is for csv and jsonl; the page has none");
    }
    if (options->encoding == "table" && !options->file.empty()) {
      throw CLI::ValidationError("--file", "needs -o csv, jsonl or html");
    }
    globals.run = [&globals, options] { return ReportCommand(globals, *options); };
  });
}

}  // namespace het::hetctl
