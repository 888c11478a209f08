// Wire: rows and devices of a report as JSON, as hetd keeps and sends them (docs/protocol.md has
// the order of a row's fields). Functions only; any thread. Failures: InvalidArgument for what
// ToJson did not write.
#ifndef HET_REPORT_WIRE_H_
#define HET_REPORT_WIRE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "report/allocation.h"

namespace het::report {

// {"id","name","vendor","kind","partitionMode","memoryKiB","simulated"}.
Json ToJson(const Device& device);
absl::StatusOr<Device> DeviceFromJson(const Json& json);

// A list of 20 fields. `device` is a number that both sides know the device by; Row::device is not
// written and not read.
Json RowToJson(const Row& row, int64_t device);
struct NumberedRow {
  int64_t device = 0;
  Row row;
};
absl::StatusOr<NumberedRow> RowFromJson(const Json& json);

}  // namespace het::report

#endif  // HET_REPORT_WIRE_H_
