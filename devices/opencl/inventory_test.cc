#include "devices/opencl/inventory.h"

#include <gtest/gtest.h>

#include "devices/opencl/errors.h"

namespace het::opencl {
namespace {

TEST(Inventory, ReadsVersions) {
  EXPECT_EQ(VersionNumber("OpenCL 3.0 PoCL HSTR: pthread-x86_64"), 300);
  EXPECT_EQ(VersionNumber("OpenCL 1.1 Mesa 22.3.6"), 110);
  EXPECT_EQ(VersionNumber("OpenCL 3.0"), 300);
  EXPECT_EQ(VersionNumber("OpenGL 4.6"), 0);
  EXPECT_EQ(VersionNumber("OpenCL three"), 0);
  EXPECT_EQ(VersionNumber(""), 0);
}

TEST(Inventory, WritesVendorsOneWay) {
  EXPECT_EQ(VendorName("NVIDIA Corporation"), "NVIDIA");
  EXPECT_EQ(VendorName("Advanced Micro Devices, Inc."), "AMD");
  EXPECT_EQ(VendorName("AuthenticAMD"), "AMD");
  EXPECT_EQ(VendorName("Intel(R) Corporation"), "Intel");
  EXPECT_EQ(VendorName("Mesa/X.org"), "Mesa");
  EXPECT_EQ(VendorName("Acme"), "Acme");
  EXPECT_EQ(VendorName(""), "unknown");
}

Found Device(const char* uuid, bool driver_uuid, const char* name,
             DeviceState state = DeviceState::kOk) {
  Found found;
  found.info.uuid = uuid;
  found.info.name = name;
  found.info.state = state;
  found.driver_uuid = driver_uuid;
  return found;
}

TEST(Inventory, MergesTwoIcdsOfOneDeviceByTheDriversUuid) {
  const std::vector<Found> kept = WithoutDuplicates({
      Device("a", true, "old driver", DeviceState::kDegraded),
      Device("b", true, "another"),
      Device("a", true, "new driver"),
      Device("a", true, "third driver"),
      Device("c", false, "made from names"),
      Device("c", false, "made from names"),
  });
  ASSERT_EQ(kept.size(), 4u);
  EXPECT_EQ(kept[0].info.name, "new driver") << "a usable one is kept before a degraded one";
  EXPECT_EQ(kept[1].info.name, "another");
}

TEST(Inventory, MergesByHandleAndByPlaceOnTheBus) {
  Found first = Device("a", false, "from a library that is named twice");
  first.id = reinterpret_cast<cl_device_id>(0x10);
  Found again = Device("b", false, "the same");
  again.id = first.id;
  Found old_driver = Device("c", false, "a card by its old driver", DeviceState::kDegraded);
  old_driver.pci = "0000:03:00.0";
  Found new_driver = Device("d", false, "the card by its new driver");
  new_driver.pci = "0000:03:00.0";
  Found beside = Device("e", false, "the card beside it");
  beside.pci = "0000:04:00.0";
  const std::vector<Found> kept = WithoutDuplicates({first, again, old_driver, new_driver, beside});
  ASSERT_EQ(kept.size(), 3u);
  EXPECT_EQ(kept[0].info.uuid, "a");
  EXPECT_EQ(kept[1].info.uuid, "d");
  EXPECT_EQ(kept[2].info.uuid, "e");
}

TEST(Inventory, KeepsTheProcessorOfTwoDriversAndNotOfOneDriverTwice) {
  const auto processor = [](uintptr_t platform, const char* name, const char* version) {
    Found found = Device(name, false, "EPYC");
    found.is_cpu = true;
    found.platform = reinterpret_cast<cl_platform_id>(platform);
    found.id = reinterpret_cast<cl_device_id>(platform + 1);
    found.info.attributes["platform"] = name;
    found.info.driver_version = version;
    return found;
  };
  EXPECT_EQ(
      WithoutDuplicates({processor(0x10, "PoCL", "3.1"), processor(0x20, "PoCL", "3.1")}).size(),
      1u);
  EXPECT_EQ(
      WithoutDuplicates({processor(0x10, "PoCL", "3.1"), processor(0x20, "rusticl", "3.1")}).size(),
      2u);
}

TEST(Errors, GiveTheCanonicalCode) {
  EXPECT_EQ(ErrorStatus(CL_OUT_OF_RESOURCES, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorStatus(CL_INVALID_ARG_SIZE, "x").code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorStatus(-9999, "x").message(), "x: OpenCL error -9999");
  EXPECT_TRUE(ErrorStatus(CL_SUCCESS, "x").ok());
  EXPECT_EQ(ExecutionStatus(CL_OUT_OF_RESOURCES, "x").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ExecutionStatus(-9999, "x").code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(ExecutionStatus(CL_COMPLETE, "x").ok());
}

}  // namespace
}  // namespace het::opencl
