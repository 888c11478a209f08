// DrawTopology: the devices of a node under the NUMA nodes they sit at, and the matrix of the links
// between them, as text. Pure.
#ifndef HET_TOOLS_HETCTL_DRAW_TOPOLOGY_H_
#define HET_TOOLS_HETCTL_DRAW_TOPOLOGY_H_

#include <string>
#include <vector>

#include "base/json.h"
#include "devices/device_info.h"
#include "devices/topology.h"

namespace het::hetctl {

// `links`: rows as ListLinks gives them. Ends are numbered in the order of `devices`; "host" is the
// host's memory.
std::string DrawTopology(const Topology& topology, const std::vector<DeviceInfo>& devices,
                         const std::vector<Json>& links);

// The cards of a tree alone, as devices that nobody looked at, and what the tree says of their
// links: for machines that are not this one.
std::vector<DeviceInfo> DevicesOf(const Topology& topology);
std::vector<Json> LinksOf(const Topology& topology, const std::vector<DeviceInfo>& devices);

// "0-7,16": ascending.
std::string Ranges(std::vector<uint32_t> numbers);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_DRAW_TOPOLOGY_H_
