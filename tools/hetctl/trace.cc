#include "tools/hetctl/trace.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/json.h"
#include "base/status.h"
#include "tools/hetctl/command.h"

namespace het::hetctl {
namespace {

struct Record {
  uint64_t pid = 0, pipeline = 0, stage = 0, item = 0, begin_ns = 0, end_ns = 0;
  std::string name, device;
  bool transfer = false, failed = false, virtual_time = false;
};

absl::StatusOr<Record> RecordOf(absl::string_view line) {
  Record record;
  HET_ASSIGN_OR_RETURN(const Json json, ParseJson(line, 4));
  if (!json.is_object()) return absl::InvalidArgumentError("it is no object");
  const std::pair<const char*, uint64_t*> numbers[] = {
      {"pid", &record.pid},   {"pipeline", &record.pipeline}, {"stage", &record.stage},
      {"item", &record.item}, {"beginNs", &record.begin_ns},  {"endNs", &record.end_ns}};
  for (const auto& [field, number] : numbers) {
    if (!json.contains(field)) return absl::InvalidArgumentError(absl::StrCat("no ", field));
    HET_ASSIGN_OR_RETURN(*number, JsonUint(json, field));
  }
  HET_ASSIGN_OR_RETURN(record.name, JsonString(json, "name"));
  HET_ASSIGN_OR_RETURN(record.device, JsonString(json, "device"));
  HET_ASSIGN_OR_RETURN(const std::string kind, JsonString(json, "kind"));
  record.transfer = kind == "transfer";
  HET_ASSIGN_OR_RETURN(record.failed, JsonBool(json, "failed"));
  HET_ASSIGN_OR_RETURN(record.virtual_time, JsonBool(json, "virtualTime"));
  if (record.end_ns < record.begin_ns)
    return absl::InvalidArgumentError("it ends before it begins");
  return record;
}

Json Named(const char* what, uint64_t pid, uint64_t row, const std::string& name) {
  return {{"ph", "M"}, {"name", what}, {"pid", pid}, {"tid", row}, {"args", {{"name", name}}}};
}

}  // namespace

absl::StatusOr<std::string> TimelineOf(absl::string_view records) {
  std::vector<Record> all;
  for (int number = 1; !records.empty(); ++number) {
    const size_t end = records.find('\n');
    if (end == absl::string_view::npos) break;
    auto record = RecordOf(records.substr(0, end));
    if (!record.ok()) {
      return Annotate(record.status(), absl::StrCat("line ", number, " is no record of a trace"));
    }
    all.push_back(*std::move(record));
    records.remove_prefix(end + 1);
  }
  uint64_t first_ns = UINT64_MAX;
  for (const Record& record : all) first_ns = std::min(first_ns, record.begin_ns);
  // Rows in the order of pipelines and stages; transfers above what they lead to.
  std::map<std::tuple<uint64_t, uint64_t, uint64_t, bool>, uint64_t> rows;
  for (const Record& record : all) {
    rows[{record.pid, record.pipeline, record.stage, !record.transfer}] = 0;
  }
  uint64_t next = 1;
  for (auto& [key, row] : rows) row = next++;
  Json events = Json::array();
  std::map<uint64_t, bool> told_process;
  std::map<uint64_t, bool> told_row;
  for (const Record& record : all) {
    const uint64_t row = rows[{record.pid, record.pipeline, record.stage, !record.transfer}];
    if (!std::exchange(told_process[record.pid], true)) {
      events.push_back(Named("process_name", record.pid, 0,
                             absl::StrCat("pipelines of process ", record.pid,
                                          record.virtual_time ? " (simulated time)" : "")));
    }
    if (!std::exchange(told_row[row], true)) {
      events.push_back(Named("thread_name", record.pid, row,
                             absl::StrCat("pipeline ", record.pipeline, " ", record.name, " on ",
                                          record.device, record.transfer ? ": transfer" : "")));
      events.push_back({{"ph", "M"},
                        {"name", "thread_sort_index"},
                        {"pid", record.pid},
                        {"tid", row},
                        {"args", {{"sort_index", row}}}});
    }
    Json event = {{"ph", "X"},
                  {"name", absl::StrCat("item ", record.item)},
                  {"cat", record.transfer ? "transfer" : "compute"},
                  {"pid", record.pid},
                  {"tid", row},
                  {"ts", static_cast<double>(record.begin_ns - first_ns) / 1000},
                  {"dur", static_cast<double>(record.end_ns - record.begin_ns) / 1000},
                  {"args", {{"item", record.item}, {"stage", record.stage}}}};
    if (record.failed) event["cname"] = "terrible";
    events.push_back(std::move(event));
  }
  return PrintJson({{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}}) + "\n";
}

void RegisterTrace(CLI::App& app, Globals& globals) {
  struct TraceOptions {
    std::string records, file;
  };
  auto options = std::make_shared<TraceOptions>();
  CLI::App* trace = app.add_subcommand(
      "trace", "Make a timeline for ui.perfetto.dev of what a program wrote to $HET_TRACE.");
  trace->add_option("RECORDS", options->records, "the file that HET_TRACE named")->required();
  trace->add_option("--file", options->file, "write to this file (default: stdout)");
  trace->callback([&globals, options] {
    globals.run = [options]() -> int {
      const auto records = ReadFile(options->records);
      if (!records.ok()) return Fail(records.status());
      const auto timeline = TimelineOf(*records);
      if (!timeline.ok()) return Fail(timeline.status());
      if (options->file.empty()) {
        std::fputs(timeline->c_str(), stdout);
        return kExitOk;
      }
      const absl::Status written = WriteFileAtomically(options->file, *timeline);
      return written.ok() ? static_cast<int>(kExitOk) : Fail(written);
    };
  });
}

}  // namespace het::hetctl
