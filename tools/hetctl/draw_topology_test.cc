#include "tools/hetctl/draw_topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace het::hetctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Topology TwoNodes() {
  Topology topology;
  topology.machine = "m";
  topology.nodes = {{0, {0, 1, 2, 3}, uint64_t{1} << 34}, {1, {4, 5, 7}, 0}};
  topology.pci.push_back(
      {"0000:84:00.0", "10de:20b0", "NVIDIA", "A100", {"nvml0"}, 1, {}, {}, 31.5e9});
  return topology;
}

std::vector<DeviceInfo> TwoDevices() {
  std::vector<DeviceInfo> devices(2);
  devices[0].uuid = "c";
  devices[0].name = "EPYC";
  devices[0].backend = "cpu";
  devices[0].cores = {0, 1, 2, 3};
  devices[1].uuid = "g";
  devices[1].name = "A100";
  devices[1].backend = "cuda";
  devices[1].attributes["pciAddress"] = "0000:84:00.0";
  return devices;
}

TEST(DrawTopology, PutsDevicesUnderTheirNodes) {
  const std::string text = DrawTopology(TwoNodes(), TwoDevices(), {});
  EXPECT_EQ(text,
            "m\n"
            "├─ NUMA node 0  processors 0-3  16 GiB\n"
            "│  └─  1  cpu        EPYC  processors 0-3\n"
            "└─ NUMA node 1  processors 4-5,7\n"
            "   └─  2  cuda       A100  PCI 0000:84:00.0 (nvml0), 31.5 GB/s\n");
}

TEST(DrawTopology, TellsMeasuredLinksFromPromises) {
  const std::vector<Json> links = {
      {{"from", "c"},
       {"to", "g"},
       {"kind", "host memory"},
       {"bytesPerSecond", 1.2e10},
       {"latencySeconds", 8e-6},
       {"route", "host"}},
      {{"from", "g"}, {"to", "c"}, {"kind", "host memory"}, {"promisedBytesPerSecond", 3.15e10}}};
  const std::string text = DrawTopology(TwoNodes(), TwoDevices(), links);
  EXPECT_THAT(text, HasSubstr("12 8us"));
  EXPECT_THAT(text, HasSubstr("~31.5"));
  EXPECT_THAT(DrawTopology(TwoNodes(), TwoDevices(),
                           {{{"from", "c"}, {"to", "g"}, {"kind", "across NUMA nodes"}}}),
              HasSubstr("two nodes"))
      << "where nobody tells of a rate";
}

TEST(DrawTopology, LeavesUnusableDevicesOutOfTheMatrix) {
  auto devices = TwoDevices();
  devices[1].state = DeviceState::kDegraded;
  const std::string text = DrawTopology(TwoNodes(), devices, {{{"from", "c"}, {"to", "g"}}});
  EXPECT_THAT(text, HasSubstr("[degraded]"));
  EXPECT_THAT(text, Not(HasSubstr("from\\to")));
}

TEST(DrawTopology, DrawsAMachineThatIsOnlyAFile) {
  const auto devices = DevicesOf(TwoNodes());
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].name, "A100");
  EXPECT_TRUE(LinksOf(TwoNodes(), devices).empty());
}

TEST(Ranges, JoinsNeighbours) {
  EXPECT_EQ(Ranges({7, 1, 0, 2, 9, 8}), "0-2,7-9");
  EXPECT_EQ(Ranges({4}), "4");
  EXPECT_EQ(Ranges({}), "");
}

}  // namespace
}  // namespace het::hetctl
