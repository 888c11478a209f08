// Messages of org.het.v1: the parameters of calls and replies as plain data, each with its JSON
// form both ways. FromJson gives InvalidArgument that names the field (FieldOf). docs/protocol.md
// has an example of every one. Functions only; any thread.
#ifndef HET_PROTOCOL_MESSAGES_H_
#define HET_PROTOCOL_MESSAGES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "devices/device_info.h"
#include "partition/enforcement.h"
#include "partition/refusal.h"
#include "partition/slice.h"

namespace het::protocol {

inline constexpr size_t kMaxSlicesPerRequest = 64;  // so that the answer fits a frame
inline constexpr size_t kMaxLayers = 4096;
inline constexpr uint64_t kMaxModelBytes = uint64_t{1} << 50;  // of a layer, of an activation
inline constexpr size_t kMaxTextBytes = 256;                   // request ids, tenants, names

// GetInfo.
struct DaemonInfo {
  std::string version;
  uint64_t pid = 0;
  double uptime_seconds = 0;
  uint64_t devices = 0;
  uint64_t leases = 0;
  uint64_t waiting = 0;      // model requests that wait for capacity
  bool discovering = false;  // the first look at the machine is not finished
  std::string store_error;   // why new leases are refused; empty when they are not
};

// ListDevices: a device and what is free of it for one slice.
struct DeviceRow {
  DeviceInfo info;
  Amount free;
};

// What the processes of a slice did with it since the first of them attached.
struct SliceUsage {
  uint64_t used_ns = 0;  // device time
  uint64_t launches = 0;
  uint64_t memory_bytes = 0;  // reserved now
  uint64_t in_flight = 0;
  uint64_t waiting = 0;    // processes that wait for their turn now
  uint64_t processes = 0;  // attached
  std::vector<std::pair<std::string, uint64_t>> throttled_ns;  // by reason
  std::string waiting_for;                                     // the reason now; empty: none
};

// ListSlices: a granted slice, who has it, what keeps it apart, and what was done with it.
struct SliceRow {
  Slice slice;
  std::string lease;
  std::string tenant;
  LeaseState state = LeaseState::kTried;
  Enforcement enforcement;
  SliceUsage usage;
};

// Who a lease is for and how long it lives; part of Acquire and AcquireModel.
struct LeaseTerms {
  std::string request_id;  // repeats of a call with the same id get the first answer
  std::string tenant;      // a name for reports; empty: hetd writes "uid-1000"
  std::string job;         // id of the batch system's job it is for, for reports; empty: none
  Holder holder = Holder::kProcess;
  int64_t ttl_ms = 0;    // manual leases only; 0: until released
  bool confirm = false;  // false: the leases are tried and end by themselves if nobody confirms
  // A name that the caller makes up for several calls whose leases are confirmed or cancelled
  // together, also before they came; empty: none. Not with `confirm`.
  std::string transaction;
  // What must keep the slices apart from those of other users; nullopt: what hetd.toml says.
  std::optional<Isolation> isolation_at_least;
};

struct AcquireRequest {
  LeaseTerms terms;
  std::vector<SliceRequest> slices;  // all or none
};

// Confirm, Cancel, Release, Renew. Confirm and Cancel take a transaction in place of leases.
struct LeaseRef {
  std::string id;
  uint64_t generation = 0;  // 0: whatever it is; else the call fails when the lease has changed
};
struct LeaseChange {
  std::string request_id;
  std::vector<LeaseRef> leases;  // all or none
  int64_t ttl_ms = 0;            // Renew only: from now
  std::string transaction = {};
};

// Resize. What is not given stays as it is.
struct ResizeRequest {
  std::string request_id;
  std::vector<LeaseRef> leases;
  std::optional<Share> share;
  std::optional<uint64_t> memory_bytes;
  std::optional<Priority> priority;
};

// Consecutive layers that cost the same.
struct ModelLayer {
  uint64_t weight_bytes = 0;
  uint64_t kv_bytes = 0;
  double flops = 0;  // of one step through the layer; 0: only its bytes count
  uint64_t count = 1;
};
struct ModelSpec {
  std::string name;
  std::vector<ModelLayer> layers;
  uint64_t activation_bytes = 0;  // that cross from one stage to the next in one step
};

// PlanModel (no lease) and AcquireModel.
struct ModelRequest {
  LeaseTerms terms;
  ModelSpec model;
  std::string objective = "throughput";  // or "latency"
  Share max_share = Share::Whole();      // of any one device
  int64_t wait_ms = 0;                   // how long to wait in line for others to release
};

struct ModelStage {
  std::string device;  // UUID
  std::string lease;   // empty in a PlanModel reply
  Share share;
  uint64_t memory_bytes = 0;
  uint64_t begin = 0;  // layers [begin, end)
  uint64_t end = 0;
  double ms = 0;  // of one step
};
struct ModelPlan {
  std::vector<ModelStage> stages;  // in pipeline order
  double bottleneck_ms = 0;
  double latency_ms = 0;
  bool optimal = false;
  uint64_t in_flight = 1;  // groups that keep the bottleneck busy
};
struct ModelReply {
  ModelPlan plan;
  std::vector<Lease> leases;  // in the order of the stages; none for PlanModel
};

Json ToJson(const DaemonInfo& info);
absl::StatusOr<DaemonInfo> DaemonInfoFromJson(const Json& json);

Json ToJson(const DeviceRow& row);
absl::StatusOr<DeviceRow> DeviceRowFromJson(const Json& json);

Json ToJson(const SliceRow& row);
absl::StatusOr<SliceRow> SliceRowFromJson(const Json& json);

Json ToJson(const AcquireRequest& request);
absl::StatusOr<AcquireRequest> AcquireRequestFromJson(const Json& json);

Json ToJson(const LeaseChange& change);
absl::StatusOr<LeaseChange> LeaseChangeFromJson(const Json& json);

Json ToJson(const ResizeRequest& request);
absl::StatusOr<ResizeRequest> ResizeRequestFromJson(const Json& json);

Json ToJson(const ModelRequest& request);
absl::StatusOr<ModelRequest> ModelRequestFromJson(const Json& json);

Json ToJson(const ModelPlan& plan);
absl::StatusOr<ModelPlan> ModelPlanFromJson(const Json& json);

// "leases": [..]; expiry counts from `now_boottime`.
Json LeasesToJson(const std::vector<Lease>& leases, int64_t now_boottime);
absl::StatusOr<std::vector<Lease>> LeasesFromJson(const Json& json, int64_t now_boottime);

}  // namespace het::protocol

#endif  // HET_PROTOCOL_MESSAGES_H_
