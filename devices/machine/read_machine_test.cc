// Captured machines are replayed; where the captures are not at hand those tests are skipped.
#include "devices/machine/read_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace het {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

DeviceInfo Card(const std::string& address) {
  DeviceInfo card;
  card.uuid = "at " + address;
  card.kind = DeviceKind::kGpu;
  card.attributes["pciAddress"] = address;
  return card;
}

class CapturedMachine : public testing::Test {
 protected:
  // False: skip.
  bool Load(const std::string& name) {
    const char* data = std::getenv("HET_DATA_DIR");
    const std::string path =
        std::string(data != nullptr ? data : HET_DATA_DEFAULT) + "/hwloc/" + name;
    if (!std::filesystem::exists(path)) return false;
    auto read = ReadMachine(path);
    EXPECT_TRUE(read.ok()) << read.status();
    if (read.ok()) topology_ = *std::move(read);
    return true;
  }
  Topology topology_;
};

#define LOAD_OR_SKIP(name) \
  if (!Load(name)) GTEST_SKIP() << "no captured machine " << name << "; set HET_DATA_DIR"

TEST_F(CapturedMachine, MixedNodeHasItsNvidiaAndAmdCardsOnOneNode) {
  LOAD_OR_SKIP("32em64t-2n8c2t-pci-wholeio.xml");
  EXPECT_EQ(topology_.machine, "X9DRG-HF");
  EXPECT_THAT(topology_.nodes, SizeIs(2));
  EXPECT_EQ(topology_.node_latency, (std::vector<std::vector<uint64_t>>{{10, 20}, {20, 10}}));
  const DeviceInfo nvidia = Card("0000:84:00.0"), amd = Card("84:00.1");
  const PciPlace* place = FindPlace(topology_, nvidia);
  ASSERT_NE(place, nullptr);
  EXPECT_EQ(place->ids, "10de:1094");
  EXPECT_EQ(place->model, "Tesla K40m");
  EXPECT_THAT(place->os_devices, testing::ElementsAre("cuda0", "card0"));
  ASSERT_NE(FindPlace(topology_, amd), nullptr);
  EXPECT_EQ(FindPlace(topology_, amd)->ids, "1002:6798");
  EXPECT_EQ(NumaNodeOf(topology_, nvidia), 1u);
  EXPECT_EQ(PathBetween(topology_, nvidia, amd).kind, LinkKind::kPcieSwitch) << "one root port";
}

TEST_F(CapturedMachine, MixedNodePlacesDevicesOfTheInventory) {
  LOAD_OR_SKIP("32em64t-2n8c2t-pci-wholeio.xml");
  std::vector<DeviceInfo> devices = {Card("0000:84:00.0"), {}, Card("0000:99:00.0")};
  devices[1].kind = DeviceKind::kCpu;
  devices[1].cores = topology_.nodes[0].cores;
  PlaceDevices(topology_, devices);
  EXPECT_EQ(devices[0].numa_node, 1u);
  EXPECT_THAT(devices[0].attributes.at("hwlocObject"), HasSubstr("cuda0"));
  EXPECT_EQ(devices[1].numa_node, 0u);
  EXPECT_EQ(devices[2].attributes.count("hwlocObject"), 0u) << "no such card";
  EXPECT_EQ(PathBetween(topology_, devices[0], devices[1]).kind, LinkKind::kHost);
}

TEST_F(CapturedMachine, PowerNodeHasNvlinkInPairsAndNoWayAcross) {
  LOAD_OR_SKIP("power8gpudistances.xml");
  EXPECT_EQ(topology_.machine, "PowerNV 8335-GTB");
  ASSERT_THAT(topology_.pci,
              testing::Contains(testing::Field(&PciPlace::ids, "10de:15f9")).Times(4));
  const DeviceInfo first = Card("0002:01:00.0"), second = Card("0003:01:00.0"),
                   third = Card("000a:01:00.0");
  const LinkPath pair = PathBetween(topology_, first, second);
  EXPECT_EQ(pair.kind, LinkKind::kDirect);
  EXPECT_EQ(pair.direct, "nvlink");
  EXPECT_DOUBLE_EQ(pair.bytes_per_s, 40e9);
  EXPECT_EQ(PathBetween(topology_, first, third).kind, LinkKind::kCrossNuma);
  EXPECT_NEAR(FindPlace(topology_, first)->bytes_per_s, 15.75e9, 0.01e9);
}

TEST_F(CapturedMachine, Dgx2CardsReachEachOtherThroughSwitches) {
  LOAD_OR_SKIP("nvidiaDGX2.xml");
  ASSERT_THAT(topology_.pci,
              testing::Contains(testing::Field(&PciPlace::ids, "10de:1db8")).Times(16));
  const LinkPath near = PathBetween(topology_, Card("0000:34:00.0"), Card("0000:36:00.0"));
  EXPECT_EQ(near.kind, LinkKind::kDirect);
  EXPECT_EQ(near.direct, "nvlink");
  EXPECT_GT(near.bytes_per_s, 100e9);
  int pairs = 0;
  for (const PciPlace& a : topology_.pci) {
    for (const PciPlace& b : topology_.pci) {
      if (a.ids != "10de:1db8" || b.ids != a.ids || a.address >= b.address) continue;
      ++pairs;
      EXPECT_NE(PathBetween(topology_, Card(a.address), Card(b.address)).kind, LinkKind::kHost);
    }
  }
  EXPECT_EQ(pairs, 16 * 15 / 2);
}

TEST_F(CapturedMachine, SurvivesItsJsonForm) {
  LOAD_OR_SKIP("nvidiaDGX2.xml");
  const auto again = TopologyFromJson(ToJson(topology_));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ToJson(*again), ToJson(topology_));
}

TEST(ReadMachine, ReadsThisMachine) {
  const auto topology = ReadMachine();
  ASSERT_TRUE(topology.ok()) << topology.status();
  ASSERT_FALSE(topology->nodes.empty());
  EXPECT_FALSE(topology->nodes.front().cores.empty());
  EXPECT_FALSE(topology->machine.empty());
}

TEST(ReadMachine, RefusesAFileThatIsNoTopology) {
  EXPECT_FALSE(ReadMachine("/nonexistent.xml").ok());
  EXPECT_FALSE(ReadMachine("/proc/self/cmdline").ok());
}

TEST(Topology, WritesPciAddressesOneWay) {
  EXPECT_EQ(CanonicalPciAddress("84:0.1"), "0000:84:00.1");
  EXPECT_EQ(CanonicalPciAddress("00000000:3B:00.0"), "0000:3b:00.0");
  for (const char* text : {"", "84", "x:y:z.0", "0:100:0.0", "0:0:20.0", "0:0:0.8", "0:0:0"}) {
    EXPECT_EQ(CanonicalPciAddress(text), "") << text;
  }
}

TEST(Topology, RefusesNonsense) {
  for (const char* text :
       {"[]", R"({"nodes":7})", R"({"nodes":[7]})", R"({"pci":[{"bridges":[1]}]})",
        R"({"nodeLatency":[["x"]]})", R"({"direct":[{"bytesPerSecond":"much"}]})"}) {
    EXPECT_FALSE(TopologyFromJson(*ParseJson(text)).ok()) << text;
  }
}

}  // namespace
}  // namespace het
