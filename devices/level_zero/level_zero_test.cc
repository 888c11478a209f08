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

// Two cards of one driver, each with a queue and a buffer.
struct Opened {
  explicit Opened(Driver& driver, const DeviceInfo& info)
      : device(*driver.Open(info.uuid, {})),
        buffer(*device->Allocate(4096)),
        done(*device->CreateTimeline()),
        queue(*device->CreateQueue(QueueKind::kTransfer)) {}
  absl::Status FillAndWait(uint64_t value) {
    const absl::Status queued = queue->Fill(*buffer, 0, 4096, 7, {{}, {done, value}});
    return queued.ok() ? done->Wait(value, absl::Seconds(10)) : queued;
  }

  std::unique_ptr<Device> device;
  Ref<Buffer> buffer;
  Ref<Timeline> done;
  std::unique_ptr<Queue> queue;
};

TEST_F(LevelZero, ReachesOtherCardsWhereTheDriverSaysSo) {
  {
    Opened one(*driver_, devices_[0]), other(*driver_, devices_[2]);
    EXPECT_TRUE(one.device->Reaches(*other.device));
    EXPECT_EQ(one.device->native_handle(), other.device->native_handle()) << "one context";
    EXPECT_FALSE((*driver_->Open(devices_[3].uuid, {}))->Can(kPeerCopies)) << "an NPU";
  }
  Control("peers=0");
  Opened one(*driver_, devices_[0]), other(*driver_, devices_[2]);
  EXPECT_FALSE(one.device->Reaches(*other.device));
  EXPECT_EQ(one.queue->Copy(*one.buffer, 0, *other.buffer, 0, 4096).code(),
            absl::StatusCode::kInvalidArgument);
}

// What a queue waited for may be another device's.
TEST_F(LevelZero, ADeviceMayGoWhileAnotherHoldsItsEvents) {
  Opened one(*driver_, devices_[0]);
  {
    Opened other(*driver_, devices_[2]);
    ASSERT_TRUE(other.queue->Fill(*other.buffer, 0, 4096, 9, {{}, {other.done, 1}}).ok());
    const Fence filled[] = {{other.done, 1}};
    ASSERT_TRUE(
        one.queue->Copy(*other.buffer, 0, *one.buffer, 0, 4096, {filled, {one.done, 1}}).ok());
    ASSERT_TRUE(one.done->Wait(1, absl::Seconds(10)).ok());
  }
  EXPECT_TRUE(one.FillAndWait(2).ok());
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

TEST_F(LevelZero, ZzALostCardLeavesOthersOfItsContextAlone) {
  Opened lost(*driver_, devices_[1]), other(*driver_, devices_[2]);
  ASSERT_TRUE(lost.device->Reaches(*other.device));
  Control("fault=copy:lost:card=1");
  EXPECT_EQ(lost.FillAndWait(1).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(other.FillAndWait(1).ok());
  Control("");
  Opened later(*driver_, devices_[2]);
  EXPECT_TRUE(later.FillAndWait(1).ok()) << "opened in the same context after the loss";
}

}  // namespace
}  // namespace het::level_zero
