// hetctl watch: what changes, as it does: a line when a device, slice or lease appears, changes or
// goes.
#include <chrono>
#include <cstdio>
#include <ctime>
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
#include "report/timestamp.h"
#include "tools/hetctl/connect.h"

namespace het::hetctl {
namespace {

struct WatchOptions {
  std::string kind = "leases";
  double interval_s = 0.5;
  int64_t count = 0;  // 0: until interrupted
};

using Items = std::map<std::string, Json>;  // by id

std::string TextOf(const Json& item, const char* field) {
  const auto found = item.find(field);
  if (found == item.end() || found->is_null()) return "";
  return found->is_string() ? found->get<std::string>() : PrintJson(*found);
}

// What counts as a change: not the passing of time, nor what is used.
absl::StatusOr<Items> Fetch(protocol::Client& client, const std::string& kind) {
  Items items;
  if (kind == "devices") {
    HET_ASSIGN_OR_RETURN(const auto rows, client.ListDevices());
    for (const auto& row : rows) items[row.info.uuid] = ToJson(row);
  } else if (kind == "slices") {
    HET_ASSIGN_OR_RETURN(const auto rows, client.ListSlices());
    for (const auto& row : rows) {
      Json item = ToJson(row);
      item.erase("usage");
      items[row.slice.id] = std::move(item);
    }
  } else {
    HET_ASSIGN_OR_RETURN(const auto leases, client.ListLeases());
    for (const Lease& lease : leases) {
      Json item = ToJson(lease, 0);
      item.erase("expiresInSeconds");
      items[lease.id] = std::move(item);
    }
  }
  return items;
}

class Printer {
 public:
  Printer(const Globals& globals, const WatchOptions& options)
      : globals_(globals), options_(options) {}

  // False: as many as were asked for have been printed.
  bool Print(const char* event, const std::string& id, const Json& item) {
    const std::string now = report::FormatTime(Clock::Real().WallNanos() / 1'000'000'000);
    if (globals_.format == Format::kJson || globals_.format == Format::kJsonLines) {
      std::printf("%s\n", PrintJson({{"time", now}, {"event", event}, {"item", item}}).c_str());
    } else if (globals_.format == Format::kName) {
      std::printf("%s\n", id.c_str());
    } else {
      std::printf("%s  %-8s %s  %s\n", now.c_str(), event, id.c_str(), Describe(item).c_str());
    }
    std::fflush(stdout);
    return ++printed_ != options_.count;
  }

 private:
  std::string Describe(const Json& item) const {
    std::string text = TextOf(item, "state");
    if (options_.kind == "devices") {
      return absl::StrCat(text, ", ", TextOf(item, "name"), ", free ",
                          TextOf(item, "freeSharePercent"), "% and ",
                          FormatBytes(item.value("freeMemoryBytes", uint64_t{0})));
    }
    return absl::StrCat(text, ", ", TextOf(item, "tenant"), ", ", TextOf(item, "sharePercent"),
                        "% and ", FormatBytes(item.value("memoryBytes", uint64_t{0})), " of ",
                        TextOf(item, "device").substr(0, 8));
  }

  const Globals& globals_;
  const WatchOptions& options_;
  int64_t printed_ = 0;
};

int Watch(const Globals& globals, const WatchOptions& options) {
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  Printer printer(globals, options);
  Items before;
  while (true) {
    const auto now = Fetch(**client, options.kind);
    if (!now.ok()) return Fail(now.status());
    for (const auto& [id, item] : *now) {
      const auto old = before.find(id);
      if (old != before.end() && old->second == item) continue;
      if (!printer.Print(old == before.end() ? "there" : "changed", id, item)) return kExitOk;
    }
    for (const auto& [id, item] : before) {
      if (!now->contains(id) && !printer.Print("gone", id, item)) return kExitOk;
    }
    before = *now;
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_s));
  }
}

}  // namespace

void RegisterWatch(CLI::App& app, Globals& globals) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* watch = app.add_subcommand(
      "watch", "Print a line when a device, slice or lease appears, changes or goes.");
  watch->add_option("KIND", options->kind, "devices, slices or leases (default: leases)")
      ->check(CLI::IsMember({"devices", "slices", "leases"}));
  watch->add_option("--interval", options->interval_s, "seconds between two looks")
      ->check(CLI::Range(0.05, 3600.0));
  watch->add_option("-n,--count", options->count, "end after so many lines (default: never)")
      ->check(CLI::NonNegativeNumber);
  watch->callback([&globals, options] {
    globals.run = [&globals, options] { return Watch(globals, *options); };
  });
}

}  // namespace het::hetctl
