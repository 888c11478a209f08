#include "devices/simulated/profile.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/units.h"
#include "base/uuid.h"

namespace het::simulated {
namespace {

constexpr char kDevice[] = R"(
[[device]]
name = "x"
vendor = "Acme"
memory = "8GiB"
compute_units = 10
memory_gb_per_s = 100
f32_tflops = 2
)";

std::string File(const std::string& text) {
  const std::string path = testing::TempDir() + "/het_profile.toml";
  std::ofstream(path) << text;
  return path;
}

std::string Shipped(const char* name) {
  return std::string(HET_SOURCE_DIR "/devices/simulated/profiles/") + name;
}

// The message of the error that `text` gives, which must be InvalidArgument.
std::string ErrorOf(const std::string& text) {
  const absl::Status status = LoadProfile(File(text)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status << "\n" << text;
  return std::string(status.message());
}

#define EXPECT_SAYS(message, what) \
  EXPECT_NE((message).find(what), std::string::npos) << "it says: " << (message)

TEST(Profile, DescribesADevice) {
  const Profile profile = *LoadProfile(File(std::string(kDevice) + R"(
model = "Acme X1"
kind = "npu"
launch_us = 3
link_latency_us = 2
link_gb_per_s = 10
[device.op.step]
batch = [1, 2]
ms = [10.0, 20]
)"));
  EXPECT_EQ(profile.name, "het_profile");
  EXPECT_EQ(profile.mode, Mode::kFunctional);
  ASSERT_EQ(profile.devices.size(), 1u);
  const DeviceModel& device = profile.devices[0];
  EXPECT_TRUE(device.info.simulated);
  EXPECT_EQ(device.info.vendor, "Acme (simulated)");
  EXPECT_EQ(device.info.name, "Acme X1 (simulated)");
  EXPECT_EQ(device.info.kind, DeviceKind::kNpu);
  EXPECT_EQ(device.info.memory_bytes, 8 * kGiB);
  EXPECT_EQ(device.info.compute_units, 10u);
  EXPECT_DOUBLE_EQ(device.info.memory_bytes_per_s, 1e11);
  EXPECT_DOUBLE_EQ(device.info.flops_per_s, 2e12);
  EXPECT_EQ(device.info.attributes.at("profile"), profile.path);
  EXPECT_TRUE(std::filesystem::path(profile.path).is_absolute());
  EXPECT_EQ(device.LaunchNanos("step", 3, {0, 0, 1.5}, 1), 45'000'000) << "three units";
  EXPECT_EQ(device.LaunchNanos("step", 1, {0, 0, 1}, 0.5), 20'000'000) << "on half the device";
}

TEST(Profile, CostsComeFromTheSlowerOfComputeAndMemory) {
  const DeviceModel device = LoadProfile(File(kDevice))->devices[0];
  const int64_t launch = device.LaunchNanos("any", 7, {}, 1);
  EXPECT_EQ(launch, 5'000) << "the default launch time, whatever the grid";
  EXPECT_EQ(device.LaunchNanos("any", 1, {2e9, 1, 0}, 1), launch + 1'000'000);
  EXPECT_EQ(device.LaunchNanos("any", 1, {1, 1e8, 0}, 1), launch + 1'000'000);
  EXPECT_EQ(device.LaunchNanos("any", 1, {1, 1e8, 0}, 0.25), launch + 4'000'000);
  EXPECT_EQ(device.LaunchNanos("any", 1, {-5, -5, -5}, 1), launch);
  EXPECT_EQ(device.LinkNanos(12'000'000, 1), 10'000 + 1'000'000);
  EXPECT_EQ(device.LinkNanos(12'000'000, 3), 3 * (10'000 + 1'000'000));
  EXPECT_EQ(device.MemoryNanos(1e8, 1), launch + 1'000'000);
}

TEST(Profile, StampsOutEqualDevicesWithIdentitiesOfTheirOwn) {
  const std::string text = std::string(kDevice) + "count = 3\n";
  const Profile first = *LoadProfile(File(text));
  const Profile second = *LoadProfile(File(text));
  ASSERT_EQ(first.devices.size(), 3u);
  std::set<std::string> uuids;
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(IsUuid(first.devices[i].info.uuid));
    EXPECT_EQ(first.devices[i].info.uuid, second.devices[i].info.uuid);
    EXPECT_EQ(first.devices[i].info.attributes.at("instance"), "x-" + std::to_string(i));
    uuids.insert(first.devices[i].info.uuid);
  }
  EXPECT_EQ(uuids.size(), 3u);
}

TEST(Profile, EveryErrorSaysWhere) {
  EXPECT_SAYS(ErrorOf("mode = \"timing\"\n[[device\n"), "het_profile.toml:2: ");
  EXPECT_SAYS(ErrorOf("mode = \"timing\"\n"), "there is no [[device]]");
  EXPECT_SAYS(ErrorOf("\nmode = \"fast\"\n"), "het_profile.toml:2: profile: mode \"fast\"");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "colour = 1\n"),
              "het_profile.toml:9: device \"x\": unknown key \"colour\"");
  EXPECT_SAYS(ErrorOf("[[device]]\nname = \"y\"\nvendor = \"v\"\n"), "device \"y\": compute_units");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "count = 0\n"), ":9: device \"x\": count");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "count = 2\nuuid = \"" + NewUuid() + "\"\n"),
              "do not go together");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "uuid = \"short\"\n"), ":9: device \"x\": uuid");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "kind = \"toaster\"\n"), "toaster");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "numa_node = \"a\"\n"), "numa_node must be a whole");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + kDevice), "is there already");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "[device.op.f]\nbatch = [1]\nms = [\"a\"]\n"),
              ":11: device \"x\", op f: ms");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "[device.op.f]\nbatch = [2, 1]\nms = [1, 1]\n"),
              "row 2");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "[device.op.f]\ncsv = \"not_there.csv\"\n"),
              "not_there.csv");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "[device.fault]\nlose = 1\n"), "lose_after_ops");
  EXPECT_SAYS(ErrorOf(std::string(kDevice) + "[device.fault]\nlink_slowdown = 0.5\n"),
              ":10: device \"x\", fault: link_slowdown");
  EXPECT_SAYS(ErrorOf("[[device]]\nname = \"x\"\nvendor = \"v\"\nmemory = \"lots\"\n"
                      "compute_units = 1\nmemory_gb_per_s = 1\nf32_tflops = 1\n"),
              ":4: device \"x\": memory");
  EXPECT_EQ(LoadProfile("/nowhere.toml").status().code(), absl::StatusCode::kNotFound);
}

TEST(Profile, ReadsFaults) {
  const Faults faults = LoadProfile(File(std::string(kDevice) + R"(
[device.fault]
lose_after_ops = 3
hang_after_ops = 4
lose_at_ms = 1.5
out_of_memory_after = "1MiB"
link_slowdown = 2
)"))
                            ->devices[0]
                            .faults;
  EXPECT_EQ(faults.lose_after_ops, 3u);
  EXPECT_EQ(faults.hang_after_ops, 4u);
  EXPECT_EQ(faults.lose_at_nanos, 1'500'000);
  EXPECT_EQ(faults.out_of_memory_after_bytes, kMiB);
  EXPECT_DOUBLE_EQ(faults.link_slowdown, 2);
  const Faults none = LoadProfile(File(kDevice))->devices[0].faults;
  EXPECT_FALSE(none.lose_after_ops || none.hang_after_ops || none.lose_at_nanos ||
               none.out_of_memory_after_bytes);
}

TEST(Profile, FindsTablesBesideTheFile) {
  std::ofstream(testing::TempDir() + "/het_beside.csv") << "0,0\n10,5\n";
  const Profile profile =
      *LoadProfile(File(std::string(kDevice) + "[device.op.f]\ncsv = \"het_beside.csv\"\n"));
  EXPECT_EQ(profile.devices[0].LaunchNanos("f", 1, {0, 0, 10}, 1), 5'000'000);
}

TEST(Profile, TheShippedOnesAreRight) {
  const Profile mixed = *LoadProfile(Shipped("mixed8.toml"));
  EXPECT_EQ(mixed.devices.size(), 18u);
  EXPECT_EQ(mixed.mode, Mode::kTiming);
  EXPECT_EQ(LoadProfile(Shipped("small-pair.toml"))->devices.size(), 2u);
}

TEST(Profile, TakesThePublishedLayerTimes) {
  const char* dir = std::getenv("HET_DATA_DIR");
  const std::string data = dir ? dir : HET_SOURCE_DIR "/../shared/data";
  if (!std::filesystem::exists(data + "/profiles/helix-llama2-70b")) {
    GTEST_SKIP() << "no published profiles here";
  }
  setenv("HET_DATA_DIR", data.c_str(), 1);
  const absl::StatusOr<Profile> profile = LoadProfile(Shipped("helix4.toml"));
  ASSERT_TRUE(profile.ok()) << profile.status();
  // A prompt of 500 tokens: 4, 10, 20 and 30 ms a layer, as published.
  const int64_t expected[] = {4, 10, 20, 30};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(profile->devices[i].LaunchNanos("prefill", 1, {0, 0, 500}, 1),
              expected[i] * 1'000'000);
  }
}

}  // namespace
}  // namespace het::simulated
