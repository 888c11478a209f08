// ReadMachine: the topology of this machine, or of a captured one, through hwloc.
//
// hwloc's plugins that load vendor libraries (CUDA, NVML, ROCm SMI, Level Zero, OpenCL, GL) are
// kept out: het's own backends look at devices, each in a process of its own. Threads: any.
#ifndef HET_DEVICES_MACHINE_READ_MACHINE_H_
#define HET_DEVICES_MACHINE_READ_MACHINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "devices/topology.h"

namespace het {

// `xml`: hwloc's XML file; empty: this machine. Unavailable when hwloc cannot load it.
absl::StatusOr<Topology> ReadMachine(const std::string& xml = "");

}  // namespace het

#endif  // HET_DEVICES_MACHINE_READ_MACHINE_H_
