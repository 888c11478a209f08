#include "devices/device_info.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het {
namespace {

constexpr std::array<std::pair<DeviceKind, absl::string_view>, 4> kKinds = {
    {{DeviceKind::kCpu, "cpu"},
     {DeviceKind::kGpu, "gpu"},
     {DeviceKind::kNpu, "npu"},
     {DeviceKind::kAccelerator, "accelerator"}}};
constexpr std::array<std::pair<DeviceState, absl::string_view>, 4> kStates = {
    {{DeviceState::kOk, "ok"},
     {DeviceState::kDegraded, "degraded"},
     {DeviceState::kUnsupported, "unsupported"},
     {DeviceState::kRemoved, "removed"}}};

template <typename Enum, size_t N>
absl::string_view NameOf(const std::array<std::pair<Enum, absl::string_view>, N>& table,
                         Enum value) {
  for (const auto& [known, name] : table) {
    if (known == value) return name;
  }
  return "unknown";
}

template <typename Enum, size_t N>
absl::StatusOr<Enum> ByName(const std::array<std::pair<Enum, absl::string_view>, N>& table,
                            absl::string_view what, absl::string_view text) {
  for (const auto& [value, name] : table) {
    if (name == text) return value;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("field \"", what, "\": unknown value \"", text, "\""));
}

}  // namespace

absl::string_view DeviceKindName(DeviceKind kind) { return NameOf(kKinds, kind); }
absl::string_view DeviceStateName(DeviceState state) { return NameOf(kStates, state); }

Json ToJson(const DeviceInfo& info) {
  Json json = {{"id", info.uuid},
               {"vendor", info.vendor},
               {"name", info.name},
               {"backend", info.backend},
               {"kind", std::string(DeviceKindName(info.kind))},
               {"state", std::string(DeviceStateName(info.state))},
               {"memoryBytes", info.memory_bytes},
               {"computeUnits", info.compute_units},
               {"numaNode", info.numa_node},
               {"simulated", info.simulated},
               {"canSubDivide", info.can_sub_divide}};
  auto put = [&json](const char* key, const auto& value) {
    if (!value.empty()) json[key] = value;
  };
  put("driverVersion", info.driver_version);
  put("reason", info.reason);
  put("remedy", info.remedy);
  put("cores", info.cores);
  put("sharesHardwareWith", info.shares_hardware_with);
  put("attributes", info.attributes);
  if (info.memory_bytes_per_s > 0) json["memoryBytesPerSecond"] = info.memory_bytes_per_s;
  if (info.flops_per_s > 0) json["flopsPerSecond"] = info.flops_per_s;
  return json;
}

absl::StatusOr<DeviceInfo> DeviceInfoFromJson(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("a device must be a JSON object");
  DeviceInfo info;
  HET_ASSIGN_OR_RETURN(info.uuid, JsonString(json, "id"));
  if (info.uuid.empty()) return absl::InvalidArgumentError("a device without \"id\"");
  HET_ASSIGN_OR_RETURN(info.vendor, JsonString(json, "vendor"));
  HET_ASSIGN_OR_RETURN(info.name, JsonString(json, "name"));
  HET_ASSIGN_OR_RETURN(info.backend, JsonString(json, "backend"));
  HET_ASSIGN_OR_RETURN(info.driver_version, JsonString(json, "driverVersion"));
  HET_ASSIGN_OR_RETURN(const std::string kind, JsonString(json, "kind", "accelerator"));
  HET_ASSIGN_OR_RETURN(info.kind, ByName(kKinds, "kind", kind));
  HET_ASSIGN_OR_RETURN(const std::string state, JsonString(json, "state", "ok"));
  HET_ASSIGN_OR_RETURN(info.state, ByName(kStates, "state", state));
  HET_ASSIGN_OR_RETURN(info.reason, JsonString(json, "reason"));
  HET_ASSIGN_OR_RETURN(info.remedy, JsonString(json, "remedy"));
  HET_ASSIGN_OR_RETURN(info.simulated, JsonBool(json, "simulated"));
  HET_ASSIGN_OR_RETURN(info.can_sub_divide, JsonBool(json, "canSubDivide"));
  HET_ASSIGN_OR_RETURN(info.memory_bytes, JsonUint(json, "memoryBytes"));
  HET_ASSIGN_OR_RETURN(info.compute_units, JsonUint(json, "computeUnits"));
  HET_ASSIGN_OR_RETURN(info.numa_node, JsonUint(json, "numaNode"));
  HET_ASSIGN_OR_RETURN(info.memory_bytes_per_s, JsonNumber(json, "memoryBytesPerSecond"));
  HET_ASSIGN_OR_RETURN(info.flops_per_s, JsonNumber(json, "flopsPerSecond"));
  if (auto it = json.find("cores"); it != json.end()) {
    for (const Json& core : *it) {
      if (!core.is_number_unsigned())
        return absl::InvalidArgumentError("field \"cores\" must hold processor numbers");
      info.cores.push_back(core.get<uint32_t>());
    }
  }
  if (auto it = json.find("sharesHardwareWith"); it != json.end()) {
    for (const Json& uuid : *it) {
      if (!uuid.is_string())
        return absl::InvalidArgumentError("field \"sharesHardwareWith\" must hold device ids");
      info.shares_hardware_with.push_back(uuid.get<std::string>());
    }
  }
  if (auto it = json.find("attributes"); it != json.end()) {
    for (const auto& [key, value] : it->items()) {
      if (!value.is_string())
        return absl::InvalidArgumentError("field \"attributes\" must hold texts");
      info.attributes[key] = value.get<std::string>();
    }
  }
  return info;
}

}  // namespace het
