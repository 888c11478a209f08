// hetctl top: what every slice asked for and what it had, live.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/units.h"
#include "tools/hetctl/connect.h"

namespace het::hetctl {
namespace {

struct TopOptions {
  double interval_s = 1;
  int count = 0;  // 0: until interrupted
};

using Rows = std::vector<protocol::SliceRow>;

struct Sample {
  int64_t at_ns = 0;
  Rows slices;
};

absl::StatusOr<Sample> Take(protocol::Client& client) {
  Sample sample;
  HET_ASSIGN_OR_RETURN(sample.slices, client.ListSlices());
  sample.at_ns = Clock::Real().MonotonicNanos();
  return sample;
}

const protocol::SliceRow* FindRow(const Rows& rows, const std::string& id) {
  const auto it =
      std::find_if(rows.begin(), rows.end(), [&](const auto& row) { return row.slice.id == id; });
  return it == rows.end() ? nullptr : &*it;
}

uint64_t Grown(uint64_t before, uint64_t now) { return now > before ? now - before : 0; }

// The reason that cost the most time between two samples.
std::pair<std::string, uint64_t> Throttled(const protocol::SliceUsage& before,
                                           const protocol::SliceUsage& now) {
  std::pair<std::string, uint64_t> most;
  for (const auto& [reason, ns] : now.throttled_ns) {
    uint64_t had = 0;
    for (const auto& [other, other_ns] : before.throttled_ns) {
      if (other == reason) had = other_ns;
    }
    if (Grown(had, ns) > most.second) most = {reason, Grown(had, ns)};
  }
  return most;
}

// One object per slice: shares of the time between two samples. `hadPercent` is of the device time
// that its slices used together, `wallPercent` of the time that passed; both are missing for slices
// that have their part alone, which nobody times.
std::vector<Json> Difference(const Sample& before, const Sample& now) {
  std::map<std::string, uint64_t> busy_of_device;
  const auto used = [&](const protocol::SliceRow& row) {
    const protocol::SliceRow* old = FindRow(before.slices, row.slice.id);
    return Grown(old == nullptr ? 0 : old->usage.used_ns, row.usage.used_ns);
  };
  for (const auto& row : now.slices) busy_of_device[row.slice.device] += used(row);
  const double wall_ns = static_cast<double>(std::max<int64_t>(1, now.at_ns - before.at_ns));
  std::vector<Json> items;
  for (const auto& row : now.slices) {
    const protocol::SliceRow* old = FindRow(before.slices, row.slice.id);
    const uint64_t busy = busy_of_device[row.slice.device];
    Json item = {{"device", row.slice.device},
                 {"id", row.slice.id},
                 {"lease", row.lease},
                 {"tenant", row.tenant},
                 {"policy", std::string(PolicyName(row.slice.policy))},
                 {"priority", std::string(PriorityName(row.slice.priority))},
                 {"askedPercent", ShareToJson(row.slice.share)},
                 {"memoryBytes", row.usage.memory_bytes},
                 {"memoryLimitBytes", row.slice.memory_bytes},
                 {"processes", row.usage.processes},
                 {"inFlight", row.usage.in_flight},
                 {"waiting", row.usage.waiting},
                 {"timeShared", row.slice.time_shared}};
    if (row.slice.time_shared && row.usage.processes > 0) {
      const double own = static_cast<double>(used(row));
      item["hadPercent"] = busy == 0 ? 0.0 : 100.0 * own / static_cast<double>(busy);
      item["wallPercent"] = 100.0 * own / wall_ns;
    }
    const auto [reason, ns] =
        Throttled(old == nullptr ? protocol::SliceUsage() : old->usage, row.usage);
    item["throttledPercent"] = 100.0 * static_cast<double>(ns) / wall_ns;
    if (!reason.empty()) item["throttledFor"] = reason;
    items.push_back(std::move(item));
  }
  std::stable_sort(items.begin(), items.end(),
                   [](const Json& a, const Json& b) { return a["device"] < b["device"]; });
  return items;
}

Column Percent(const char* heading, const char* field) {
  return {heading,
          [field](const Json& item) {
            return item.contains(field) ? absl::StrFormat("%.1f%%", item[field].get<double>())
                                        : "-";
          },
          false, true};
}

Column Prefix(const char* heading, const char* field) {
  return {heading,
          [field](const Json& item) { return item[field].get<std::string>().substr(0, 8); }};
}

std::vector<Column> Columns() {
  return {
      Prefix("DEVICE", "device"),
      Prefix("LEASE", "lease"),
      {"TENANT", [](const Json& item) { return item["tenant"].get<std::string>(); }},
      {"POLICY", [](const Json& item) { return item["policy"].get<std::string>(); }},
      {"CLASS", [](const Json& item) { return item["priority"].get<std::string>(); }},
      Percent("ASKED", "askedPercent"),
      Percent("HAD", "hadPercent"),
      Percent("OF WALL", "wallPercent"),
      {"MEMORY",
       [](const Json& item) {
         return absl::StrCat(FormatBytes(item["memoryBytes"].get<uint64_t>()), " / ",
                             FormatBytes(item["memoryLimitBytes"].get<uint64_t>()));
       },
       false, true},
      {"PROCS", [](const Json& item) { return PrintJson(item["processes"]); }, false, true},
      {"QUEUE",
       [](const Json& item) {
         return absl::StrCat(PrintJson(item["inFlight"]), "+", PrintJson(item["waiting"]));
       },
       false, true},
      {"THROTTLED",
       [](const Json& item) {
         const double percent = item["throttledPercent"].get<double>();
         if (percent < 0.05) return std::string("-");
         return absl::StrFormat("%.1f%% %s", percent, item.value("throttledFor", std::string("")));
       },
       false, true},
  };
}

int Top(const Globals& globals, const TopOptions& options) {
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  absl::StatusOr<Sample> before = Take(**client);
  if (!before.ok()) return Fail(before.status());
  const bool live = globals.format == Format::kTable && isatty(STDOUT_FILENO) != 0;
  for (int shown = 0; options.count == 0 || shown < options.count; ++shown) {
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_s));
    absl::StatusOr<Sample> now = Take(**client);
    if (!now.ok()) return Fail(now.status());
    if (live) std::printf("\x1b[H\x1b[2J");
    const std::vector<Json> items = Difference(*before, *now);
    if (globals.format == Format::kTable && items.empty()) {
      std::printf("no slices; hetctl run or hetctl acquire makes one\n");
    } else {
      PrintList(Columns(), items, globals.format, globals.headers);
    }
    if (live) {
      std::printf(
          "\nHAD: of the device time all slices used. QUEUE: in flight + waiting. THROTTLED: of "
          "the "
          "time, and for what.\n");
    }
    std::fflush(stdout);
    before = std::move(now);
  }
  return kExitOk;
}

}  // namespace

void RegisterTop(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* top = app.add_subcommand("top", "Show what every slice asked for and has, live.");
  top->add_option("--interval", options->interval_s, "seconds between two looks")
      ->check(CLI::Range(0.05, 3600.0));
  top->add_option("-n,--count", options->count, "end after so many looks (default: never)")
      ->check(CLI::NonNegativeNumber);
  top->callback([&globals, options] {
    globals.run = [&globals, options] { return Top(globals, *options); };
  });
}

}  // namespace het::hetctl
