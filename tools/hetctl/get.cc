// hetctl get and describe: devices, slices and leases as lists, and one of them in full.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/units.h"
#include "tools/hetctl/connect.h"
#include "tools/hetctl/topology.h"

namespace het::hetctl {
namespace {

// What a kind of object is called, its rows as JSON, and its columns.
struct Kind {
  std::vector<std::string> names;  // the first is canonical
  absl::StatusOr<std::vector<Json>> (*fetch)(protocol::Client& client);
  std::vector<Column> columns;
};

template <typename Row>
std::vector<Json> AllToJson(const std::vector<Row>& rows) {
  std::vector<Json> items;
  items.reserve(rows.size());
  for (const Row& row : rows) items.push_back(ToJson(row));
  return items;
}

absl::StatusOr<std::vector<Json>> FetchDevices(protocol::Client& client) {
  HET_ASSIGN_OR_RETURN(const auto rows, client.ListDevices());
  return AllToJson(rows);
}

absl::StatusOr<std::vector<Json>> FetchTelemetry(protocol::Client& client) {
  HET_ASSIGN_OR_RETURN(const std::vector<Json> pages,
                       client.CallMore("org.het.v1.ListTelemetry", Json::object()));
  std::vector<Json> items;
  for (const Json& page : pages) {
    for (const Json& row : page.value("telemetry", Json::array())) items.push_back(row);
  }
  return items;
}

absl::StatusOr<std::vector<Json>> FetchSlices(protocol::Client& client) {
  HET_ASSIGN_OR_RETURN(const auto rows, client.ListSlices());
  return AllToJson(rows);
}

absl::StatusOr<std::vector<Json>> FetchLeases(protocol::Client& client) {
  HET_ASSIGN_OR_RETURN(const auto leases, client.ListLeases());
  std::vector<Json> items;
  for (const Lease& lease : leases) items.push_back(ToJson(lease, Clock::Real().BoottimeNanos()));
  return items;
}

std::string Text(const Json& item, const char* field) {
  const auto it = item.find(field);
  if (it == item.end() || it->is_null()) return "";
  return it->is_string() ? it->get<std::string>() : PrintJson(*it);
}

Column TextColumn(const char* heading, const char* field, bool wide = false) {
  return {heading, [field](const Json& item) { return Text(item, field); }, wide};
}

Column BytesColumn(const char* heading, const char* field) {
  return {heading,
          [field](const Json& item) {
            const auto it = item.find(field);
            return it != item.end() && it->is_number() ? FormatBytes(it->get<uint64_t>()) : "";
          },
          false, true};
}

Column NumberColumn(const char* heading, const char* field, bool wide = false) {
  return {heading,
          [field](const Json& item) {
            const auto it = item.find(field);
            return it != item.end() && it->is_number() ? absl::StrFormat("%.4g", it->get<double>())
                                                       : "";
          },
          wide, true};
}

Column PercentColumn(const char* heading, std::string pointer) {
  return {heading,
          [pointer = std::move(pointer)](const Json& item) {
            const Json::json_pointer where(pointer);
            return item.contains(where) && item.at(where).is_number()
                       ? absl::StrFormat("%g%%", item.at(where).get<double>())
                       : "";
          },
          false, true};
}

std::string Expiry(const Json& item) {
  const auto it = item.find("expiresInSeconds");
  if (it == item.end() || !it->is_number())
    return Text(item, "holder") == "process" ? "with its process" : "never";
  return absl::StrFormat("%.0fs", it->get<double>());
}

std::string Name(const Json& item) {
  const std::string name = Text(item, "name");
  const bool simulated = item.value("simulated", false);
  return simulated && !absl::StrContains(absl::AsciiStrToLower(name), "simulated")
             ? absl::StrCat(name, " (simulated)")
             : name;
}

const std::vector<Kind>& Kinds() {
  static const auto* const kinds = new std::vector<Kind>{
      {{"devices", "device", "dev"},
       FetchDevices,
       {TextColumn("ID", "id"),
        TextColumn("VENDOR", "vendor"),
        {"NAME", Name},
        TextColumn("BACKEND", "backend"),
        TextColumn("STATE", "state"),
        BytesColumn("MEMORY", "memoryBytes"),
        {"UNITS", [](const Json& item) { return Text(item, "computeUnits"); }, false, true},
        PercentColumn("FREE", "/freeSharePercent"),
        {"SAME SILICON AS",
         [](const Json& item) {
           std::vector<std::string> ids =
               item.value("sharesHardwareWith", std::vector<std::string>{});
           std::string text;
           for (const std::string& id : ids)
             absl::StrAppend(&text, text.empty() ? "" : ",", id.substr(0, 8));
           return text;
         }},
        TextColumn("DRIVER", "driverVersion", true),
        TextColumn("REASON", "reason", true),
        TextColumn("REMEDY", "remedy", true)}},
      {{"telemetry"},
       FetchTelemetry,
       {TextColumn("ID", "id"), TextColumn("NAME", "name"),
        BytesColumn("MEMORY USED", "memoryUsedBytes"), BytesColumn("OF", "memoryTotalBytes"),
        NumberColumn("BUSY %", "utilizationPercent"), NumberColumn("POWER W", "powerWatts"),
        NumberColumn("TEMP C", "temperatureCelsius"), NumberColumn("CLOCK MHZ", "coreClockMhz"),
        NumberColumn("ERRORS", "uncorrectedErrors"), TextColumn("THROTTLED BY", "throttleReasons"),
        TextColumn("FAULT", "fault"), NumberColumn("LIMIT W", "powerLimitWatts", true),
        NumberColumn("MEMORY MHZ", "memoryClockMhz", true),
        NumberColumn("CORRECTED", "correctedErrors", true)}},
      {{"slices", "slice"},
       FetchSlices,
       {TextColumn("ID", "id"), TextColumn("NAME", "name"), TextColumn("DEVICE", "device"),
        PercentColumn("SHARE", "/sharePercent"), BytesColumn("MEMORY", "memoryBytes"),
        TextColumn("POLICY", "policy"), TextColumn("ISOLATION", "isolation"),
        TextColumn("STATE", "state"), TextColumn("LEASE", "lease"), TextColumn("TENANT", "tenant"),
        TextColumn("CORES", "cores", true), TextColumn("COMPUTE UNITS", "computeUnits", true)}},
      {{"leases", "lease"},
       FetchLeases,
       {TextColumn("ID", "id"),
        TextColumn("DEVICE", "device"),
        PercentColumn("SHARE", "/sharePercent"),
        BytesColumn("MEMORY", "memoryBytes"),
        TextColumn("STATE", "state"),
        TextColumn("TENANT", "tenant"),
        {"PID",
         [](const Json& item) {
           return Text(item, "holder") == "process" ? Text(item, "pid") : "";
         },
         false, true},
        {"EXPIRES", Expiry},
        TextColumn("ISOLATION", "isolation", true),
        TextColumn("GENERATION", "generation", true)}}};
  return *kinds;
}

absl::StatusOr<const Kind*> FindKind(const std::string& name) {
  for (const Kind& kind : Kinds()) {
    for (const std::string& known : kind.names) {
      if (name == known) return &kind;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "no kind \"", name, "\"; there are devices, telemetry, slices, leases and topology"));
}

int UsageError(const absl::Status& status) {
  Fail(status);
  return kExitUsage;
}

int Get(const Globals& globals, const std::string& kind_name) {
  const auto kind = FindKind(kind_name);
  if (!kind.ok()) return UsageError(kind.status());
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  const auto items = (*kind)->fetch(**client);
  if (!items.ok()) return Fail(items.status());
  PrintList((*kind)->columns, *items, globals.format, globals.headers);
  return kExitOk;
}

// The items whose id begins with `prefix` (a whole id is its own prefix).
std::vector<Json> Matching(const std::vector<Json>& items, const std::string& prefix) {
  std::vector<Json> found;
  for (const Json& item : items) {
    if (absl::StartsWith(Text(item, "id"), prefix)) found.push_back(item);
  }
  return found;
}

int Describe(const Globals& globals, const std::string& kind_name, const std::string& id) {
  const auto kind = FindKind(kind_name);
  if (!kind.ok()) return UsageError(kind.status());
  auto client = Connect(globals);
  if (!client.ok()) return Fail(client.status());
  const auto items = (*kind)->fetch(**client);
  if (!items.ok()) return Fail(items.status());
  const std::vector<Json> found = id.empty() ? std::vector<Json>{} : Matching(*items, id);
  if (found.size() != 1) {
    std::string there;
    for (const Json& item : found.empty() ? *items : found)
      absl::StrAppend(&there, "\n  ", Text(item, "id"));
    const std::string& canonical = (*kind)->names[0];
    return Fail(
        absl::NotFoundError(absl::StrCat(found.empty() ? "no " : "more than one of the ", canonical,
                                         found.empty() ? " begin with \"" : " begins with \"", id,
                                         "\"; there are", there.empty() ? " none" : there)));
  }
  PrintObject(found.front(), globals.format);
  return kExitOk;
}

}  // namespace

void RegisterGet(CLI::App& app, Globals& globals) {
  auto kind = std::make_shared<std::string>();
  auto id = std::make_shared<std::string>();
  auto xml = std::make_shared<std::string>();
  auto unmeasured = std::make_shared<bool>(false);
  CLI::App* get =
      app.add_subcommand("get", "List devices, telemetry, slices or leases; draw the topology.");
  get->add_option("KIND", *kind, "devices, telemetry, slices, leases or topology")->required();
  get->add_option("--xml", *xml, "topology: of another machine, from hwloc's XML file")
      ->check(CLI::ExistingFile);
  get->add_flag("--no-measure", *unmeasured, "topology: without measuring links");
  get->callback([&globals, kind, xml, unmeasured] {
    globals.run = [&globals, kind, xml, unmeasured] {
      return *kind == "topology" ? GetTopology(globals, *xml, !*unmeasured) : Get(globals, *kind);
    };
  });

  CLI::App* describe = app.add_subcommand("describe", "Show one device, slice or lease in full.");
  describe->add_option("KIND", *kind, "device, slice or lease")->required();
  describe->add_option("ID", *id, "its id, or an unambiguous beginning of it")->required();
  describe->callback([&globals, kind, id] {
    globals.run = [&globals, kind, id] { return Describe(globals, *kind, *id); };
  });
}

}  // namespace het::hetctl
