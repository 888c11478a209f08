#include "report/page.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "report/page_html.h"
#include "report/timestamp.h"

namespace het::report {
namespace {

constexpr size_t kMostTenants = 7;  // shown one by one; the others are put together
constexpr uint64_t kPerTenThousand = kWhole / 10'000;

// One device in one hour, or one tenant: hours of devices and GiB-hours.
struct TenantHour {
  double used_compute = 0, idle_compute = 0, used_memory = 0, idle_memory = 0;
};

Json TenantsOf(const Report& report, const std::map<int64_t, size_t>& index) {
  std::map<std::string, double> held;
  std::map<std::string, std::vector<TenantHour>> by_tenant;
  for (const Row& row : report.rows) {
    if (row.state != State::kUsed && row.state != State::kHeldIdle) continue;
    const double covered = static_cast<double>(row.covered_ms) / kHourMs;
    const double hours = static_cast<double>(row.compute_share) / kWhole * covered;
    const double gib = static_cast<double>(report.devices[row.device].memory_kib) / (1 << 20);
    const double gib_hours = static_cast<double>(row.memory_share) / kWhole * covered * gib;
    std::vector<TenantHour>& series = by_tenant[row.tenant];
    series.resize(index.size());
    TenantHour& hour = series[index.at(row.hour)];
    const bool used = row.state == State::kUsed;
    (used ? hour.used_compute : hour.idle_compute) += hours;
    (used ? hour.used_memory : hour.idle_memory) += gib_hours;
    held[row.tenant] += hours;
  }
  std::vector<std::pair<double, std::string>> order;
  for (const auto& [tenant, hours] : held) order.emplace_back(-hours, tenant);
  std::sort(order.begin(), order.end());
  std::vector<TenantHour> others;
  Json tenants = Json::array();
  const auto add = [&tenants](const std::string& name, const std::vector<TenantHour>& series) {
    Json compute = Json::array(), memory = Json::array();
    const auto rounded = [](double x) { return static_cast<int64_t>(x * 10'000 + 0.5); };
    for (const TenantHour& hour : series) {
      compute.push_back(rounded(hour.used_compute));
      compute.push_back(rounded(hour.idle_compute));
      memory.push_back(rounded(hour.used_memory));
      memory.push_back(rounded(hour.idle_memory));
    }
    tenants.push_back({{"name", name}, {"compute", compute}, {"memory", memory}});
  };
  for (size_t i = 0; i < order.size(); ++i) {
    const std::vector<TenantHour>& series = by_tenant[order[i].second];
    if (i < kMostTenants || order.size() == kMostTenants + 1) {
      add(order[i].second, series);
      continue;
    }
    others.resize(index.size());
    for (size_t hour = 0; hour < series.size(); ++hour) {
      others[hour].used_compute += series[hour].used_compute;
      others[hour].idle_compute += series[hour].idle_compute;
      others[hour].used_memory += series[hour].used_memory;
      others[hour].idle_memory += series[hour].idle_memory;
    }
  }
  if (!others.empty()) {
    add(absl::StrCat(order.size() - kMostTenants, " other tenants"), others);
  }
  return tenants;
}

}  // namespace

absl::StatusOr<Json> PageData(const Report& report) {
  std::map<int64_t, size_t> index;
  for (const Row& row : report.rows) {
    if (row.device >= report.devices.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a row names device ", row.device, " of ", report.devices.size()));
    }
    index.emplace(row.hour, 0);
  }
  Json hours = Json::array();
  for (auto& [hour, position] : index) {
    position = hours.size();
    hours.push_back(hour);
  }
  // Of each device and hour: covered (1/10000), refused, largest free MiB, then compute and memory
  // of each state.
  constexpr size_t kFields = 3 + 2 * kStates;
  struct Cell {
    uint64_t compute[kStates] = {}, memory[kStates] = {};
    int64_t covered_ms = 0, denied = 0, largest_mib = 0;
    bool there = false;
  };
  std::vector<std::vector<Cell>> cells(report.devices.size(), std::vector<Cell>(index.size()));
  for (const Row& row : report.rows) {
    Cell& cell = cells[row.device][index.at(row.hour)];
    cell.there = true;
    cell.covered_ms = row.covered_ms;
    cell.compute[static_cast<int>(row.state)] += row.compute_share;
    cell.memory[static_cast<int>(row.state)] += row.memory_share;
    if (row.denied_requests > 0) cell.denied += row.denied_requests;
    if (row.largest_free_kib > 0) cell.largest_mib = row.largest_free_kib / 1024;
  }
  Json devices = Json::array();
  for (size_t i = 0; i < report.devices.size(); ++i) {
    const Device& device = report.devices[i];
    Json numbers = Json::array();
    for (const Cell& cell : cells[i]) {
      if (!cell.there) {
        for (size_t field = 0; field < kFields; ++field) numbers.push_back(0);
        continue;
      }
      numbers.push_back(cell.covered_ms * 10'000 / kHourMs);
      numbers.push_back(cell.denied);
      numbers.push_back(cell.largest_mib);
      for (uint64_t share : cell.compute) {
        numbers.push_back((share + kPerTenThousand / 2) / kPerTenThousand);
      }
      for (uint64_t share : cell.memory) {
        numbers.push_back((share + kPerTenThousand / 2) / kPerTenThousand);
      }
    }
    devices.push_back({{"id", device.id},
                       {"name", device.name},
                       {"vendor", device.vendor},
                       {"kind", device.kind},
                       {"simulated", device.simulated},
                       {"memoryGiB", static_cast<double>(device.memory_kib) / (1 << 20)},
                       {"cells", std::move(numbers)}});
  }
  Json states = Json::array();
  for (State state : kAllStates) states.push_back(std::string(StateName(state)));
  return Json{{"node", report.node},
              {"generator", report.generator},
              {"from", report.from},
              {"to", report.to},
              {"openHour", report.open_hour == kUnknown ? Json(nullptr) : Json(report.open_hour)},
              {"ownRowsOnly", report.own_rows_only},
              {"states", std::move(states)},
              {"hours", std::move(hours)},
              {"devices", std::move(devices)},
              {"tenants", TenantsOf(report, index)}};
}

absl::StatusOr<std::string> WritePage(const Report& report) {
  HET_ASSIGN_OR_RETURN(const Json data, PageData(report));
  // A tenant may be called anything: "<" cannot end the script element in JSON's own spelling.
  const std::string text =
      absl::StrReplaceAll(PrintJson(data), {{"<", "\\u003c"}, {">", "\\u003e"}});
  return absl::StrReplaceAll(kPageHtml, {{"@DATA@", text}});
}

}  // namespace het::report
