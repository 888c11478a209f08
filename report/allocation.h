// Allocation: where the hours of a device went. A row says how much of one device was in one state
// during one hour, and for whom. Over the rows of a device and hour the memory shares add up to
// exactly one, and so do the compute shares.
//
// Plain data, integers throughout: an hour that is written twice is the same bytes twice. Rows are
// made by Rollup (what hetd samples) or by a simulator, and written by report/table.h and
// report/page.h.
#ifndef HET_REPORT_ALLOCATION_H_
#define HET_REPORT_ALLOCATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace het::report {

// Used: held and worked with. HeldIdle: held by a lease, not worked with. Free: the largest slice
// that could have been leased. Stranded: held by nobody, and yet not to be leased (no compute is
// left for the memory, no memory for the compute, or it is in pieces). Unhealthy: the device could
// not be used. Reserved: cut by the operator and leased by nobody, or draining.
enum class State { kUsed, kHeldIdle, kFree, kStranded, kUnhealthy, kReserved };
inline constexpr int kStates = 6;
inline constexpr State kAllStates[kStates] = {State::kUsed,      State::kHeldIdle,
                                              State::kFree,      State::kStranded,
                                              State::kUnhealthy, State::kReserved};
absl::string_view StateName(State state);

inline constexpr uint64_t kWhole = 1'000'000'000'000;  // a share of one, in units of 1e-12
inline constexpr int64_t kHourMs = 3'600'000;
inline constexpr int64_t kHourSeconds = 3600;
inline constexpr int64_t kUnknown = -1;  // what nobody measured, or does not apply: an empty field

struct Device {
  std::string id;  // UUID. Devices that are one piece of silicon are one device here.
  std::string name;
  std::string vendor;
  std::string kind;            // "cpu", "gpu", ..
  std::string partition_mode;  // how tenants are kept apart: "none", "sub-device", "cores"
  uint64_t memory_kib = 0;
  bool simulated = false;
  friend bool operator==(const Device&, const Device&) = default;
};

struct Row {
  int64_t hour = 0;  // start of the period, Unix seconds, a multiple of 3600; the period is [hour,
                     // hour + 1 h)
  uint32_t device = 0;  // index into Report::devices
  State state = State::kFree;
  // Of the lease that holds it; empty and kUnknown in rows that nobody holds.
  std::string tenant;
  int64_t owner = kUnknown;  // uid
  std::string job;           // batch system's id, where one is known
  std::string lease;         // UUID; empty where many short leases of a tenant were put together

  uint64_t memory_share = 0;   // of the device's memory over the covered time, 1e-12
  uint64_t compute_share = 0;  // of its compute
  int64_t covered_ms = 0;      // of the hour, in which the device was sampled

  // Of the lease while it was there; kUnknown in other rows.
  int64_t memory_limit_kib = kUnknown;
  int64_t memory_used_kib = kUnknown;      // mean
  int64_t memory_used_max_kib = kUnknown;  // largest sample
  int64_t compute_limit = kUnknown;        // of the device's compute, 1e-6
  int64_t compute_used = kUnknown;         // mean, 1e-6 of the device's compute
  int64_t compute_used_p95 = kUnknown;     // 95 % of the samples are at or below, 1e-6
  int64_t queue_wait_ms = kUnknown;        // that its processes waited for their turn
  // Milliwatt-hours. Used rows: by the device time the lease used; the Free row: what is left of
  // the device's. kUnknown where no meter was read.
  int64_t energy_mwh = kUnknown;
  // Of the device in this hour: only in its Free row, which every device and hour has.
  int64_t denied_requests = kUnknown;   // refused for want of capacity here
  int64_t largest_free_kib = kUnknown;  // mean of the largest slice that could have been leased

  friend bool operator==(const Row&, const Row&) = default;
};

struct Report {
  std::string node;
  std::string generator;  // "hetd 0.1.0", "het-fleet 0.1.0 (simulated)"
  int64_t from = 0;       // Unix seconds, [from, to)
  int64_t to = 0;
  int64_t open_hour = kUnknown;  // an hour in the report that is not over: its rows will change
  bool own_rows_only = false;    // rows of other users' leases are left out
  std::vector<Device> devices;
  std::vector<Row> rows;  // by hour, device, and a fixed order inside
};

}  // namespace het::report

#endif  // HET_REPORT_ALLOCATION_H_
