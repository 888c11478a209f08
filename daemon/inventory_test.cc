#include "daemon/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/uuid.h"
#include "daemon/pci_devices.h"
#include "daemon/test_directory.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

DeviceInfo Device(const std::string& uuid, const std::string& backend) {
  DeviceInfo device;
  device.uuid = uuid;
  device.name = "model of " + uuid;
  device.backend = backend;
  device.vendor = "NVIDIA";
  device.kind = DeviceKind::kGpu;
  device.compute_units = 4;
  device.memory_bytes = uint64_t{1} << 34;
  return device;
}

TEST(ParseProbe, ReadsDevicesAndTheReasonForNone) {
  const auto devices = ParseProbe("cpu", R"({"backend":"cpu","devices":[{"id":"d","name":"n"}]})");
  ASSERT_TRUE(devices.ok()) << devices.status();
  EXPECT_EQ(devices->devices.front().uuid, "d");
  const auto none = ParseProbe("opencl", R"({"backend":"opencl","unavailable":"no library"})");
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->unavailable, "no library");
}

TEST(ParseProbe, GivesADeviceWithoutIdentityOne) {
  const auto probe = ParseProbe("x", R"({"devices":[{"name":"a"},{"name":"b"}]})");
  ASSERT_TRUE(probe.ok()) << probe.status();
  EXPECT_TRUE(IsUuid(probe->devices[0].uuid));
  EXPECT_NE(probe->devices[0].uuid, probe->devices[1].uuid);
}

TEST(ParseProbe, RefusesNonsense) {
  for (const char* text : {"", "{", "[]", "{}", R"({"devices":7})", R"({"devices":[7]})",
                           R"({"devices":[{"id":7}]})"}) {
    EXPECT_FALSE(ParseProbe("x", text).ok()) << text;
  }
}

TEST(MergeInventory, ListsABackendWithoutDriver) {
  ProbeResult probe;
  probe.backend = "opencl";
  probe.unavailable = "libOpenCL.so.1 is not there; install ocl-icd-libopencl1";
  const auto merged = MergeInventory({probe}, {}, {});
  ASSERT_EQ(merged.size(), 1u);
  EXPECT_EQ(merged[0].state, DeviceState::kUnsupported);
  EXPECT_THAT(merged[0].reason, HasSubstr("install ocl-icd"));
}

TEST(MergeInventory, KeepsTheDevicesOfABackendThatHangsAsDegraded) {
  ProbeResult good;
  good.backend = "x";
  good.devices = {Device("d", "x")};
  const auto before = MergeInventory({good}, {}, {});
  ProbeResult hung;
  hung.backend = "x";
  hung.failure = "the probe did not answer";
  const auto after = MergeInventory({hung}, {}, before);
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0].uuid, "d");
  EXPECT_EQ(after[0].state, DeviceState::kDegraded);
  const auto healed = MergeInventory({good}, {}, after);
  EXPECT_EQ(healed[0].state, DeviceState::kOk) << "healthy again without a restart";
}

TEST(MergeInventory, TellsWhatWasRemovedFromWhatIsLost) {
  ProbeResult both;
  both.backend = "x";
  both.devices = {Device("d", "x"), Device("e", "x")};
  const auto before = MergeInventory({both}, {}, {});
  ProbeResult one = both;
  one.devices.pop_back();
  const auto after = MergeInventory({one}, {}, before);
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[0].state, DeviceState::kOk);
  EXPECT_EQ(after[1].uuid, "e");
  EXPECT_EQ(after[1].state, DeviceState::kRemoved);
  ProbeResult hung;
  hung.backend = "x";
  hung.failure = "the probe did not answer";
  const auto failed = MergeInventory({hung}, {}, after);
  EXPECT_EQ(failed[0].state, DeviceState::kDegraded);
  EXPECT_EQ(failed[1].state, DeviceState::kRemoved) << "a driver that fails brings nothing back";
  EXPECT_EQ(MergeInventory({both}, {}, after)[1].state, DeviceState::kOk);
}

TEST(MergeInventory, ListsABackendWhoseDriverWasRemovedWithItsDevices) {
  ProbeResult good;
  good.backend = "x";
  good.devices = {Device("d", "x")};
  ProbeResult gone;
  gone.backend = "x";
  gone.unavailable = "the driver is not there";
  const auto after = MergeInventory({gone}, {}, MergeInventory({good}, {}, {}));
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[0].state, DeviceState::kRemoved);
  EXPECT_EQ(after[1].state, DeviceState::kUnsupported);
}

TEST(MergeInventory, GivesAHungBackendThatNeverHadADeviceALine) {
  ProbeResult hung;
  hung.backend = "x";
  hung.failure = "the probe did not answer";
  const auto once = MergeInventory({hung}, {}, {});
  ASSERT_EQ(once.size(), 1u);
  EXPECT_EQ(once[0].state, DeviceState::kDegraded);
  EXPECT_EQ(MergeInventory({hung}, {}, once).size(), 1u);
}

TEST(MergeInventory, KeepsOneOfTwoDevicesWithOneIdentity) {
  ProbeResult first, second;
  first.backend = "x";
  first.devices = {Device("d", "x")};
  second.backend = "y";
  second.devices = {Device("d", "y")};
  const auto merged = MergeInventory({first, second}, {}, {});
  ASSERT_EQ(merged.size(), 1u);
  EXPECT_EQ(merged[0].backend, "x");
}

class PciTest : public testing::Test {
 protected:
  void Add(const std::string& address, const char* pci_class, const char* vendor,
           const char* device) {
    directory_.Write(address + "/class", std::string(pci_class) + "\n");
    directory_.Write(address + "/vendor", std::string(vendor) + "\n");
    directory_.Write(address + "/device", std::string(device) + "\n");
  }
  TestDirectory directory_;
};

TEST_F(PciTest, ListsAcceleratorsWithoutADriver) {
  Add("0000:01:00.0", "0x030200", "0x10de", "0x20b0");
  Add("0000:02:00.0", "0x120000", "0x8086", "0x7d1d");
  Add("0000:03:00.0", "0x020000", "0x10de", "0x0001");  // a network card
  Add("0000:04:00.0", "0x030000", "0x1234", "0x1111");  // an emulated display
  directory_.Write("0000:05:00.0/class", "nonsense");
  std::filesystem::create_directory_symlink("/drivers/nouveau",
                                            directory_.path() + "/0000:01:00.0/driver");
  const auto devices = ScanPciDevices(directory_.path());
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].vendor, "NVIDIA");
  EXPECT_EQ(devices[0].state, DeviceState::kUnsupported);
  EXPECT_EQ(devices[0].attributes.at("pciId"), "10de:20b0");
  EXPECT_EQ(devices[0].attributes.at("kernelDriver"), "nouveau");
  EXPECT_THAT(devices[0].remedy, HasSubstr("NVIDIA's driver"));
  EXPECT_EQ(devices[1].kind, DeviceKind::kNpu);
  EXPECT_TRUE(ScanPciDevices("/nonexistent").empty());
}

TEST_F(PciTest, IsSilentAboutWhatABackendSees) {
  Add("0000:01:00.0", "0x030200", "0x10de", "0x20b0");
  Add("0000:02:00.0", "0x030200", "0x1002", "0x74a1");
  ProbeResult probe;
  probe.backend = "opencl";
  probe.devices = {Device("d", "opencl")};
  const auto merged = MergeInventory({probe}, ScanPciDevices(directory_.path()), {});
  ASSERT_EQ(merged.size(), 2u);
  EXPECT_EQ(merged[1].vendor, "AMD");
}

TEST_F(PciTest, ListsAcceleratorsOfEveryBusOnce) {
  Add("bus/0000:02:00.0", "0x120000", "0x8086", "0x7d1d");
  Add("bus/0000:03:00.0", "0x088000", "0x1e52", "0x401e");  // its class says nothing
  directory_.Write("soc/7d00000.npu/uevent", "");
  for (const auto& [node, device] : {std::pair{"accel0", "bus/0000:02:00.0"},
                                     {"accel1", "bus/0000:03:00.0"},
                                     {"accel2", "soc/7d00000.npu"}}) {
    directory_.Write(std::string("accel/") + node + "/dev", "");
    std::filesystem::create_directory_symlink(directory_.path() + "/" + device,
                                              directory_.path() + "/accel/" + node + "/device");
  }
  std::vector<DeviceInfo> bus = ScanPciDevices(directory_.path() + "/bus");
  ASSERT_EQ(bus.size(), 1u);
  for (const DeviceInfo& device : ScanAccelDevices(directory_.path() + "/accel"))
    bus.push_back(device);
  const auto merged = MergeInventory({}, bus, {});
  ASSERT_EQ(merged.size(), 3u);
  EXPECT_EQ(merged[0].vendor, "Intel");
  EXPECT_EQ(merged[1].vendor, "Tenstorrent");
  EXPECT_EQ(merged[2].name, "accelerator 7d00000.npu");
  EXPECT_EQ(merged[2].state, DeviceState::kUnsupported);
  EXPECT_TRUE(ScanAccelDevices("/nonexistent").empty());
}

}  // namespace
}  // namespace het::daemon
