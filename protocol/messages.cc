#include "protocol/messages.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het::protocol {
namespace {

absl::Status BadField(absl::string_view field, const absl::Status& status) {
  return InvalidField(field, status.message());
}

absl::StatusOr<std::string> Text(const Json& json, absl::string_view field,
                                 absl::string_view fallback = "") {
  absl::StatusOr<std::string> text = JsonString(json, field, fallback);
  if (!text.ok()) return BadField(field, text.status());
  if (text->size() > kMaxTextBytes) {
    return InvalidField(field, absl::StrCat("is longer than ", kMaxTextBytes, " bytes"));
  }
  return text;
}

absl::StatusOr<uint64_t> Number(const Json& json, absl::string_view field, uint64_t fallback = 0) {
  absl::StatusOr<uint64_t> number = JsonUint(json, field, fallback);
  if (!number.ok()) return BadField(field, number.status());
  return number;
}

absl::StatusOr<double> Real(const Json& json, absl::string_view field, double fallback = 0) {
  absl::StatusOr<double> number = JsonNumber(json, field, fallback);
  if (!number.ok()) return BadField(field, number.status());
  if (!(*number >= 0 && *number <= 1e30)) return InvalidField(field, "must be 0 or more");
  return number;
}

absl::StatusOr<bool> Flag(const Json& json, absl::string_view field) {
  absl::StatusOr<bool> flag = JsonBool(json, field);
  if (!flag.ok()) return BadField(field, flag.status());
  return flag;
}

// Milliseconds of at most a hundred years.
absl::StatusOr<int64_t> Millis(const Json& json, absl::string_view field) {
  HET_ASSIGN_OR_RETURN(const uint64_t ms, Number(json, field));
  if (ms > uint64_t{100} * 365 * 86'400'000) return InvalidField(field, "is over 100 years");
  return static_cast<int64_t>(ms);
}

absl::StatusOr<Share> Percent(const Json& json, absl::string_view field, double fallback) {
  HET_ASSIGN_OR_RETURN(const double percent, Real(json, field, fallback));
  if (percent > 100) return InvalidField(field, "must be at most 100");
  return Share::OfParts(static_cast<uint32_t>(std::lround(percent * 100)));
}

// Bytes of a part of a model: bounded, so that sums over all layers cannot overflow.
absl::StatusOr<uint64_t> ModelBytes(const Json& json, absl::string_view field) {
  HET_ASSIGN_OR_RETURN(const uint64_t bytes, Number(json, field));
  if (bytes > kMaxModelBytes) return InvalidField(field, "is over 1 PiB");
  return bytes;
}

// Runs `parse` on each entry of a list; errors name "field[i]".
template <typename Parse>
absl::Status ForEach(const Json& json, const char* field, size_t at_most, Parse parse) {
  const auto list = json.find(field);
  if (list == json.end()) return absl::OkStatus();
  if (!list->is_array()) return InvalidField(field, "must be a list");
  if (list->size() > at_most) {
    return InvalidField(field, absl::StrCat("has ", list->size(), " entries, at most ", at_most));
  }
  size_t index = 0;
  for (const Json& entry : *list) {
    const std::string prefix = absl::StrCat(field, "[", index++, "]");
    if (!entry.is_object()) return InvalidField(prefix, "must be an object");
    HET_RETURN_IF_ERROR(WithFieldPrefix(parse(entry), prefix));
  }
  return absl::OkStatus();
}

void PutTerms(const LeaseTerms& terms, Json& json) {
  if (!terms.request_id.empty()) json["requestId"] = terms.request_id;
  if (!terms.tenant.empty()) json["tenant"] = terms.tenant;
  if (!terms.job.empty()) json["job"] = terms.job;
  json["holder"] = std::string(HolderName(terms.holder));
  if (terms.ttl_ms > 0) json["ttlMs"] = static_cast<uint64_t>(terms.ttl_ms);
  json["confirm"] = terms.confirm;
  if (!terms.transaction.empty()) json["transaction"] = terms.transaction;
  if (terms.isolation_at_least) {
    json["isolationAtLeast"] = std::string(IsolationName(*terms.isolation_at_least));
  }
}

absl::StatusOr<LeaseTerms> TermsFromJson(const Json& json) {
  LeaseTerms terms;
  HET_ASSIGN_OR_RETURN(terms.request_id, Text(json, "requestId"));
  HET_ASSIGN_OR_RETURN(terms.tenant, Text(json, "tenant"));
  HET_ASSIGN_OR_RETURN(terms.job, Text(json, "job"));
  HET_ASSIGN_OR_RETURN(const std::string holder, Text(json, "holder", "process"));
  HET_ASSIGN_OR_RETURN(terms.holder, ParseHolder(holder));
  HET_ASSIGN_OR_RETURN(terms.ttl_ms, Millis(json, "ttlMs"));
  HET_ASSIGN_OR_RETURN(terms.confirm, Flag(json, "confirm"));
  if (terms.ttl_ms > 0 && terms.holder == Holder::kProcess) {
    return InvalidField("ttlMs", "is for holder \"manual\"; a process's lease ends with it");
  }
  HET_ASSIGN_OR_RETURN(terms.transaction, Text(json, "transaction"));
  if (terms.confirm && !terms.transaction.empty()) {
    return InvalidField("transaction", "is for leases that are confirmed later, with Confirm");
  }
  if (json.contains("isolationAtLeast")) {
    HET_ASSIGN_OR_RETURN(const std::string isolation, Text(json, "isolationAtLeast"));
    absl::StatusOr<Isolation> parsed = ParseIsolation(isolation);
    if (!parsed.ok()) return InvalidField("isolationAtLeast", parsed.status().message());
    terms.isolation_at_least = *parsed;
  }
  return terms;
}

Json LayerToJson(const ModelLayer& layer) {
  Json json = {{"weightBytes", layer.weight_bytes}};
  if (layer.kv_bytes > 0) json["kvBytes"] = layer.kv_bytes;
  if (layer.flops > 0) json["flops"] = layer.flops;
  if (layer.count != 1) json["count"] = layer.count;
  return json;
}

absl::StatusOr<ModelSpec> ModelFromJson(const Json& json) {
  ModelSpec model;
  HET_ASSIGN_OR_RETURN(model.name, Text(json, "name"));
  HET_ASSIGN_OR_RETURN(model.activation_bytes, ModelBytes(json, "activationBytes"));
  uint64_t total = 0;
  HET_RETURN_IF_ERROR(ForEach(json, "layers", kMaxLayers, [&](const Json& entry) -> absl::Status {
    ModelLayer layer;
    HET_ASSIGN_OR_RETURN(layer.weight_bytes, ModelBytes(entry, "weightBytes"));
    HET_ASSIGN_OR_RETURN(layer.kv_bytes, ModelBytes(entry, "kvBytes"));
    HET_ASSIGN_OR_RETURN(layer.flops, Real(entry, "flops"));
    HET_ASSIGN_OR_RETURN(layer.count, Number(entry, "count", 1));
    if (layer.count == 0 || layer.count > kMaxLayers - total) {
      return InvalidField("count",
                          absl::StrCat("must be 1 or more, and ", kMaxLayers, " layers in all"));
    }
    total += layer.count;
    model.layers.push_back(layer);
    return absl::OkStatus();
  }));
  if (model.layers.empty()) return InvalidField("layers", "is empty; a model has layers");
  return model;
}

Json StageToJson(const ModelStage& stage) {
  Json json = {{"device", stage.device},
               {"sharePercent", ShareToJson(stage.share)},
               {"memoryBytes", stage.memory_bytes},
               {"begin", stage.begin},
               {"end", stage.end},
               {"ms", stage.ms}};
  if (!stage.lease.empty()) json["lease"] = stage.lease;
  return json;
}

}  // namespace

Json ToJson(const DaemonInfo& info) {
  Json json = {{"apiVersion", "het/v1"},  {"version", info.version},
               {"pid", info.pid},         {"uptimeSeconds", info.uptime_seconds},
               {"devices", info.devices}, {"leases", info.leases},
               {"waiting", info.waiting}, {"discovering", info.discovering}};
  if (!info.store_error.empty()) json["storeError"] = info.store_error;
  return json;
}

absl::StatusOr<DaemonInfo> DaemonInfoFromJson(const Json& json) {
  DaemonInfo info;
  HET_ASSIGN_OR_RETURN(info.version, Text(json, "version"));
  HET_ASSIGN_OR_RETURN(info.pid, Number(json, "pid"));
  HET_ASSIGN_OR_RETURN(info.uptime_seconds, Real(json, "uptimeSeconds"));
  HET_ASSIGN_OR_RETURN(info.devices, Number(json, "devices"));
  HET_ASSIGN_OR_RETURN(info.leases, Number(json, "leases"));
  HET_ASSIGN_OR_RETURN(info.waiting, Number(json, "waiting"));
  HET_ASSIGN_OR_RETURN(info.discovering, Flag(json, "discovering"));
  HET_ASSIGN_OR_RETURN(info.store_error, JsonString(json, "storeError"));
  return info;
}

Json ToJson(const DeviceRow& row) {
  Json json = ToJson(row.info);
  json["freeSharePercent"] = ShareToJson(row.free.share);
  json["freeMemoryBytes"] = row.free.memory_bytes;
  return json;
}

absl::StatusOr<DeviceRow> DeviceRowFromJson(const Json& json) {
  DeviceRow row;
  HET_ASSIGN_OR_RETURN(row.info, DeviceInfoFromJson(json));
  HET_ASSIGN_OR_RETURN(row.free.share, Percent(json, "freeSharePercent", 0));
  HET_ASSIGN_OR_RETURN(row.free.memory_bytes, Number(json, "freeMemoryBytes"));
  return row;
}

namespace {

Json UsageToJson(const SliceUsage& usage) {
  Json json = {{"usedNs", usage.used_ns},           {"launches", usage.launches},
               {"memoryBytes", usage.memory_bytes}, {"inFlight", usage.in_flight},
               {"waiting", usage.waiting},          {"processes", usage.processes}};
  for (const auto& [reason, ns] : usage.throttled_ns) json["throttledNs"][reason] = ns;
  if (!usage.waiting_for.empty()) json["waitingFor"] = usage.waiting_for;
  return json;
}

absl::StatusOr<SliceUsage> UsageFromJson(const Json& json) {
  SliceUsage usage;
  const auto it = json.find("usage");
  if (it == json.end()) return usage;
  if (!it->is_object()) return InvalidField("usage", "must be an object");
  HET_ASSIGN_OR_RETURN(usage.used_ns, Number(*it, "usedNs"));
  HET_ASSIGN_OR_RETURN(usage.launches, Number(*it, "launches"));
  HET_ASSIGN_OR_RETURN(usage.memory_bytes, Number(*it, "memoryBytes"));
  HET_ASSIGN_OR_RETURN(usage.in_flight, Number(*it, "inFlight"));
  HET_ASSIGN_OR_RETURN(usage.waiting, Number(*it, "waiting"));
  HET_ASSIGN_OR_RETURN(usage.processes, Number(*it, "processes"));
  HET_ASSIGN_OR_RETURN(usage.waiting_for, Text(*it, "waitingFor"));
  const auto throttled = it->find("throttledNs");
  if (throttled == it->end()) return usage;
  if (!throttled->is_object()) return InvalidField("throttledNs", "must be an object");
  for (const auto& [reason, ns] : throttled->items()) {
    if (!ns.is_number_unsigned()) return InvalidField("throttledNs", "must have whole numbers");
    usage.throttled_ns.emplace_back(reason, ns.get<uint64_t>());
  }
  return usage;
}

}  // namespace

Json ToJson(const SliceRow& row) {
  Json json = het::ToJson(row.slice);
  json["enforcement"] = {{"compute", row.enforcement.compute}, {"memory", row.enforcement.memory}};
  json["usage"] = UsageToJson(row.usage);
  json["lease"] = row.lease;
  json["tenant"] = row.tenant;
  json["state"] = std::string(LeaseStateName(row.state));
  return json;
}

absl::StatusOr<SliceRow> SliceRowFromJson(const Json& json) {
  SliceRow row;
  HET_ASSIGN_OR_RETURN(row.slice, SliceFromJson(json));
  HET_ASSIGN_OR_RETURN(row.lease, Text(json, "lease"));
  HET_ASSIGN_OR_RETURN(row.tenant, Text(json, "tenant"));
  HET_ASSIGN_OR_RETURN(const std::string state, Text(json, "state", "tried"));
  HET_ASSIGN_OR_RETURN(row.state, ParseLeaseState(state));
  if (const auto it = json.find("enforcement"); it != json.end()) {
    if (!it->is_object()) return InvalidField("enforcement", "must be an object");
    HET_ASSIGN_OR_RETURN(row.enforcement.compute, JsonString(*it, "compute"));
    HET_ASSIGN_OR_RETURN(row.enforcement.memory, JsonString(*it, "memory"));
  }
  HET_ASSIGN_OR_RETURN(row.usage, UsageFromJson(json));
  return row;
}

Json ToJson(const AcquireRequest& request) {
  Json json = {{"slices", Json::array()}};
  PutTerms(request.terms, json);
  for (const SliceRequest& slice : request.slices) json["slices"].push_back(ToJson(slice));
  return json;
}

absl::StatusOr<AcquireRequest> AcquireRequestFromJson(const Json& json) {
  AcquireRequest request;
  HET_ASSIGN_OR_RETURN(request.terms, TermsFromJson(json));
  HET_RETURN_IF_ERROR(
      ForEach(json, "slices", kMaxSlicesPerRequest, [&](const Json& entry) -> absl::Status {
        HET_ASSIGN_OR_RETURN(SliceRequest slice, SliceRequestFromJson(entry));
        request.slices.push_back(std::move(slice));
        return absl::OkStatus();
      }));
  if (request.slices.empty()) {
    return InvalidField("slices", "is missing or empty; ask for at least one slice");
  }
  return request;
}

namespace {

Json RefsToJson(const std::vector<LeaseRef>& refs) {
  Json json = Json::array();
  for (const LeaseRef& ref : refs) {
    Json entry = {{"id", ref.id}};
    if (ref.generation > 0) entry["generation"] = ref.generation;
    json.push_back(std::move(entry));
  }
  return json;
}

absl::StatusOr<std::vector<LeaseRef>> RefsFromJson(const Json& json) {
  std::vector<LeaseRef> refs;
  HET_RETURN_IF_ERROR(
      ForEach(json, "leases", kMaxSlicesPerRequest, [&](const Json& entry) -> absl::Status {
        LeaseRef ref;
        HET_ASSIGN_OR_RETURN(ref.id, Text(entry, "id"));
        if (ref.id.empty()) return InvalidField("id", "is missing; it is a lease's UUID");
        HET_ASSIGN_OR_RETURN(ref.generation, Number(entry, "generation"));
        for (const LeaseRef& other : refs) {
          if (other.id == ref.id) return InvalidField("id", "names the same lease twice");
        }
        refs.push_back(std::move(ref));
        return absl::OkStatus();
      }));
  if (refs.empty()) {
    return InvalidField("leases", "is missing or empty; name at least one lease");
  }
  return refs;
}

}  // namespace

Json ToJson(const LeaseChange& change) {
  Json json = {{"leases", RefsToJson(change.leases)}};
  if (!change.transaction.empty()) json = {{"transaction", change.transaction}};
  if (!change.request_id.empty()) json["requestId"] = change.request_id;
  if (change.ttl_ms > 0) json["ttlMs"] = static_cast<uint64_t>(change.ttl_ms);
  return json;
}

absl::StatusOr<LeaseChange> LeaseChangeFromJson(const Json& json) {
  LeaseChange change;
  HET_ASSIGN_OR_RETURN(change.request_id, Text(json, "requestId"));
  HET_ASSIGN_OR_RETURN(change.ttl_ms, Millis(json, "ttlMs"));
  HET_ASSIGN_OR_RETURN(change.transaction, Text(json, "transaction"));
  if (change.transaction.empty()) {
    HET_ASSIGN_OR_RETURN(change.leases, RefsFromJson(json));
  } else if (json.contains("leases")) {
    return InvalidField("leases", "is all of the transaction; name one or the other");
  }
  return change;
}

Json ToJson(const ResizeRequest& request) {
  Json json = {{"leases", RefsToJson(request.leases)}};
  if (!request.request_id.empty()) json["requestId"] = request.request_id;
  if (request.share) json["sharePercent"] = ShareToJson(*request.share);
  if (request.memory_bytes) json["memoryBytes"] = *request.memory_bytes;
  if (request.priority) json["priority"] = std::string(PriorityName(*request.priority));
  return json;
}

absl::StatusOr<ResizeRequest> ResizeRequestFromJson(const Json& json) {
  ResizeRequest request;
  HET_ASSIGN_OR_RETURN(request.request_id, Text(json, "requestId"));
  HET_ASSIGN_OR_RETURN(request.leases, RefsFromJson(json));
  if (json.contains("sharePercent")) {
    HET_ASSIGN_OR_RETURN(request.share, Percent(json, "sharePercent", 0));
  }
  if (json.contains("memoryBytes")) {
    HET_ASSIGN_OR_RETURN(request.memory_bytes, Number(json, "memoryBytes"));
  }
  if (json.contains("priority")) {
    HET_ASSIGN_OR_RETURN(const std::string priority, Text(json, "priority"));
    HET_ASSIGN_OR_RETURN(request.priority, ParsePriority(priority));
  }
  if (!request.share && !request.memory_bytes && !request.priority) {
    return InvalidField("sharePercent",
                        "is missing, and so are memoryBytes and priority; give one");
  }
  return request;
}

Json ToJson(const ModelRequest& request) {
  Json layers = Json::array();
  for (const ModelLayer& layer : request.model.layers) layers.push_back(LayerToJson(layer));
  Json json = {{"model",
                {{"name", request.model.name},
                 {"layers", std::move(layers)},
                 {"activationBytes", request.model.activation_bytes}}},
               {"objective", request.objective},
               {"maxSharePercent", ShareToJson(request.max_share)}};
  if (request.wait_ms > 0) json["waitMs"] = static_cast<uint64_t>(request.wait_ms);
  PutTerms(request.terms, json);
  return json;
}

absl::StatusOr<ModelRequest> ModelRequestFromJson(const Json& json) {
  ModelRequest request;
  HET_ASSIGN_OR_RETURN(request.terms, TermsFromJson(json));
  const auto model = json.find("model");
  if (model == json.end() || !model->is_object()) {
    return InvalidField("model", "is missing; it is {\"name\",\"layers\",\"activationBytes\"}");
  }
  absl::StatusOr<ModelSpec> spec = ModelFromJson(*model);
  if (!spec.ok()) return WithFieldPrefix(spec.status(), "model");
  request.model = *std::move(spec);
  HET_ASSIGN_OR_RETURN(request.objective, Text(json, "objective", "throughput"));
  if (request.objective != "throughput" && request.objective != "latency") {
    return InvalidField("objective", "must be \"throughput\" or \"latency\"");
  }
  HET_ASSIGN_OR_RETURN(request.max_share, Percent(json, "maxSharePercent", 100));
  if (request.max_share.parts() < kSmallestShareParts) {
    return InvalidField("maxSharePercent", "must be 1 to 100");
  }
  HET_ASSIGN_OR_RETURN(request.wait_ms, Millis(json, "waitMs"));
  return request;
}

Json ToJson(const ModelPlan& plan) {
  Json stages = Json::array();
  for (const ModelStage& stage : plan.stages) stages.push_back(StageToJson(stage));
  return {{"stages", std::move(stages)},
          {"bottleneckMs", plan.bottleneck_ms},
          {"latencyMs", plan.latency_ms},
          {"optimal", plan.optimal},
          {"inFlight", plan.in_flight}};
}

absl::StatusOr<ModelPlan> ModelPlanFromJson(const Json& json) {
  ModelPlan plan;
  HET_RETURN_IF_ERROR(ForEach(json, "stages", kMaxLayers, [&](const Json& entry) -> absl::Status {
    ModelStage stage;
    HET_ASSIGN_OR_RETURN(stage.device, Text(entry, "device"));
    HET_ASSIGN_OR_RETURN(stage.lease, Text(entry, "lease"));
    HET_ASSIGN_OR_RETURN(stage.share, Percent(entry, "sharePercent", 0));
    HET_ASSIGN_OR_RETURN(stage.memory_bytes, Number(entry, "memoryBytes"));
    HET_ASSIGN_OR_RETURN(stage.begin, Number(entry, "begin"));
    HET_ASSIGN_OR_RETURN(stage.end, Number(entry, "end"));
    HET_ASSIGN_OR_RETURN(stage.ms, Real(entry, "ms"));
    plan.stages.push_back(std::move(stage));
    return absl::OkStatus();
  }));
  HET_ASSIGN_OR_RETURN(plan.bottleneck_ms, Real(json, "bottleneckMs"));
  HET_ASSIGN_OR_RETURN(plan.latency_ms, Real(json, "latencyMs"));
  HET_ASSIGN_OR_RETURN(plan.optimal, Flag(json, "optimal"));
  HET_ASSIGN_OR_RETURN(plan.in_flight, Number(json, "inFlight", 1));
  return plan;
}

Json LeasesToJson(const std::vector<Lease>& leases, int64_t now_boottime) {
  Json list = Json::array();
  for (const Lease& lease : leases) list.push_back(ToJson(lease, now_boottime));
  return list;
}

absl::StatusOr<std::vector<Lease>> LeasesFromJson(const Json& json, int64_t now_boottime) {
  std::vector<Lease> leases;
  HET_RETURN_IF_ERROR(ForEach(json, "leases", SIZE_MAX, [&](const Json& entry) -> absl::Status {
    HET_ASSIGN_OR_RETURN(Lease lease, LeaseFromJson(entry, now_boottime));
    leases.push_back(std::move(lease));
    return absl::OkStatus();
  }));
  return leases;
}

}  // namespace het::protocol
