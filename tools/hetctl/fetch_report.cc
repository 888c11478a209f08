#include "tools/hetctl/fetch_report.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "report/wire.h"

namespace het::hetctl {
namespace {

using report::Device;
using report::Report;
using report::Row;

absl::Status Odd(absl::string_view what) {
  return absl::InternalError(
      absl::StrCat("hetd answered a report with an odd ", what, "; is it of another version?"));
}

}  // namespace

absl::StatusOr<Report> ReportFromPages(const std::vector<Json>& pages) {
  Report report;
  std::map<int64_t, uint32_t> index;
  for (const Json& page : pages) {
    const auto devices = page.find("devices");
    const auto rows = page.find("rows");
    if (devices == page.end() || !devices->is_array() || rows == page.end() || !rows->is_array()) {
      return Odd("page");
    }
    if (const auto open = page.find("openHour"); open != page.end() && open->is_number_integer()) {
      report.open_hour = open->get<int64_t>();
    }
    if (page.contains("node")) {
      HET_ASSIGN_OR_RETURN(report.node, JsonString(page, "node"));
      HET_ASSIGN_OR_RETURN(report.own_rows_only, JsonBool(page, "ownRowsOnly"));
    }
    for (const Json& entry : *devices) {
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_number_integer()) {
        return Odd("device");
      }
      HET_ASSIGN_OR_RETURN(Device device, report::DeviceFromJson(entry[1]));
      index[entry[0].get<int64_t>()] = static_cast<uint32_t>(report.devices.size());
      report.devices.push_back(std::move(device));
    }
    for (const Json& entry : *rows) {
      auto read = report::RowFromJson(entry);
      if (!read.ok()) {
        return absl::InternalError(absl::StrCat("hetd answered: ", read.status().message()));
      }
      const auto device = index.find(read->device);
      if (device == index.end()) return Odd("device");
      read->row.device = device->second;
      report.rows.push_back(std::move(read->row));
    }
  }
  // hetd sends the hour that is open last, and a clock that was set back makes it an early one.
  std::stable_sort(report.rows.begin(), report.rows.end(), [](const Row& a, const Row& b) {
    return std::tie(a.hour, a.device) < std::tie(b.hour, b.device);
  });
  return report;
}

absl::StatusOr<Report> FetchReport(protocol::Client& client, int64_t from, int64_t to) {
  HET_ASSIGN_OR_RETURN(const std::vector<Json> pages,
                       client.CallMore("org.het.v1.Report", Json{{"from", from}, {"to", to}}));
  HET_ASSIGN_OR_RETURN(Report report, ReportFromPages(pages));
  report.from = from;
  report.to = to;
  return report;
}

}  // namespace het::hetctl
