#include "partition/slice.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "partition/refusal.h"

namespace het {
namespace {

template <typename Enum, size_t N>
using Names = std::array<std::pair<Enum, absl::string_view>, N>;

constexpr Names<Policy, 3> kPolicies = {{{Policy::kGuaranteed, "guaranteed"},
                                         {Policy::kCapped, "capped"},
                                         {Policy::kBestEffort, "best_effort"}}};
constexpr Names<Priority, 3> kPriorities = {
    {{Priority::kBatch, "batch"}, {Priority::kNormal, "normal"}, {Priority::kHigh, "high"}}};
constexpr Names<Isolation, 3> kIsolations = {{{Isolation::kHardware, "hardware"},
                                              {Isolation::kDriver, "driver"},
                                              {Isolation::kCooperative, "cooperative"}}};
constexpr Names<LeaseState, 5> kStates = {{{LeaseState::kTried, "tried"},
                                           {LeaseState::kConfirmed, "confirmed"},
                                           {LeaseState::kCancelled, "cancelled"},
                                           {LeaseState::kExpired, "expired"},
                                           {LeaseState::kAvailable, "available"}}};
constexpr Names<Holder, 2> kHolders = {
    {{Holder::kProcess, "process"}, {Holder::kManual, "manual"}}};

template <typename Enum, size_t N>
absl::string_view NameOf(const Names<Enum, N>& names, Enum value) {
  for (const auto& [known, name] : names) {
    if (known == value) return name;
  }
  return "unknown";
}

template <typename Enum, size_t N>
absl::StatusOr<Enum> ByName(const Names<Enum, N>& names, absl::string_view field,
                            absl::string_view text) {
  for (const auto& [value, name] : names) {
    if (name == text) return value;
  }
  return InvalidField(field, absl::StrCat("\"", text, "\" is none of ",
                                          absl::StrJoin(names, ", ", [](std::string* out, auto& n) {
                                            absl::StrAppend(out, n.second);
                                          })));
}

absl::StatusOr<std::string> Text(const Json& json, absl::string_view field,
                                 absl::string_view fallback = "") {
  absl::StatusOr<std::string> text = JsonString(json, field, fallback);
  if (!text.ok()) return InvalidField(field, text.status().message());
  return text;
}

absl::StatusOr<uint64_t> Number(const Json& json, absl::string_view field) {
  absl::StatusOr<uint64_t> number = JsonUint(json, field);
  if (!number.ok()) return InvalidField(field, number.status().message());
  return number;
}

absl::StatusOr<bool> Flag(const Json& json, absl::string_view field) {
  absl::StatusOr<bool> flag = JsonBool(json, field);
  if (!flag.ok()) return InvalidField(field, flag.status().message());
  return flag;
}

absl::StatusOr<Share> ShareFromJson(const Json& json) {
  absl::StatusOr<double> percent = JsonNumber(json, "sharePercent", -1);
  if (!percent.ok()) return InvalidField("sharePercent", percent.status().message());
  if (!(*percent >= 1 && *percent <= 100)) {
    return InvalidField("sharePercent", *percent == -1
                                            ? "is missing; a share is 1 to 100 (percent)"
                                            : absl::StrCat("is ", *percent, ", must be 1 to 100"));
  }
  return Share::OfParts(static_cast<uint32_t>(std::lround(*percent * 100)));
}

absl::StatusOr<std::vector<uint32_t>> Indices(const Json& json, const char* field) {
  std::vector<uint32_t> list;
  const auto it = json.find(field);
  if (it == json.end()) return list;
  if (!it->is_array()) return InvalidField(field, "must be a list of numbers");
  for (const Json& entry : *it) {
    if (!entry.is_number_unsigned() || entry.get<uint64_t>() > UINT32_MAX) {
      return InvalidField(field, "must be a list of whole numbers");
    }
    list.push_back(entry.get<uint32_t>());
  }
  return list;
}

// The members that a request and a slice have in common.
absl::StatusOr<SliceRequest> Common(const Json& json) {
  if (!json.is_object()) return InvalidField("slice", "must be a JSON object");
  SliceRequest common;
  HET_ASSIGN_OR_RETURN(common.name, Text(json, "name"));
  HET_ASSIGN_OR_RETURN(common.device, Text(json, "device"));
  if (common.device.empty()) return InvalidField("device", "is missing; it is a device's UUID");
  HET_ASSIGN_OR_RETURN(common.share, ShareFromJson(json));
  HET_ASSIGN_OR_RETURN(common.memory_bytes, Number(json, "memoryBytes"));
  if (common.memory_bytes == 0) {
    return InvalidField("memoryBytes", "is missing or 0; a slice has at least one byte");
  }
  HET_ASSIGN_OR_RETURN(const std::string policy, Text(json, "policy", "guaranteed"));
  HET_ASSIGN_OR_RETURN(common.policy, ParsePolicy(policy));
  HET_ASSIGN_OR_RETURN(const std::string priority, Text(json, "priority", "normal"));
  HET_ASSIGN_OR_RETURN(common.priority, ParsePriority(priority));
  return common;
}

}  // namespace

absl::string_view PolicyName(Policy policy) { return NameOf(kPolicies, policy); }
absl::string_view PriorityName(Priority priority) { return NameOf(kPriorities, priority); }
absl::string_view IsolationName(Isolation isolation) { return NameOf(kIsolations, isolation); }
absl::string_view LeaseStateName(LeaseState state) { return NameOf(kStates, state); }
absl::string_view HolderName(Holder holder) { return NameOf(kHolders, holder); }
absl::StatusOr<Policy> ParsePolicy(absl::string_view text) {
  return ByName(kPolicies, "policy", text);
}
absl::StatusOr<Priority> ParsePriority(absl::string_view text) {
  return ByName(kPriorities, "priority", text);
}
absl::StatusOr<Isolation> ParseIsolation(absl::string_view text) {
  return ByName(kIsolations, "isolation", text);
}
absl::StatusOr<LeaseState> ParseLeaseState(absl::string_view text) {
  return ByName(kStates, "state", text);
}
absl::StatusOr<Holder> ParseHolder(absl::string_view text) {
  return ByName(kHolders, "holder", text);
}

Json ShareToJson(Share share) {
  if (share.parts() % 100 == 0) return share.parts() / 100;
  return share.percent();
}

Json ToJson(const SliceRequest& request) {
  Json json = Json::object();
  if (!request.name.empty()) json["name"] = request.name;
  if (request.device.empty()) return json;
  json["device"] = request.device;
  json["sharePercent"] = ShareToJson(request.share);
  json["memoryBytes"] = request.memory_bytes;
  json["policy"] = std::string(PolicyName(request.policy));
  json["priority"] = std::string(PriorityName(request.priority));
  return json;
}

absl::StatusOr<SliceRequest> SliceRequestFromJson(const Json& json) {
  if (json.is_object() && json.contains("name") && !json.contains("device")) {
    SliceRequest named;
    HET_ASSIGN_OR_RETURN(named.name, Text(json, "name"));
    if (named.name.empty()) return InvalidField("name", "is empty");
    return named;
  }
  return Common(json);
}

Json ToJson(const Slice& slice) {
  Json json = {{"id", slice.id},
               {"device", slice.device},
               {"sharePercent", ShareToJson(slice.share)},
               {"memoryBytes", slice.memory_bytes},
               {"policy", std::string(PolicyName(slice.policy))},
               {"priority", std::string(PriorityName(slice.priority))},
               {"isolation", std::string(IsolationName(slice.isolation))},
               {"timeShared", slice.time_shared}};
  if (!slice.name.empty()) json["name"] = slice.name;
  if (!slice.cores.empty()) json["cores"] = slice.cores;
  if (slice.compute_units > 0) json["computeUnits"] = slice.compute_units;
  return json;
}

absl::StatusOr<Slice> SliceFromJson(const Json& json) {
  HET_ASSIGN_OR_RETURN(const SliceRequest common, Common(json));
  Slice slice;
  slice.name = common.name;
  slice.device = common.device;
  slice.share = common.share;
  slice.memory_bytes = common.memory_bytes;
  slice.policy = common.policy;
  slice.priority = common.priority;
  HET_ASSIGN_OR_RETURN(slice.id, Text(json, "id"));
  HET_ASSIGN_OR_RETURN(const std::string isolation, Text(json, "isolation", "cooperative"));
  HET_ASSIGN_OR_RETURN(slice.isolation, ParseIsolation(isolation));
  HET_ASSIGN_OR_RETURN(slice.cores, Indices(json, "cores"));
  HET_ASSIGN_OR_RETURN(slice.time_shared, Flag(json, "timeShared"));
  HET_ASSIGN_OR_RETURN(const uint64_t units, Number(json, "computeUnits"));
  if (units > UINT32_MAX) return InvalidField("computeUnits", "is too large");
  slice.compute_units = static_cast<uint32_t>(units);
  return slice;
}

Json ToJson(const Lease& lease, int64_t now_boottime) {
  Json json = ToJson(lease.slice);
  json["slice"] = lease.slice.id;
  json["id"] = lease.id;
  json["tenant"] = lease.tenant;
  json["uid"] = lease.uid;
  json["pid"] = static_cast<uint64_t>(lease.pid);
  json["startTime"] = lease.start_time;
  json["holder"] = std::string(HolderName(lease.holder));
  json["state"] = std::string(LeaseStateName(lease.state));
  if (!lease.job.empty()) json["job"] = lease.job;
  if (!lease.transaction.empty()) json["transaction"] = lease.transaction;
  if (lease.isolation_at_least != Isolation::kCooperative) {
    json["isolationAtLeast"] = std::string(IsolationName(lease.isolation_at_least));
  }
  json["generation"] = lease.generation;
  if (lease.ttl_ms > 0) json["ttlMs"] = static_cast<uint64_t>(lease.ttl_ms);
  if (lease.expiry_boottime != 0) {
    const int64_t left = lease.expiry_boottime - now_boottime;
    json["expiresInSeconds"] = left > 0 ? static_cast<double>(left / 1'000'000) / 1000.0 : 0.0;
  }
  return json;
}

absl::StatusOr<Lease> LeaseFromJson(const Json& json, int64_t now_boottime) {
  Lease lease;
  HET_ASSIGN_OR_RETURN(lease.slice, SliceFromJson(json));
  lease.id = lease.slice.id;
  if (lease.id.empty()) return InvalidField("id", "is missing");
  HET_ASSIGN_OR_RETURN(lease.slice.id, Text(json, "slice"));
  HET_ASSIGN_OR_RETURN(lease.tenant, Text(json, "tenant"));
  HET_ASSIGN_OR_RETURN(const uint64_t uid, Number(json, "uid"));
  lease.uid = static_cast<uid_t>(uid);
  HET_ASSIGN_OR_RETURN(const uint64_t pid, Number(json, "pid"));
  lease.pid = static_cast<pid_t>(pid);
  HET_ASSIGN_OR_RETURN(lease.start_time, Number(json, "startTime"));
  HET_ASSIGN_OR_RETURN(const std::string holder, Text(json, "holder", "process"));
  HET_ASSIGN_OR_RETURN(lease.holder, ParseHolder(holder));
  HET_ASSIGN_OR_RETURN(const std::string state, Text(json, "state", "tried"));
  HET_ASSIGN_OR_RETURN(lease.state, ParseLeaseState(state));
  HET_ASSIGN_OR_RETURN(lease.job, Text(json, "job"));
  HET_ASSIGN_OR_RETURN(lease.transaction, Text(json, "transaction"));
  HET_ASSIGN_OR_RETURN(const std::string apart, Text(json, "isolationAtLeast", "cooperative"));
  HET_ASSIGN_OR_RETURN(lease.isolation_at_least, ParseIsolation(apart));
  HET_ASSIGN_OR_RETURN(lease.generation, Number(json, "generation"));
  HET_ASSIGN_OR_RETURN(const uint64_t ttl_ms, Number(json, "ttlMs"));
  if (ttl_ms > INT64_MAX) return InvalidField("ttlMs", "is too large");
  lease.ttl_ms = static_cast<int64_t>(ttl_ms);
  absl::StatusOr<double> left = JsonNumber(json, "expiresInSeconds", -1);
  if (!left.ok()) return InvalidField("expiresInSeconds", left.status().message());
  if (*left >= 0 && *left < 1e9) {
    lease.expiry_boottime = now_boottime + static_cast<int64_t>(*left * 1e9);
  }
  return lease;
}

}  // namespace het
