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

TEST(Inventory, MergesTwoIcdsOfOneDeviceOnlyByTheDriversUuid) {
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
