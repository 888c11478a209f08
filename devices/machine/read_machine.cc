#include "devices/machine/read_machine.h"

#include <hwloc.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/status.h"

namespace het {
namespace {

constexpr uint32_t kDisplayClass = 0x03;
constexpr uint32_t kAcceleratorClass = 0x12;
constexpr uint64_t kMaxXmlBytes = uint64_t{64} << 20;
constexpr double kBytesPerMegabyte = 1e6;  // hwloc's bandwidths are in MB/s, link speeds in GB/s
constexpr double kBytesPerGigabyte = 1e9;

struct Deleter {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using Tree = std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, Deleter>;

// The file's text. hwloc 2 refuses the files of hwloc 3 for their version alone: objects, PCI
// devices and distances, which are all that is read here, are written alike.
absl::StatusOr<std::string> ReadXml(const std::string& path) {
  HET_ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxXmlBytes));
  constexpr char kNewer[] = "<topology version=\"3.0\"";
  constexpr char kOlder[] = "<topology version=\"2.0\"";
  if (const size_t at = text.find(kNewer); at != std::string::npos) {
    text.replace(at, sizeof(kNewer) - 1, kOlder);
  }
  return text;
}

absl::StatusOr<Tree> Load(const std::string& xml) {
  std::string text;
  if (!xml.empty()) {
    HET_ASSIGN_OR_RETURN(text, ReadXml(xml));
  }
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return absl::UnavailableError("hwloc cannot be initialised");
  Tree tree(raw);
  for (const char* component : {"cuda", "nvml", "rsmi", "levelzero", "opencl", "gl"}) {
    hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, component);
  }
  hwloc_topology_set_io_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_ALL);
  if (!xml.empty() &&
      hwloc_topology_set_xmlbuffer(raw, text.c_str(), static_cast<int>(text.size() + 1)) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(xml, " is no hwloc topology"));
  }
  if (hwloc_topology_load(raw) != 0) {
    return absl::UnavailableError(
        absl::StrCat("hwloc cannot load the topology of ", xml.empty() ? "this machine" : xml));
  }
  return tree;
}

std::string InfoOf(hwloc_obj_t object, const char* key) {
  const char* value = hwloc_obj_get_info_by_name(object, key);
  return value ? std::string(absl::StripAsciiWhitespace(value)) : "";
}

std::vector<uint32_t> Members(hwloc_const_bitmap_t set) {
  std::vector<uint32_t> members;
  if (set == nullptr) return members;
  for (int at = hwloc_bitmap_first(set); at >= 0; at = hwloc_bitmap_next(set, at)) {
    members.push_back(static_cast<uint32_t>(at));
    if (members.size() > 65536) break;  // an infinite set
  }
  return members;
}

std::string AddressOf(const hwloc_obj_attr_u::hwloc_pcidev_attr_s& pci) {
  return absl::StrFormat("%04x:%02x:%02x.%x", pci.domain, pci.bus, pci.dev, pci.func);
}

// The PCI device an object is, or is a part of ("nvml0"); null for others.
hwloc_obj_t PciOf(hwloc_obj_t object) {
  while (object != nullptr && object->type != HWLOC_OBJ_PCI_DEVICE) object = object->parent;
  return object;
}

PciPlace PlaceOf(hwloc_topology_t tree, hwloc_obj_t object) {
  const hwloc_obj_attr_u::hwloc_pcidev_attr_s& pci = object->attr->pcidev;
  PciPlace place;
  place.address = AddressOf(pci);
  place.ids = absl::StrFormat("%04x:%04x", pci.vendor_id, pci.device_id);
  place.vendor = InfoOf(object, "PCIVendor");
  place.model = InfoOf(object, "PCIDevice");
  place.bytes_per_s = static_cast<double>(pci.linkspeed) * kBytesPerGigabyte;
  for (hwloc_obj_t child = object->io_first_child; child; child = child->next_sibling) {
    if (child->type != HWLOC_OBJ_OS_DEVICE || child->name == nullptr) continue;
    place.os_devices.emplace_back(child->name);
    // The vendor's own name of the card is better than the database's name of the chip.
    const std::string model = InfoOf(child, "GPUModel");
    if (!model.empty()) place.model = model;
    if (place.vendor.empty()) place.vendor = InfoOf(child, "GPUVendor");
  }
  for (hwloc_obj_t up = object->parent; up; up = up->parent) {
    if (up->type != HWLOC_OBJ_BRIDGE) continue;
    const auto& bridge = up->attr->bridge;
    place.bridges.push_back(bridge.upstream_type == HWLOC_OBJ_BRIDGE_PCI
                                ? AddressOf(bridge.upstream.pci)
                                : absl::StrFormat("host %04x:%02x", bridge.downstream.pci.domain,
                                                  bridge.downstream.pci.secondary_bus));
  }
  std::reverse(place.bridges.begin(), place.bridges.end());
  if (hwloc_obj_t near = hwloc_get_non_io_ancestor_obj(tree, object)) {
    place.near_cores = Members(near->cpuset);
    // A machine-wide locality on a machine of several nodes says nothing.
    const std::vector<uint32_t> nodes = Members(near->nodeset);
    if (nodes.size() == 1) place.numa_node = static_cast<int32_t>(nodes.front());
  }
  return place;
}

void ReadNodes(hwloc_topology_t tree, Topology& topology) {
  hwloc_obj_t object = nullptr;
  while ((object = hwloc_get_next_obj_by_type(tree, HWLOC_OBJ_NUMANODE, object)) != nullptr) {
    topology.nodes.push_back(
        {object->os_index, Members(object->cpuset), object->attr->numanode.local_memory});
  }
}

std::string KindOf(absl::string_view distances_name) {
  if (absl::StartsWith(distances_name, "NVLink")) return "nvlink";
  if (absl::StartsWith(distances_name, "XGMI")) return "xgmi";
  return absl::AsciiStrToLower(distances_name);
}

void ReadDistances(hwloc_topology_t tree, Topology& topology) {
  unsigned count = 0;
  hwloc_distances_get(tree, &count, nullptr, 0, 0);
  std::vector<hwloc_distances_s*> all(count);
  if (count == 0 || hwloc_distances_get(tree, &count, all.data(), 0, 0) != 0) return;
  for (hwloc_distances_s* distances : all) {
    const char* raw_name = hwloc_distances_get_name(tree, distances);
    const std::string name = raw_name == nullptr ? "" : raw_name;
    const unsigned n = distances->nbobjs;
    const bool is_bandwidth = (distances->kind & HWLOC_DISTANCES_KIND_MEANS_BANDWIDTH) != 0;
    if (!is_bandwidth && n > 0 && distances->objs[0] != nullptr &&
        distances->objs[0]->type == HWLOC_OBJ_NUMANODE) {
      topology.node_latency.assign(n, {});
      for (unsigned i = 0; i < n * n; ++i) {
        topology.node_latency[i / n].push_back(distances->values[i]);
      }
    }
    for (unsigned i = 0; is_bandwidth && i < n * n; ++i) {
      hwloc_obj_t from = PciOf(distances->objs[i / n]);
      hwloc_obj_t to = PciOf(distances->objs[i % n]);
      if (from == nullptr || to == nullptr || from == to || distances->values[i] == 0) continue;
      topology.direct.push_back({AddressOf(from->attr->pcidev), AddressOf(to->attr->pcidev),
                                 KindOf(name),
                                 static_cast<double>(distances->values[i]) * kBytesPerMegabyte});
    }
    hwloc_distances_release(tree, distances);
  }
}

std::string NameOf(hwloc_topology_t tree, bool is_captured) {
  hwloc_obj_t root = hwloc_get_root_obj(tree);
  for (const char* key : {"DMIProductName", "PlatformModel", "HostName"}) {
    const std::string name = InfoOf(root, key);
    if (!name.empty()) return name;
  }
  if (is_captured) return "captured machine";
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  return host;
}

}  // namespace

absl::StatusOr<Topology> ReadMachine(const std::string& xml) {
  HET_ASSIGN_OR_RETURN(const Tree tree, Load(xml));
  Topology topology;
  topology.machine = NameOf(tree.get(), !xml.empty());
  ReadNodes(tree.get(), topology);
  hwloc_obj_t object = nullptr;
  while ((object = hwloc_get_next_pcidev(tree.get(), object)) != nullptr) {
    const uint32_t base_class = object->attr->pcidev.class_id >> 8;
    if (base_class != kDisplayClass && base_class != kAcceleratorClass) continue;
    topology.pci.push_back(PlaceOf(tree.get(), object));
  }
  ReadDistances(tree.get(), topology);
  return topology;
}

}  // namespace het
