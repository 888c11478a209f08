#include "report/wire.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het::report {
namespace {

constexpr size_t kFields = 20;

absl::Status Odd(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("a row of a report has an odd ", what));
}

}  // namespace

Json ToJson(const Device& device) {
  return {{"id", device.id},
          {"name", device.name},
          {"vendor", device.vendor},
          {"kind", device.kind},
          {"partitionMode", device.partition_mode},
          {"memoryKiB", device.memory_kib},
          {"simulated", device.simulated}};
}

absl::StatusOr<Device> DeviceFromJson(const Json& json) {
  Device device;
  HET_ASSIGN_OR_RETURN(device.id, JsonString(json, "id"));
  HET_ASSIGN_OR_RETURN(device.name, JsonString(json, "name"));
  HET_ASSIGN_OR_RETURN(device.vendor, JsonString(json, "vendor"));
  HET_ASSIGN_OR_RETURN(device.kind, JsonString(json, "kind"));
  HET_ASSIGN_OR_RETURN(device.partition_mode, JsonString(json, "partitionMode"));
  HET_ASSIGN_OR_RETURN(device.memory_kib, JsonUint(json, "memoryKiB"));
  HET_ASSIGN_OR_RETURN(device.simulated, JsonBool(json, "simulated"));
  return device;
}

Json RowToJson(const Row& row, int64_t device) {
  return Json::array({row.hour,
                      device,
                      static_cast<int>(row.state),
                      row.tenant,
                      row.owner,
                      row.job,
                      row.lease,
                      row.memory_share,
                      row.compute_share,
                      row.covered_ms,
                      row.memory_limit_kib,
                      row.memory_used_kib,
                      row.memory_used_max_kib,
                      row.compute_limit,
                      row.compute_used,
                      row.compute_used_p95,
                      row.queue_wait_ms,
                      row.energy_mwh,
                      row.denied_requests,
                      row.largest_free_kib});
}

absl::StatusOr<NumberedRow> RowFromJson(const Json& json) {
  if (!json.is_array() || json.size() != kFields) return Odd("number of fields");
  for (size_t i = 0; i < kFields; ++i) {
    const bool text = i == 3 || i == 5 || i == 6;
    if (text ? !json[i].is_string() : !json[i].is_number_integer()) {
      return Odd(absl::StrCat("field ", i));
    }
  }
  size_t at = 0;
  const auto number = [&] { return json[at++].get<int64_t>(); };
  const auto text = [&] { return json[at++].get<std::string>(); };
  NumberedRow numbered;
  Row& row = numbered.row;
  row.hour = number();
  numbered.device = number();
  const int64_t state = number();
  if (state < 0 || state >= kStates) return Odd("state");
  row.state = static_cast<State>(state);
  row.tenant = text();
  row.owner = number();
  row.job = text();
  row.lease = text();
  row.memory_share = static_cast<uint64_t>(number());
  row.compute_share = static_cast<uint64_t>(number());
  if (row.memory_share > kWhole || row.compute_share > kWhole) return Odd("share");
  for (int64_t* field :
       {&row.covered_ms, &row.memory_limit_kib, &row.memory_used_kib, &row.memory_used_max_kib,
        &row.compute_limit, &row.compute_used, &row.compute_used_p95, &row.queue_wait_ms,
        &row.energy_mwh, &row.denied_requests, &row.largest_free_kib}) {
    *field = number();
  }
  if (row.covered_ms < 0 || row.covered_ms > kHourMs) return Odd("coverage");
  return numbered;
}

}  // namespace het::report
