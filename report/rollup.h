// Rollup: samples of one device become the rows of one hour. Every sample is carved up completely:
// what is used first, then what is held, then what the operator reserved, and what is left is free
// or stranded. So nothing is counted twice and nothing is lost, whatever the samples claim.
//
// Pure integer arithmetic, no clock: memory in KiB x ms, compute in ns of device time. A value
// type; one thread at a time. A device-hour keeps at most 64 leases apart; later ones are put
// together by tenant, and beyond 64 tenants into one, so that a row count is bounded.
#ifndef HET_REPORT_ROLLUP_H_
#define HET_REPORT_ROLLUP_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "report/allocation.h"

namespace het::report {

inline constexpr size_t kMostLeases = 64;   // of a device and hour, one by one
inline constexpr size_t kMostTenants = 64;  // of those beyond
inline constexpr uint32_t kWholeParts = 10'000;

// What one lease held and did in one interval.
struct HolderSample {
  std::string lease;
  std::string tenant;
  int64_t owner = kUnknown;
  std::string job;
  uint64_t memory_limit_kib = 0;
  uint64_t memory_used_kib = 0;
  uint32_t share_parts = 0;  // of the device's compute, 1/10000; 0 for best effort
  uint64_t used_ns = 0;      // device time in the interval
  uint64_t wait_ns = 0;      // that its processes waited for their turn
  bool metered = true;       // false: nobody can tell what it uses; all it holds counts as used
  bool reserved = false;     // a named slice that nobody has leased
};

struct DeviceSample {
  int64_t interval_ms = 0;
  uint64_t memory_kib = 0;
  bool healthy = true;
  bool draining = false;
  // The largest slice that could be leased now.
  uint64_t free_kib = 0;
  uint32_t free_parts = 0;
  uint32_t denied = 0;  // since the sample before
  // That the device took in the interval, mJ; nullopt: it has no meter.
  std::optional<uint64_t> energy_mj;
  std::vector<HolderSample> holders;
};

class DeviceHour {
 public:
  // Time beyond the hour is not counted.
  void Add(const DeviceSample& sample);
  int64_t covered_ms() const { return covered_ms_; }
  // The rows, with `hour` and `device` filled in; none when nothing was sampled.
  std::vector<Row> Rows(int64_t hour, uint32_t device) const;

  // For a daemon that is restarted within the hour. Functions of each other; InvalidArgument for
  // what ToJson did not write.
  Json ToJson() const;
  static absl::StatusOr<DeviceHour> FromJson(const Json& json);

 private:
  static constexpr size_t kBuckets = 102;  // of compute used in a sample: 0 %, ..100 %, unused

  struct Amounts {
    uint64_t memory = 0;   // KiB x ms
    uint64_t compute = 0;  // ns
  };
  struct Account {
    std::string lease, tenant, job;
    int64_t owner = kUnknown;
    Amounts used, idle;
    int64_t present_ms = 0;
    uint64_t memory_limit = 0;   // KiB x ms
    uint64_t compute_limit = 0;  // ns
    uint64_t memory_max_kib = 0;
    uint64_t wait_ns = 0;
    uint64_t energy_mj = 0;
    bool metered = true;
    std::array<uint32_t, kBuckets> seen = {};  // ms by percent of the device used
  };
  struct Wish {
    Account* account;  // null: the operator's
    uint64_t amount;
  };

  Account& AccountOf(const HolderSample& holder);
  void CarveMemory(const DeviceSample& sample, int64_t ms);
  void CarveCompute(const DeviceSample& sample, int64_t ms);
  void Leave(const DeviceSample& sample, uint64_t rest, uint64_t can_lease,
             uint64_t Amounts::*kind);
  static void AddShares(std::vector<Row>& rows, const std::vector<Amounts>& amounts);

  int64_t covered_ms_ = 0;
  Amounts free_, stranded_, unhealthy_, reserved_;
  uint64_t denied_ = 0;
  std::optional<uint64_t> energy_mj_;  // that no lease worked with; nullopt: no meter
  uint64_t largest_free_ = 0;          // KiB x ms
  std::map<std::string, Account> accounts_;
};

}  // namespace het::report

#endif  // HET_REPORT_ROLLUP_H_
