#include "devices/cpu/host_topology.h"

#include <hwloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <type_traits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"
#include "base/units.h"
#include "base/uuid.h"

namespace het::cpu {
namespace {

struct TopologyDeleter {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, TopologyDeleter>;

absl::StatusOr<Topology> Load(const HostSources& sources) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return absl::UnavailableError("hwloc cannot be initialised");
  Topology topology(raw);
  if (!sources.topology_xml.empty() &&
      hwloc_topology_set_xml(raw, sources.topology_xml.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot read hwloc topology ", sources.topology_xml));
  }
  if (hwloc_topology_load(raw) != 0) {
    return absl::UnavailableError(
        absl::StrCat("hwloc cannot load the topology of ",
                     sources.topology_xml.empty() ? "this machine" : sources.topology_xml));
  }
  return topology;
}

// The processors the process's main thread may run on. Threads of the caller may be bound more
// tightly for reasons of their own.
std::set<uint32_t> Affinity() {
  std::set<uint32_t> cores;
  for (int count = 1024; count <= 1 << 20; count *= 2) {
    cpu_set_t* set = CPU_ALLOC(count);
    if (set == nullptr) break;
    const size_t size = CPU_ALLOC_SIZE(count);
    CPU_ZERO_S(size, set);
    const bool done = sched_getaffinity(getpid(), size, set) == 0;
    const bool too_small = !done && errno == EINVAL;
    for (int core = 0; done && core < count; ++core) {
      if (CPU_ISSET_S(core, size, set)) cores.insert(core);
    }
    CPU_FREE(set);
    if (!too_small) break;
  }
  return cores;
}

std::string InfoOf(hwloc_obj_t object, const char* key) {
  const char* value = object ? hwloc_obj_get_info_by_name(object, key) : nullptr;
  return value ? std::string(absl::StripAsciiWhitespace(value)) : "";
}

std::string VendorName(const std::string& cpuid) {
  if (cpuid == "AuthenticAMD") return "AMD";
  if (cpuid == "GenuineIntel") return "Intel";
  if (cpuid == "HygonGenuine") return "Hygon";
  return cpuid.empty() ? "unknown" : cpuid;
}

// The value of a line "key : value" of /proc/cpuinfo or /proc/meminfo.
std::string FieldOf(absl::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (absl::StripAsciiWhitespace(parts.first) == key) {
      return std::string(absl::StripAsciiWhitespace(parts.second));
    }
  }
  return "";
}

// The tightest limit in `file` of a cgroup and those above it, or `limit`.
uint64_t WalkLimits(const std::string& mount, std::string path, absl::string_view file,
                    uint64_t limit) {
  for (;;) {
    const absl::StatusOr<std::string> text = ReadFile(absl::StrCat(mount, path, "/", file), 4096);
    uint64_t value = 0;  // "max" of v2 is no number, and the huge number of v1 is no limit
    if (text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &value) && value > 0) {
      limit = std::min(limit, value);
    }
    if (path.empty() || path == "/") return limit;
    path.erase(path.find_last_of('/'));
  }
}

uint64_t CgroupLimit(const std::string& root, uint64_t limit) {
  const absl::StatusOr<std::string> text = ReadFile(absl::StrCat(root, "/proc/self/cgroup"), kMiB);
  if (!text.ok()) return limit;
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const std::vector<absl::string_view> controllers = absl::StrSplit(parts[1], ',');
    const std::string fs = absl::StrCat(root, "/sys/fs/cgroup");
    if (parts[0] == "0" && parts[1].empty()) {
      limit = WalkLimits(fs, parts[2], "memory.max", limit);
    } else if (std::find(controllers.begin(), controllers.end(), "memory") != controllers.end()) {
      limit = WalkLimits(fs + "/memory", parts[2], "memory.limit_in_bytes", limit);
    }
  }
  return limit;
}

absl::StatusOr<uint64_t> MemoryBytes(const std::string& root) {
  HET_ASSIGN_OR_RETURN(const std::string meminfo,
                       ReadFile(absl::StrCat(root, "/proc/meminfo"), kMiB));
  uint64_t kib = 0;
  const std::string field = FieldOf(meminfo, "MemTotal");
  if (!absl::SimpleAtoi(field.substr(0, field.find(' ')), &kib) || kib == 0) {
    return absl::UnavailableError(absl::StrCat(root, "/proc/meminfo has no MemTotal"));
  }
  const uint64_t total = CgroupLimit(root, kib * kKiB);
  const uint64_t reserve = std::min(std::clamp(total / 16, 256 * kMiB, 8 * kGiB), total / 4);
  return (total - reserve) / kMiB * kMiB;
}

// What names this machine: the same in every process and after every boot. A host name is weak, but
// better than a device whose identity changes.
std::string MachineId(const std::string& root) {
  for (const char* path :
       {"/etc/machine-id", "/var/lib/dbus/machine-id", "/sys/class/dmi/id/product_uuid"}) {
    const absl::StatusOr<std::string> text = ReadFile(root + path, 4096);
    if (!text.ok()) continue;
    const std::string id(absl::StripAsciiWhitespace(*text));
    if (!id.empty() && id != "uninitialized") return id;
  }
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  return absl::StrCat("host/", host);
}

absl::Status ReadProcessors(const HostSources& sources, HostTopology& host) {
  HET_ASSIGN_OR_RETURN(const Topology topology, Load(sources));
  const std::set<uint32_t> affinity =
      sources.topology_xml.empty() ? Affinity() : std::set<uint32_t>();
  const std::set<uint32_t> only(sources.only.begin(), sources.only.end());
  hwloc_const_bitmap_t allowed = hwloc_topology_get_allowed_cpuset(topology.get());
  hwloc_obj_t first = nullptr;
  std::set<int> nodes;
  hwloc_obj_t unit = nullptr;
  while ((unit = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_PU, unit)) != nullptr) {
    if (!hwloc_bitmap_isset(allowed, unit->os_index)) continue;
    if (!affinity.empty() && affinity.count(unit->os_index) == 0) continue;
    if (!only.empty() && only.count(unit->os_index) == 0) continue;
    host.cores.push_back(unit->os_index);
    nodes.insert(hwloc_bitmap_first(unit->nodeset));
    if (first == nullptr || unit->os_index < first->os_index) first = unit;
  }
  if (first == nullptr) {
    return absl::UnavailableError(
        "no processor is left for the cpu device: those this process may run on and those asked "
        "for have none in common");
  }
  std::sort(host.cores.begin(), host.cores.end());
  const int node = hwloc_bitmap_first(first->nodeset);
  host.numa_node = node < 0 ? 0 : static_cast<uint32_t>(node);

  hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(topology.get(), HWLOC_OBJ_PACKAGE, first);
  hwloc_obj_t machine = hwloc_get_root_obj(topology.get());
  const auto info = [&](const char* key) {
    const std::string value = InfoOf(package, key);
    return value.empty() ? InfoOf(machine, key) : value;
  };
  host.vendor = VendorName(info("CPUVendor"));
  host.model = info("CPUModel");
  const auto count = [&](hwloc_obj_type_t type) {
    return std::to_string(std::max(0, hwloc_get_nbobjs_by_type(topology.get(), type)));
  };
  host.attributes["packages"] = count(HWLOC_OBJ_PACKAGE);
  host.attributes["physicalCores"] = count(HWLOC_OBJ_CORE);
  host.attributes["numaNodes"] = std::to_string(nodes.size());
  hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(topology.get(), HWLOC_OBJ_L3CACHE, first);
  if (l3 != nullptr) host.attributes["l3Bytes"] = std::to_string(l3->attr->cache.size);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HostTopology> ReadHostTopology(const HostSources& sources) {
  HostTopology host;
  HET_RETURN_IF_ERROR(ReadProcessors(sources, host));
  if (host.model.empty()) {
    const absl::StatusOr<std::string> cpuinfo =
        ReadFile(absl::StrCat(sources.root, "/proc/cpuinfo"), 64 * kMiB);
    if (cpuinfo.ok()) host.model = FieldOf(*cpuinfo, "model name");
  }
  if (host.model.empty()) host.model = "processor";
  HET_ASSIGN_OR_RETURN(host.memory_bytes, MemoryBytes(sources.root));
  host.uuid = UuidFromName(absl::StrCat("cpu/", MachineId(sources.root), "/", host.model));
  return host;
}

}  // namespace het::cpu
