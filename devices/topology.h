// Topology: where the devices of one machine sit and what lies between them. Plain data, which
// het-probe reads through hwloc (devices/machine) and prints as JSON, and pure functions over it.
//
// A device is found in the tree by its PCI address (attributes["pciAddress"]), one of the host's
// processors by its cores. Nothing here fails: what the tree does not tell is empty or unknown.
#ifndef HET_DEVICES_TOPOLOGY_H_
#define HET_DEVICES_TOPOLOGY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "devices/device_info.h"

namespace het {

struct NumaNode {
  uint32_t id = 0;
  std::vector<uint32_t> cores;  // OS indices
  uint64_t memory_bytes = 0;
};

// A display controller or accelerator on the bus.
struct PciPlace {
  std::string address;  // "0000:84:00.0"
  std::string ids;      // "10de:1094", vendor and device
  std::string vendor;   // as the PCI database writes it; may be empty
  std::string model;
  std::vector<std::string> os_devices;  // "cuda0", "nvml0", "renderD128"
  int32_t numa_node = -1;               // -1: the machine does not tell
  std::vector<uint32_t> near_cores;
  std::vector<std::string> bridges;  // addresses, from the host bridge down
  double bytes_per_s = 0;            // of its PCIe link, each way; 0: not told
};

// What the tree says of a link of the vendor's own between two PCI devices.
struct DirectLink {
  std::string from, to;  // PCI addresses; a switch (NVSwitch) is a PCI device too
  std::string kind;      // "nvlink", "xgmi"
  double bytes_per_s = 0;
};

struct Topology {
  std::string machine;  // product or host name
  std::vector<NumaNode> nodes;
  std::vector<std::vector<uint64_t>> node_latency;  // relative (10: own memory); may be empty
  std::vector<PciPlace> pci;
  std::vector<DirectLink> direct;
};

// How bytes get from one device to another, the nearest way first.
enum class LinkKind {
  kSame,        // one silicon
  kDirect,      // the vendor's own link
  kPcieSwitch,  // a bridge below the host's
  kPcieHost,    // one NUMA node
  kCrossNuma,   // two NUMA nodes
  kHost,        // host memory on one side, or no place in the tree
};
absl::string_view LinkKindName(LinkKind kind);

struct LinkPath {
  LinkKind kind = LinkKind::kHost;
  std::string direct;      // "nvlink" where the kind is kDirect, also through a switch
  double bytes_per_s = 0;  // what the tree promises; 0: nothing
};

// Null: the tree has no such device.
const PciPlace* FindPlace(const Topology& topology, const DeviceInfo& device);
// The NUMA node of a device: its PCI place's, else that of most of its cores.
std::optional<uint32_t> NumaNodeOf(const Topology& topology, const DeviceInfo& device);
LinkPath PathBetween(const Topology& topology, const DeviceInfo& a, const DeviceInfo& b);
// Sets numa_node and the attributes "hwlocObject" and "pcieBytesPerSecond" of devices the tree has.
void PlaceDevices(const Topology& topology, std::vector<DeviceInfo>& devices);

// "0000:84:00.0" for every way of writing it ("84:00.0", "0:84:0.0", upper case); empty for what
// is no address.
std::string CanonicalPciAddress(absl::string_view text);

Json ToJson(const Topology& topology);
absl::StatusOr<Topology> TopologyFromJson(const Json& json);

// What was measured from one device to another; "host" stands for plain host memory.
struct MeasuredLink {
  std::string from, to;  // UUIDs
  double bytes_per_s = 0;
  double latency_s = 0;  // of 4 KiB
  std::string route;     // "host" (through staging memory), "peer" (one driver's copy), "shared"
};
Json ToJson(const MeasuredLink& link);
absl::StatusOr<MeasuredLink> MeasuredLinkFromJson(const Json& json);

}  // namespace het

#endif  // HET_DEVICES_TOPOLOGY_H_
