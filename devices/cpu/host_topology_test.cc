#include "devices/cpu/host_topology.h"

#include <gtest/gtest.h>
#include <hwloc.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "base/units.h"
#include "base/uuid.h"

namespace het::cpu {
namespace {

// A made-up root with what the tests put there.
class FakeRoot {
 public:
  FakeRoot() {
    std::string path = testing::TempDir() + "/het_rootXXXXXX";
    root_ = mkdtemp(path.data());
    Put("/proc/meminfo", "MemTotal:       67108864 kB\nMemFree:  1 kB\n");
    Put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
  }
  ~FakeRoot() { std::filesystem::remove_all(root_); }
  void Put(const std::string& path, const std::string& text) {
    const std::string full = root_ + path;
    std::filesystem::create_directories(std::filesystem::path(full).parent_path());
    ASSERT_TRUE(WriteFileAtomically(full, text).ok());
  }
  void Drop(const std::string& path) { std::filesystem::remove(root_ + path); }
  HostTopology Read() {
    const absl::StatusOr<HostTopology> host = ReadHostTopology({.root = root_});
    EXPECT_TRUE(host.ok()) << host.status();
    return host.value_or(HostTopology());
  }

 private:
  std::string root_;
};

// A capture of a machine that hwloc makes up from a description.
std::string Capture(const char* description) {
  const std::string path = testing::TempDir() + "/het_topology.xml";
  hwloc_topology_t topology = nullptr;
  hwloc_topology_init(&topology);
  hwloc_topology_set_synthetic(topology, description);
  hwloc_topology_load(topology);
  hwloc_obj_add_info(hwloc_get_root_obj(topology), "CPUVendor", "GenuineIntel");
  hwloc_obj_add_info(hwloc_get_root_obj(topology), "CPUModel", "Made-up 9000");
  EXPECT_EQ(hwloc_topology_export_xml(topology, path.c_str(), 0), 0);
  hwloc_topology_destroy(topology);
  return path;
}

TEST(HostTopology, ReadsThisMachine) {
  const absl::StatusOr<HostTopology> host = ReadHostTopology();
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_FALSE(host->cores.empty());
  EXPECT_FALSE(host->model.empty());
  EXPECT_TRUE(IsUuid(host->uuid));
  EXPECT_GT(host->memory_bytes, 128 * kMiB);
  EXPECT_EQ(host->memory_bytes % kMiB, 0u);
  EXPECT_EQ(ReadHostTopology()->uuid, host->uuid);
  EXPECT_EQ(ReadHostTopology()->memory_bytes, host->memory_bytes);
}

TEST(HostTopology, KeepsAReserveOfPhysicalMemory) {
  FakeRoot root;
  EXPECT_EQ(root.Read().memory_bytes, 60 * kGiB);
  root.Put("/proc/meminfo", "MemTotal:       1073741824 kB\n");
  EXPECT_EQ(root.Read().memory_bytes, 1016 * kGiB) << "at most 8 GiB";
  root.Put("/proc/meminfo", "MemTotal:       524288 kB\n");
  EXPECT_EQ(root.Read().memory_bytes, 384 * kMiB) << "never more than a quarter";
}

TEST(HostTopology, MindsTheTightestCgroupOfVersionTwo) {
  FakeRoot root;
  root.Put("/proc/self/cgroup", "0::/a.slice/b.service\n");
  root.Put("/sys/fs/cgroup/a.slice/memory.max", "17179869184\n");
  root.Put("/sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
  EXPECT_EQ(root.Read().memory_bytes, 15 * kGiB);
}

TEST(HostTopology, MindsTheCgroupOfVersionOne) {
  FakeRoot root;
  root.Put("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/jobs/7\n0::/\n");
  root.Put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  root.Put("/sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes", "8589934592\n");
  EXPECT_EQ(root.Read().memory_bytes, 8 * kGiB - 512 * kMiB);
}

TEST(HostTopology, IdentityFollowsTheMachine) {
  FakeRoot root;
  const std::string first = root.Read().uuid;
  EXPECT_EQ(root.Read().uuid, first);
  root.Put("/etc/machine-id", "ffffffffffffffffffffffffffffffff\n");
  EXPECT_NE(root.Read().uuid, first);
  root.Drop("/etc/machine-id");
  EXPECT_TRUE(IsUuid(root.Read().uuid)) << "the host name stands in";
}

TEST(HostTopology, SaysSoWhenThereIsNoMemoryFigure) {
  FakeRoot root;
  root.Drop("/proc/meminfo");
  EXPECT_FALSE(ReadHostTopology({.root = "/nowhere"}).ok());
}

TEST(HostTopology, KeepsOnlyTheProcessorsAskedFor) {
  const HostTopology all = *ReadHostTopology();
  const HostTopology one = *ReadHostTopology({.only = {all.cores.back()}});
  EXPECT_EQ(one.cores, std::vector<uint32_t>{all.cores.back()});
  EXPECT_EQ(ReadHostTopology({.only = {100'000}}).status().code(), absl::StatusCode::kUnavailable);
}

TEST(HostTopology, ReplaysACapturedMachine) {
  const std::string path = Capture("pack:2 [numa] l3:1(size=33554432) core:8 pu:2");
  const absl::StatusOr<HostTopology> host = ReadHostTopology({.topology_xml = path});
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_EQ(host->cores.size(), 32u);
  EXPECT_EQ(host->vendor, "Intel");
  EXPECT_EQ(host->model, "Made-up 9000");
  EXPECT_EQ(host->attributes.at("packages"), "2");
  EXPECT_EQ(host->attributes.at("physicalCores"), "16");
  EXPECT_EQ(host->attributes.at("numaNodes"), "2");
  EXPECT_EQ(host->attributes.at("l3Bytes"), "33554432");
  const HostTopology second = *ReadHostTopology({.topology_xml = path, .only = {16, 17, 99}});
  EXPECT_EQ(second.cores, (std::vector<uint32_t>{16, 17}));
  EXPECT_EQ(second.numa_node, 1u);
}

TEST(HostTopology, NamesTheCaptureItCannotRead) {
  const absl::Status status = ReadHostTopology({.topology_xml = "/nowhere.xml"}).status();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("/nowhere.xml"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace het::cpu
