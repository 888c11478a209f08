#include "devices/topology.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace het {
namespace {

absl::StatusOr<const Json*> ArrayOf(const Json& json, const char* field) {
  static const Json* const none = new Json(Json::array());
  const auto it = json.find(field);
  if (it == json.end()) return none;
  if (!it->is_array()) {
    return absl::InvalidArgumentError(absl::StrCat("field \"", field, "\" must be a list"));
  }
  return &*it;
}

absl::StatusOr<std::vector<uint32_t>> Numbers(const Json& json, const char* field) {
  HET_ASSIGN_OR_RETURN(const Json* list, ArrayOf(json, field));
  std::vector<uint32_t> numbers;
  for (const Json& entry : *list) {
    if (!entry.is_number_unsigned()) {
      return absl::InvalidArgumentError(absl::StrCat("field \"", field, "\" must hold numbers"));
    }
    numbers.push_back(entry.get<uint32_t>());
  }
  return numbers;
}

absl::StatusOr<std::vector<std::string>> Texts(const Json& json, const char* field) {
  HET_ASSIGN_OR_RETURN(const Json* list, ArrayOf(json, field));
  std::vector<std::string> texts;
  for (const Json& entry : *list) {
    if (!entry.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat("field \"", field, "\" must hold texts"));
    }
    texts.push_back(entry.get<std::string>());
  }
  return texts;
}

absl::StatusOr<NumaNode> NodeFromJson(const Json& json) {
  NumaNode node;
  HET_ASSIGN_OR_RETURN(node.id, JsonUint(json, "id"));
  HET_ASSIGN_OR_RETURN(node.memory_bytes, JsonUint(json, "memoryBytes"));
  HET_ASSIGN_OR_RETURN(node.cores, Numbers(json, "cores"));
  return node;
}

absl::StatusOr<PciPlace> PlaceFromJson(const Json& json) {
  PciPlace place;
  HET_ASSIGN_OR_RETURN(place.address, JsonString(json, "address"));
  HET_ASSIGN_OR_RETURN(place.ids, JsonString(json, "ids"));
  HET_ASSIGN_OR_RETURN(place.vendor, JsonString(json, "vendor"));
  HET_ASSIGN_OR_RETURN(place.model, JsonString(json, "model"));
  HET_ASSIGN_OR_RETURN(place.os_devices, Texts(json, "osDevices"));
  HET_ASSIGN_OR_RETURN(const double node, JsonNumber(json, "numaNode", -1));
  place.numa_node = static_cast<int32_t>(std::clamp(node, -1.0, 1e6));
  HET_ASSIGN_OR_RETURN(place.near_cores, Numbers(json, "nearCores"));
  HET_ASSIGN_OR_RETURN(place.bridges, Texts(json, "bridges"));
  HET_ASSIGN_OR_RETURN(place.bytes_per_s, JsonNumber(json, "bytesPerSecond"));
  return place;
}

absl::StatusOr<DirectLink> DirectFromJson(const Json& json) {
  DirectLink link;
  HET_ASSIGN_OR_RETURN(link.from, JsonString(json, "from"));
  HET_ASSIGN_OR_RETURN(link.to, JsonString(json, "to"));
  HET_ASSIGN_OR_RETURN(link.kind, JsonString(json, "kind"));
  HET_ASSIGN_OR_RETURN(link.bytes_per_s, JsonNumber(json, "bytesPerSecond"));
  return link;
}

template <typename Row, typename Parse>
absl::StatusOr<std::vector<Row>> Rows(const Json& json, const char* field, Parse parse) {
  HET_ASSIGN_OR_RETURN(const Json* list, ArrayOf(json, field));
  std::vector<Row> rows;
  for (const Json& entry : *list) {
    if (!entry.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat("field \"", field, "\" must hold objects"));
    }
    HET_ASSIGN_OR_RETURN(Row row, parse(entry));
    rows.push_back(std::move(row));
  }
  return rows;
}

// The best of the direct link between two addresses and the way over a switch both are linked to.
std::optional<DirectLink> DirectBetween(const Topology& topology, const std::string& a,
                                        const std::string& b) {
  std::optional<DirectLink> best;
  std::map<std::string, double> from_a, to_b;  // by switch
  const auto consider = [&best](DirectLink link) {
    if (link.bytes_per_s > (best ? best->bytes_per_s : 0)) best = std::move(link);
  };
  for (const DirectLink& link : topology.direct) {
    if (link.from == a && link.to == b) consider(link);
    if (link.from == a) from_a[link.to] += link.bytes_per_s;
    if (link.to == b) to_b[link.from] += link.bytes_per_s;
  }
  if (best) return best;
  // Bytes are spread over all switches (a DGX-2 has six per board), so their links add up.
  double through = 0;
  std::string kind;
  for (const auto& [middle, rate] : from_a) {
    const auto other = to_b.find(middle);
    if (other == to_b.end() || middle == a || middle == b) continue;
    // An end that another device is (a GPU in a ring) does not pass bytes on by itself.
    const bool is_device =
        std::any_of(topology.pci.begin(), topology.pci.end(),
                    [&middle = middle](const PciPlace& place) { return place.address == middle; });
    if (is_device) continue;
    through += std::min(rate, other->second);
  }
  for (const DirectLink& link : topology.direct) {
    if (link.from == a) kind = link.kind;
  }
  if (through > 0) return DirectLink{a, b, kind, through};
  return std::nullopt;
}

constexpr std::array<std::pair<LinkKind, absl::string_view>, 6> kLinkKinds = {
    {{LinkKind::kSame, "same silicon"},
     {LinkKind::kDirect, "direct"},
     {LinkKind::kPcieSwitch, "PCIe switch"},
     {LinkKind::kPcieHost, "PCIe, one NUMA node"},
     {LinkKind::kCrossNuma, "across NUMA nodes"},
     {LinkKind::kHost, "host memory"}}};

}  // namespace

absl::string_view LinkKindName(LinkKind kind) {
  for (const auto& [known, name] : kLinkKinds) {
    if (known == kind) return name;
  }
  return "unknown";
}

std::string CanonicalPciAddress(absl::string_view text) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  if (parts.size() == 2) parts.insert(parts.begin(), "0");
  if (parts.size() != 3) return "";
  const std::vector<absl::string_view> slot = absl::StrSplit(parts[2], '.');
  uint32_t domain = 0, bus = 0, device = 0, function = 0;
  if (slot.size() != 2 || !absl::SimpleHexAtoi(parts[0], &domain) ||
      !absl::SimpleHexAtoi(parts[1], &bus) || !absl::SimpleHexAtoi(slot[0], &device) ||
      !absl::SimpleHexAtoi(slot[1], &function) || bus > 0xff || device > 0x1f || function > 7) {
    return "";
  }
  return absl::StrFormat("%04x:%02x:%02x.%x", domain, bus, device, function);
}

const PciPlace* FindPlace(const Topology& topology, const DeviceInfo& device) {
  const auto own = device.attributes.find("pciAddress");
  if (own == device.attributes.end()) return nullptr;
  const std::string address = CanonicalPciAddress(own->second);
  for (const PciPlace& place : topology.pci) {
    if (place.address == address) return &place;
  }
  return nullptr;
}

std::optional<uint32_t> NumaNodeOf(const Topology& topology, const DeviceInfo& device) {
  if (const PciPlace* place = FindPlace(topology, device)) {
    if (place->numa_node >= 0) return static_cast<uint32_t>(place->numa_node);
    return std::nullopt;
  }
  std::optional<uint32_t> best;
  size_t most = 0;
  for (const NumaNode& node : topology.nodes) {
    size_t inside = 0;
    for (const uint32_t core : device.cores) {
      inside += std::count(node.cores.begin(), node.cores.end(), core);
    }
    if (inside > most) {
      most = inside;
      best = node.id;
    }
  }
  return best;
}

LinkPath PathBetween(const Topology& topology, const DeviceInfo& a, const DeviceInfo& b) {
  const auto shares = [](const DeviceInfo& one, const DeviceInfo& other) {
    return std::count(one.shares_hardware_with.begin(), one.shares_hardware_with.end(),
                      other.uuid) > 0;
  };
  if (a.uuid == b.uuid || shares(a, b) || shares(b, a)) return {LinkKind::kSame, "", 0};
  const PciPlace* from = FindPlace(topology, a);
  const PciPlace* to = FindPlace(topology, b);
  if (from == nullptr || to == nullptr) {
    const PciPlace* card = from != nullptr ? from : to;
    return {LinkKind::kHost, "", card == nullptr ? 0 : card->bytes_per_s};
  }
  if (from->address == to->address) return {LinkKind::kSame, "", 0};
  if (auto direct = DirectBetween(topology, from->address, to->address)) {
    return {LinkKind::kDirect, direct->kind, direct->bytes_per_s};
  }
  const double slower = std::min(from->bytes_per_s, to->bytes_per_s);
  size_t common = 0;
  while (common < from->bridges.size() && common < to->bridges.size() &&
         from->bridges[common] == to->bridges[common]) {
    ++common;
  }
  if (common >= 2) return {LinkKind::kPcieSwitch, "", slower};  // the first is the host's own
  if (common == 1 || (from->numa_node >= 0 && from->numa_node == to->numa_node)) {
    return {LinkKind::kPcieHost, "", slower};
  }
  return {LinkKind::kCrossNuma, "", slower};
}

void PlaceDevices(const Topology& topology, std::vector<DeviceInfo>& devices) {
  for (DeviceInfo& device : devices) {
    if (device.simulated) continue;
    if (const auto node = NumaNodeOf(topology, device)) device.numa_node = *node;
    const PciPlace* place = FindPlace(topology, device);
    if (place == nullptr) continue;
    std::string object = absl::StrCat("PCI ", place->address);
    if (!place->os_devices.empty()) {
      absl::StrAppend(&object, " (", absl::StrJoin(place->os_devices, ", "), ")");
    }
    device.attributes["hwlocObject"] = std::move(object);
    if (place->bytes_per_s > 0) {
      device.attributes["pcieBytesPerSecond"] = absl::StrFormat("%.0f", place->bytes_per_s);
    }
  }
}

Json ToJson(const Topology& topology) {
  Json nodes = Json::array(), pci = Json::array(), direct = Json::array();
  for (const NumaNode& node : topology.nodes) {
    nodes.push_back({{"id", node.id}, {"cores", node.cores}, {"memoryBytes", node.memory_bytes}});
  }
  for (const PciPlace& place : topology.pci) {
    Json entry = {{"address", place.address}, {"ids", place.ids}, {"bridges", place.bridges}};
    if (!place.vendor.empty()) entry["vendor"] = place.vendor;
    if (!place.model.empty()) entry["model"] = place.model;
    if (!place.os_devices.empty()) entry["osDevices"] = place.os_devices;
    if (place.numa_node >= 0) entry["numaNode"] = place.numa_node;
    if (!place.near_cores.empty()) entry["nearCores"] = place.near_cores;
    if (place.bytes_per_s > 0) entry["bytesPerSecond"] = place.bytes_per_s;
    pci.push_back(std::move(entry));
  }
  for (const DirectLink& link : topology.direct) {
    direct.push_back({{"from", link.from},
                      {"to", link.to},
                      {"kind", link.kind},
                      {"bytesPerSecond", link.bytes_per_s}});
  }
  return {{"machine", topology.machine},
          {"nodes", nodes},
          {"nodeLatency", topology.node_latency},
          {"pci", pci},
          {"direct", direct}};
}

absl::StatusOr<Topology> TopologyFromJson(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("a topology must be a JSON object");
  Topology topology;
  HET_ASSIGN_OR_RETURN(topology.machine, JsonString(json, "machine"));
  HET_ASSIGN_OR_RETURN(topology.nodes, Rows<NumaNode>(json, "nodes", NodeFromJson));
  HET_ASSIGN_OR_RETURN(topology.pci, Rows<PciPlace>(json, "pci", PlaceFromJson));
  HET_ASSIGN_OR_RETURN(topology.direct, Rows<DirectLink>(json, "direct", DirectFromJson));
  HET_ASSIGN_OR_RETURN(const Json* rows, ArrayOf(json, "nodeLatency"));
  for (const Json& row : *rows) {
    if (!row.is_array()) return absl::InvalidArgumentError("\"nodeLatency\" must hold lists");
    std::vector<uint64_t> values;
    for (const Json& value : row) {
      if (!value.is_number_unsigned()) {
        return absl::InvalidArgumentError("\"nodeLatency\" must hold numbers");
      }
      values.push_back(value.get<uint64_t>());
    }
    topology.node_latency.push_back(std::move(values));
  }
  return topology;
}

Json ToJson(const MeasuredLink& link) {
  return {{"from", link.from},
          {"to", link.to},
          {"bytesPerSecond", link.bytes_per_s},
          {"latencySeconds", link.latency_s},
          {"route", link.route}};
}

absl::StatusOr<MeasuredLink> MeasuredLinkFromJson(const Json& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("a link must be a JSON object");
  MeasuredLink link;
  HET_ASSIGN_OR_RETURN(link.from, JsonString(json, "from"));
  HET_ASSIGN_OR_RETURN(link.to, JsonString(json, "to"));
  HET_ASSIGN_OR_RETURN(link.bytes_per_s, JsonNumber(json, "bytesPerSecond"));
  HET_ASSIGN_OR_RETURN(link.latency_s, JsonNumber(json, "latencySeconds"));
  HET_ASSIGN_OR_RETURN(link.route, JsonString(json, "route"));
  if (link.from.empty() || link.to.empty()) {
    return absl::InvalidArgumentError("a link without \"from\" or \"to\"");
  }
  return link;
}

}  // namespace het
