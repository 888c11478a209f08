#include "engine/slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/error.h"

namespace hetllm {
namespace {

using ::testing::HasSubstr;

TEST(Slices, ReadsSharesAndMemory) {
  const auto specs = ParseSlices("cpu:50%:1GiB, opencl:30,abcd");
  ASSERT_EQ(specs.size(), 3u);
  EXPECT_EQ(specs[0].device, "cpu");
  EXPECT_EQ(specs[0].share, 5000u);
  EXPECT_EQ(specs[0].memory_bytes, 1u << 30);
  EXPECT_EQ(specs[1].device, "opencl");
  EXPECT_EQ(specs[1].share, 3000u);
  EXPECT_EQ(specs[1].memory_bytes, 0u);
  EXPECT_EQ(specs[2].device, "abcd");
  EXPECT_EQ(specs[2].share, 10000u);
}

TEST(Slices, ReadsSizes) {
  EXPECT_EQ(ParseBytes("1000"), 1000u);
  EXPECT_EQ(ParseBytes("2 MiB"), 2u << 20);
  EXPECT_EQ(ParseBytes("1.5g"), 3ull << 29);
  EXPECT_EQ(ParseBytes("2GB"), 2000000000u);
  for (const char* wrong : {"", "MiB", "-1", "0", "1 parsec", "1e30G", "nan"}) {
    EXPECT_THROW(ParseBytes(wrong), Error) << wrong;
  }
}

TEST(Slices, RefusesWhatItCannotReadAsUsage) {
  for (const char* wrong : {"", ",", "cpu:0%", "cpu:101%", "cpu:x", "cpu:50%%", "cpu:1%:1G:2",
                            ":50%", "cpu:50%:lots"}) {
    try {
      ParseSlices(wrong);
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.exit(), Exit::kUsage) << wrong;
    }
  }
}

het_device_info Device(const char* id, const char* backend, const char* vendor, const char* name,
                       bool usable = true) {
  auto info = het::api::Init<het_device_info>();
  info.id = id;
  info.backend = backend;
  info.vendor = vendor;
  info.name = name;
  info.flags = usable ? HET_DEVICE_USABLE : 0;
  info.state = usable ? "ok" : "unsupported";
  info.reason = usable ? "" : "no driver";
  return info;
}

std::vector<het_device_info> Node() {
  return {Device("11112222-aaaa", "cpu", "AMD", "AMD EPYC"),
          Device("11113333-bbbb", "opencl", "The pocl project", "pthread-haswell-AMD EPYC"),
          Device("44445555-cccc", "opencl", "Mesa", "llvmpipe (rusticl)"),
          Device("66667777-dddd", "cuda", "NVIDIA", "T4", false)};
}

TEST(Slices, FindsDevicesByIdPrefixBackendNameAndVendor) {
  const auto devices = Node();
  EXPECT_EQ(ResolveDevice("cpu", devices), "11112222-aaaa");
  EXPECT_EQ(ResolveDevice("4444", devices), "44445555-cccc");
  EXPECT_EQ(ResolveDevice("POCL", devices), "11113333-bbbb");
  EXPECT_EQ(ResolveDevice("RustiCL", devices), "44445555-cccc");
  EXPECT_EQ(ResolveDevice("11113333-BBBB", devices), "11113333-bbbb");
}

TEST(Slices, RefusesAmbiguousUnknownAndUnusableDevices) {
  const auto devices = Node();
  const auto refusal = [&](const char* wanted) {
    try {
      return ResolveDevice(wanted, devices);
    } catch (const Error& error) {
      return Cat(static_cast<int>(error.exit()), ' ', error.what());
    }
  };
  EXPECT_THAT(refusal("opencl"), AllOf(HasSubstr("2 '"), HasSubstr("means 2 devices"),
                                       HasSubstr("pocl"), HasSubstr("rusticl")));
  EXPECT_THAT(refusal("1111"), HasSubstr("means 2 devices"));
  EXPECT_THAT(refusal("tpu"), AllOf(HasSubstr("4 there is no device 'tpu'"), HasSubstr("Mesa")));
  EXPECT_THAT(refusal("nvidia"), AllOf(HasSubstr("4 "), HasSubstr("no driver")));
}

}  // namespace
}  // namespace hetllm
