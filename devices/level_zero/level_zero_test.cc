// The backend's own behaviour, on the soft driver behind the real loader (card 0 whole, card 1 with
// two tiles, card 2 plain, card 3 an NPU). Faults are set through the control file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/uuid.h"
#include "devices/level_zero/driver.h"

namespace het::level_zero {
namespace {

constexpr char kCards[] = "devices=3;npus=1;units=32;memory=1GiB;tiles.1=2;power=90;temperature=61";
const bool cards_are_set = setenv("HET_SOFT_LEVEL_ZERO", kCards, 1) == 0;

using ::testing::HasSubstr;

class LevelZero : public testing::Test {
 protected:
  void SetUp() override {
    auto driver = CreateDriver({});
    ASSERT_TRUE(driver.ok()) << driver.status();
    driver_ = *std::move(driver);
    auto devices = driver_->Enumerate();
    ASSERT_TRUE(devices.ok()) << devices.status();
    devices_ = *std::move(devices);
    ASSERT_EQ(devices_.size(), 4u);
  }
  void TearDown() override { Control(""); }

  static void Control(const std::string& text) {
    std::ofstream(std::getenv("HET_SOFT_LEVEL_ZERO_FILE")) << text;
    // The soft driver looks at the file a few times a second.
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }

  std::unique_ptr<Driver> driver_;
  std::vector<DeviceInfo> devices_;
};

TEST_F(LevelZero, DescribesCardsByWhatTheDriverSays) {
  const DeviceInfo& card = devices_[0];
  EXPECT_TRUE(IsUuid(card.uuid)) << card.uuid;
  EXPECT_EQ(card.vendor, "Intel");
  EXPECT_THAT(card.name, HasSubstr("soft")) << "it says what it is";
  EXPECT_EQ(card.kind, DeviceKind::kGpu);
  EXPECT_EQ(card.state, DeviceState::kOk);
  EXPECT_EQ(card.compute_units, 32u);
  EXPECT_EQ(card.memory_bytes, uint64_t{1} << 30);
  EXPECT_EQ(card.attributes.at("pciAddress"), "fffe:00:00.0");
  EXPECT_FALSE(card.can_sub_divide);
  EXPECT_NE(card.uuid, devices_[1].uuid);
}

TEST_F(LevelZero, AnNpuRunsGraphsAndNothingElse) {
  const DeviceInfo& npu = devices_[3];
  EXPECT_EQ(npu.kind, DeviceKind::kNpu);
  EXPECT_EQ(npu.state, DeviceState::kOk) << npu.reason;
  EXPECT_THAT(npu.attributes.at("runs"), HasSubstr("graphs"));
  auto device = driver_->Open(npu.uuid, {});
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_TRUE((*device)->Can(kRunsGraphs));
  EXPECT_FALSE((*device)->Can(kRunsPortable));
  const absl::Status kernels = (*device)
                                   ->Build({.name = "kernels",
                                            .portable = "HET_KERNEL void f(HET_BUFFER(0)) {}",
                                            .options = "",
                                            .native = {}})
                                   .status();
  EXPECT_EQ(kernels.code(), absl::StatusCode::kUnimplemented) << kernels;
}

TEST_F(LevelZero, ListsWhatItCannotUseWithTheReason) {
  Control("graphs=0\nspirv.0=0");
  const std::vector<DeviceInfo> now = *driver_->Enumerate();
  ASSERT_EQ(now.size(), 4u);
  EXPECT_EQ(now[3].state, DeviceState::kUnsupported);
  EXPECT_THAT(now[3].reason, HasSubstr("graph"));
  EXPECT_EQ(driver_->Open(now[3].uuid, {}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(now[0].state, DeviceState::kUnsupported) << "an incapable card";
  EXPECT_THAT(now[0].reason, HasSubstr("SPIR-V"));
  EXPECT_EQ(now[2].state, DeviceState::kOk) << "the one beside it is used";
  EXPECT_TRUE(driver_->Open(now[2].uuid, {}).ok());
}

TEST_F(LevelZero, SaysWhatTheDriverSaysOfAModule) {
  auto device = driver_->Open(devices_[2].uuid, {});
  ASSERT_TRUE(device.ok());
  Control("modules=refused");
  const absl::Status status =
      (*device)
          ->Build({.name = "fine",
                   .portable = "HET_KERNEL void f(HET_BUFFER(0)) { HET_PTR(uint, 0)[0] = 1; }",
                   .options = "",
                   .native = {}})
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("refused by its settings"));
}

TEST_F(LevelZero, OpensTilesEachOnce) {
  const DeviceInfo& card = devices_[1];
  ASSERT_TRUE(card.can_sub_divide);
  auto first = driver_->Open(card.uuid, {.cores = {}, .compute_units = 16});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ((*first)->info().compute_units, 16u);
  auto second = driver_->Open(card.uuid, {.cores = {}, .compute_units = 16});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE((*first)->info().attributes.at("tile"), (*second)->info().attributes.at("tile"));
  EXPECT_EQ(driver_->Open(card.uuid, {.cores = {}, .compute_units = 16}).status().code(),
            absl::StatusCode::kResourceExhausted);
  first->reset();
  EXPECT_TRUE(driver_->Open(card.uuid, {.cores = {}, .compute_units = 16}).ok());
  const absl::Status odd = driver_->Open(card.uuid, {.cores = {}, .compute_units = 5}).status();
  EXPECT_EQ(odd.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(odd.message()), HasSubstr("tiles of 16"));
}

TEST_F(LevelZero, SaysOutOfMemoryAsTheCardIs) {
  auto device = driver_->Open(devices_[0].uuid, {});
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_EQ((*device)->Allocate(uint64_t{2} << 30).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(LevelZero, ReadsItsSensors) {
  auto device = driver_->Open(devices_[0].uuid, {});
  ASSERT_TRUE(device.ok());
  const auto held = (*device)->Allocate(64 << 20);
  ASSERT_TRUE(held.ok()) << held.status();
  ASSERT_TRUE(driver_->Sample().ok());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto samples = driver_->Sample();
  ASSERT_TRUE(samples.ok()) << samples.status();
  const Telemetry& card = samples->front();
  EXPECT_EQ(card.uuid, devices_[0].uuid);
  EXPECT_EQ(card.memory_total_bytes, uint64_t{1} << 30);
  EXPECT_GE(card.memory_used_bytes.value_or(0), uint64_t{64} << 20);
  EXPECT_NEAR(card.power_watts.value_or(0), 90, 1) << "from two energy counters";
  EXPECT_EQ(card.temperature_celsius, 61);
  EXPECT_EQ(card.uncorrected_errors, 0u);
  EXPECT_FALSE(card.utilization_percent.has_value()) << "the soft card has no engine counter";
}

// Last: a card that was lost stays lost in its process.
TEST_F(LevelZero, ZzLosesACardInMidWork) {
  auto device = driver_->Open(devices_[0].uuid, {});
  ASSERT_TRUE(device.ok());
  auto buffer = (*device)->Allocate(4096);
  auto queue = (*device)->CreateQueue(QueueKind::kCompute);
  auto timeline = (*device)->CreateTimeline();
  ASSERT_TRUE(buffer.ok() && queue.ok() && timeline.ok());
  Control("fault=copy:ecc:card=0");
  const std::vector<char> bytes(4096);
  const absl::Status queued = (*queue)->Write(bytes.data(), **buffer, 0, bytes.size(),
                                              {.waits = {}, .signal = {*timeline, 1}});
  const absl::Status done = queued.ok() ? (*timeline)->Wait(1, absl::Seconds(10)) : queued;
  EXPECT_EQ(done.code(), absl::StatusCode::kDataLoss) << done;
  const auto samples = driver_->Sample();
  ASSERT_TRUE(samples.ok());
  EXPECT_THAT(samples->front().fault, HasSubstr("DEVICE_LOST"));
  EXPECT_EQ((*driver_->Enumerate())[0].state, DeviceState::kDegraded);
  EXPECT_EQ((*driver_->Enumerate())[1].state, DeviceState::kOk) << "the other card goes on";
}

}  // namespace
}  // namespace het::level_zero
