// HostTopology: what the host's processors and memory are, as far as this process may use them.
//
// Sources: hwloc for the processors, the process's affinity (which a cpuset also narrows),
// /proc/meminfo and the memory cgroup (v1, v2 or none) for memory, /etc/machine-id for identity.
// All of it can be read from a captured tree instead, so that other machines are fixtures. Plain
// data; reading it is thread-safe and touches no device.
#ifndef HET_DEVICES_CPU_HOST_TOPOLOGY_H_
#define HET_DEVICES_CPU_HOST_TOPOLOGY_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace het::cpu {

struct HostSources {
  std::string root = {};            // in front of /proc, /sys and /etc; empty: this machine
  std::string topology_xml = {};    // hwloc's XML file; empty: this machine
  std::vector<uint32_t> only = {};  // processors to keep; empty: those this process may run on
};

struct HostTopology {
  std::string vendor;           // "AMD", "Intel", or as the processor says it
  std::string model;            // "AMD EPYC"
  std::vector<uint32_t> cores;  // logical processors (OS indices), ascending, that may be used
  uint32_t numa_node = 0;       // of the first of them
  // What slices may be cut from: the smaller of physical memory and the cgroup's limit, less a
  // reserve for the system and the process itself, in whole MiB. The reserve is 1/16 of it, at
  // least 256 MiB and at most 8 GiB, and never more than a quarter. It does not depend on what is
  // free now, so every process and every boot see the same figure.
  uint64_t memory_bytes = 0;
  std::string uuid;  // from the machine's id and the model
  // "packages", "numaNodes", "physicalCores", "l3Bytes": worth showing.
  std::map<std::string, std::string> attributes;
};

// Unavailable when the machine does not tell (no /proc, hwloc fails) or leaves no processor.
absl::StatusOr<HostTopology> ReadHostTopology(const HostSources& sources = {});

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_HOST_TOPOLOGY_H_
