// Slice and Lease: what a tenant asks for, what it is granted, and how long it may keep it. Plain
// data with a JSON form both ways; the ledger makes slices, hetd and the in-process session make
// leases. Nothing here has an owner or a thread.
#ifndef HET_PARTITION_SLICE_H_
#define HET_PARTITION_SLICE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/units.h"

namespace het {

// guaranteed: at least its share, more when others are idle. capped: never more than its share.
// Both draw on the device's 100 %. best_effort: what the others leave, its share is a weight among
// its like and is booked nowhere.
enum class Policy { kGuaranteed, kCapped, kBestEffort };
// While work of a higher class waits or runs on a device, none of a lower class is started there.
enum class Priority { kBatch, kNormal, kHigh };
// What keeps tenants apart. hardware: separate silicon and memory. driver: the driver holds the
// share (whole cores, sub-device). cooperative: het's own arbitration holds it.
enum class Isolation { kHardware, kDriver, kCooperative };
// available: a named slice that the operator cut and nobody has leased; hetd's own, never a
// tenant's.
enum class LeaseState { kTried, kConfirmed, kCancelled, kExpired, kAvailable };
// process: the lease ends with the process that acquired it. manual: with Release or its expiry.
enum class Holder { kProcess, kManual };

inline constexpr uint32_t kSmallestShareParts = 100;  // 1 %

struct SliceRequest {
  std::string device;         // UUID
  Share share;                // 1 % to 100 %
  uint64_t memory_bytes = 0;  // at least 1; rounded up to 1 MiB
  Policy policy = Policy::kGuaranteed;
  Priority priority = Priority::kNormal;
  // A slice that the operator cut under this name: then nothing else counts. Empty: one ad hoc.
  std::string name = {};
};

// A granted part of a device.
struct Slice {
  std::string id;    // UUID of the slice
  std::string name;  // of a named one, which outlives its leases; else empty
  std::string device;
  Share share;
  uint64_t memory_bytes = 0;
  Policy policy = Policy::kGuaranteed;
  Priority priority = Priority::kNormal;
  Isolation isolation = Isolation::kCooperative;
  // Devices that are host processors: the OS indices to run on, empty for other devices. They are
  // the slice's alone, or, when it is time-shared, those that no slice has alone at the time of the
  // grant (Ledger::CoresOf says which they are now).
  std::vector<uint32_t> cores;
  // The arbiter gives the slice its share of the time. Otherwise it has its part for itself.
  bool time_shared = false;
  // Native units of a device that divides in the driver; 0: not divided (or see `cores`).
  uint32_t compute_units = 0;
  friend bool operator==(const Slice&, const Slice&) = default;
};

struct Lease {
  std::string id;
  std::string tenant;
  std::string job;  // id of a batch system's job that it is for; empty: none was told
  uid_t uid = 0;
  pid_t pid = 0;
  // Clock ticks after boot at which `pid` started (field 22 of /proc/<pid>/stat): tells a process
  // from a later one of the same number.
  uint64_t start_time = 0;
  Holder holder = Holder::kProcess;
  Slice slice;
  LeaseState state = LeaseState::kTried;
  std::string transaction;  // that decides over it; empty: none
  // What must keep it apart from slices of other users: a device on which that cannot be said is
  // not shared with them.
  Isolation isolation_at_least = Isolation::kCooperative;
  uint64_t generation = 0;      // fencing: grows with every change of the lease
  int64_t ttl_ms = 0;           // what was asked; counts from Confirm or Renew. 0: none
  int64_t expiry_boottime = 0;  // nanoseconds of CLOCK_BOOTTIME; 0: none
};

absl::string_view PolicyName(Policy policy);
absl::string_view PriorityName(Priority priority);
absl::string_view IsolationName(Isolation isolation);
absl::string_view LeaseStateName(LeaseState state);
absl::string_view HolderName(Holder holder);
absl::StatusOr<Policy> ParsePolicy(absl::string_view text);
absl::StatusOr<Priority> ParsePriority(absl::string_view text);
absl::StatusOr<Isolation> ParseIsolation(absl::string_view text);
absl::StatusOr<LeaseState> ParseLeaseState(absl::string_view text);
absl::StatusOr<Holder> ParseHolder(absl::string_view text);

// {"name"}, or {"device","sharePercent","memoryBytes","policy","priority"}, or all of them (to cut
// a named slice). InvalidArgument names the field (FieldOf in partition/refusal.h); a missing
// policy is guaranteed, a missing priority normal, a missing share or memory is an error.
Json ToJson(const SliceRequest& request);
absl::StatusOr<SliceRequest> SliceRequestFromJson(const Json& json);

// {"id","device","sharePercent","memoryBytes","policy","priority","isolation","timeShared","cores",
// "computeUnits"}; cores and computeUnits are left out when there are none.
Json ToJson(const Slice& slice);
absl::StatusOr<Slice> SliceFromJson(const Json& json);

// The slice's members (its own id as "slice") and {"id","tenant","uid","pid","startTime","holder",
// "state","job","transaction","isolationAtLeast","generation","ttlMs","expiresInSeconds"}.
// expiresInSeconds counts from `now_boottime`; it, ttlMs, job and transaction are left out when
// there is none, isolationAtLeast when it is cooperative.
Json ToJson(const Lease& lease, int64_t now_boottime);
absl::StatusOr<Lease> LeaseFromJson(const Json& json, int64_t now_boottime);

// "sharePercent": a whole number where it is one.
Json ShareToJson(Share share);

}  // namespace het

#endif  // HET_PARTITION_SLICE_H_
