#include "tools/hetctl/draw_topology.h"

#include <algorithm>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/units.h"
#include "base/uuid.h"

namespace het::hetctl {
namespace {

constexpr size_t kWidestMatrix = 20;

std::string Rate(double bytes_per_s) { return absl::StrFormat("%.3g", bytes_per_s * 1e-9); }

// One line of a device, without its branch.
std::string Line(size_t number, const DeviceInfo& device, const Topology& topology) {
  std::string line = absl::StrFormat("%2d  %-10s %s", number, device.backend, device.name);
  if (device.state != DeviceState::kOk) {
    absl::StrAppend(&line, "  [", std::string(DeviceStateName(device.state)), "]");
  }
  if (const PciPlace* place = FindPlace(topology, device)) {
    absl::StrAppend(&line, "  PCI ", place->address);
    if (!place->os_devices.empty()) {
      absl::StrAppend(&line, " (", absl::StrJoin(place->os_devices, ", "), ")");
    }
    if (place->bytes_per_s > 0) absl::StrAppend(&line, ", ", Rate(place->bytes_per_s), " GB/s");
  } else if (!device.cores.empty()) {
    absl::StrAppend(&line, "  processors ", Ranges(device.cores));
  }
  return line;
}

std::string NodeLine(const NumaNode& node) {
  std::string line = absl::StrCat("NUMA node ", node.id);
  if (!node.cores.empty()) absl::StrAppend(&line, "  processors ", Ranges(node.cores));
  if (node.memory_bytes > 0) absl::StrAppend(&line, "  ", FormatBytes(node.memory_bytes));
  return line;
}

void DrawBranch(const std::string& head, const std::vector<std::string>& leaves, bool last,
                std::string& text) {
  absl::StrAppend(&text, last ? "└─ " : "├─ ", head, "\n");
  for (size_t i = 0; i < leaves.size(); ++i) {
    absl::StrAppend(&text, last ? "   " : "│  ", i + 1 == leaves.size() ? "└─ " : "├─ ", leaves[i],
                    "\n");
  }
}

std::string DrawTree(const Topology& topology, const std::vector<DeviceInfo>& devices) {
  std::map<uint32_t, std::vector<std::string>> by_node;
  std::vector<std::string> elsewhere;
  for (size_t i = 0; i < devices.size(); ++i) {
    const std::optional<uint32_t> node = NumaNodeOf(topology, devices[i]);
    (node ? by_node[*node] : elsewhere).push_back(Line(i + 1, devices[i], topology));
  }
  std::string text = absl::StrCat(topology.machine.empty() ? "node" : topology.machine, "\n");
  for (size_t i = 0; i < topology.nodes.size(); ++i) {
    const NumaNode& node = topology.nodes[i];
    const bool last = elsewhere.empty() && i + 1 == topology.nodes.size();
    DrawBranch(NodeLine(node), by_node[node.id], last, text);
  }
  if (!elsewhere.empty()) DrawBranch("place not known", elsewhere, true, text);
  return text;
}

// What a cell says: measured "GB/s us", else what the tree promises "~GB/s", else how near.
std::string Cell(const Json& link) {
  if (link.contains("bytesPerSecond")) {
    return absl::StrFormat("%s %.2gus", Rate(link.value("bytesPerSecond", 0.0)),
                           link.value("latencySeconds", 0.0) * 1e6);
  }
  const double promised = link.value("promisedBytesPerSecond", 0.0);
  const std::string kind = link.value("direct", "");
  if (!kind.empty()) return absl::StrCat(kind, " ~", Rate(promised));
  if (promised > 0) return absl::StrCat("~", Rate(promised));
  constexpr std::pair<LinkKind, const char*> kNear[] = {{LinkKind::kPcieSwitch, "one switch"},
                                                        {LinkKind::kPcieHost, "one node"},
                                                        {LinkKind::kCrossNuma, "two nodes"}};
  for (const auto& [known, text] : kNear) {
    if (link.value("kind", "") == LinkKindName(known)) return text;
  }
  return "?";
}

std::string DrawMatrix(const std::vector<std::string>& ends, const std::vector<Json>& links,
                       const std::map<std::string, std::string>& numbers) {
  std::map<std::pair<std::string, std::string>, std::string> cells;
  size_t width = 4;
  for (const Json& link : links) {
    const auto from = numbers.find(link.value("from", "")), to = numbers.find(link.value("to", ""));
    if (from == numbers.end() || to == numbers.end()) continue;
    std::string cell = link.value("kind", "") == LinkKindName(LinkKind::kSame) ? "=" : Cell(link);
    width = std::max(width, cell.size());
    cells[{from->second, to->second}] = std::move(cell);
  }
  std::string text = absl::StrFormat("%-8s", "from\\to");
  for (const std::string& end : ends) absl::StrAppendFormat(&text, "  %*s", width, end);
  text += "\n";
  for (const std::string& from : ends) {
    absl::StrAppendFormat(&text, "%-8s", from);
    for (const std::string& to : ends) {
      const auto cell = cells.find({from, to});
      absl::StrAppendFormat(&text, "  %*s", width, cell == cells.end() ? "-" : cell->second);
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string Ranges(std::vector<uint32_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  std::vector<std::string> parts;
  for (size_t begin = 0; begin < numbers.size();) {
    size_t end = begin;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) ++end;
    parts.push_back(begin == end ? absl::StrCat(numbers[begin])
                                 : absl::StrCat(numbers[begin], "-", numbers[end]));
    begin = end + 1;
  }
  return absl::StrJoin(parts, ",");
}

std::string DrawTopology(const Topology& topology, const std::vector<DeviceInfo>& devices,
                         const std::vector<Json>& links) {
  std::string text = DrawTree(topology, devices);
  std::vector<std::string> ends;
  std::map<std::string, std::string> numbers;  // by UUID
  bool measured = false, through_host = false, has_host = false;
  for (const Json& link : links) {
    measured |= link.contains("bytesPerSecond");
    through_host |= link.value("route", "") == "host";
    has_host |= link.value("to", "") == "host";
  }
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].state != DeviceState::kOk) continue;
    ends.push_back(absl::StrCat(i + 1));
    numbers[devices[i].uuid] = ends.back();
  }
  if (has_host) {
    ends.emplace_back("host");
    numbers["host"] = "host";
  }
  if (links.empty() || ends.size() < 2) return text;
  if (ends.size() > kWidestMatrix) {
    return absl::StrCat(text, "\nlinks between ", ends.size(), " ends: see -o json\n");
  }
  absl::StrAppend(&text, "\nlinks, GB/s one way", measured ? " and latency of 4 KiB" : "",
                  "; = one silicon, ~ what the machine promises and nobody measured",
                  through_host ? ", through the host's memory unless a kind is named" : "", "\n",
                  DrawMatrix(ends, links, numbers));
  return text;
}

std::vector<DeviceInfo> DevicesOf(const Topology& topology) {
  std::vector<DeviceInfo> devices;
  for (const PciPlace& place : topology.pci) {
    DeviceInfo device;
    device.uuid = UuidFromName(absl::StrCat("pci/", place.address));
    device.vendor = place.vendor;
    device.name = place.model.empty() ? place.ids : place.model;
    device.backend = "pci";
    device.kind = DeviceKind::kGpu;
    device.attributes["pciAddress"] = place.address;
    devices.push_back(std::move(device));
  }
  return devices;
}

std::vector<Json> LinksOf(const Topology& topology, const std::vector<DeviceInfo>& devices) {
  std::vector<Json> links;
  for (const DeviceInfo& from : devices) {
    for (const DeviceInfo& to : devices) {
      if (from.uuid == to.uuid) continue;
      const LinkPath path = PathBetween(topology, from, to);
      Json link = {
          {"from", from.uuid}, {"to", to.uuid}, {"kind", std::string(LinkKindName(path.kind))}};
      if (!path.direct.empty()) link["direct"] = path.direct;
      if (path.bytes_per_s > 0) link["promisedBytesPerSecond"] = path.bytes_per_s;
      links.push_back(std::move(link));
    }
  }
  return links;
}

}  // namespace het::hetctl
