#include "daemon/model_acquire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "partition/refusal.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

DeviceInfo Gpu(const std::string& uuid, uint64_t memory_bytes, double bytes_per_s) {
  DeviceInfo device;
  device.uuid = uuid;
  device.name = uuid;
  device.backend = "fake";
  device.kind = DeviceKind::kGpu;
  device.memory_bytes = memory_bytes;
  device.memory_bytes_per_s = bytes_per_s;
  device.flops_per_s = 1e12;
  return device;
}

Ledger LedgerOf(std::vector<DeviceInfo> devices) {
  Ledger ledger;
  ledger.SetInventory(std::move(devices));
  return ledger;
}

protocol::ModelRequest Model(uint64_t layers, uint64_t bytes) {
  protocol::ModelRequest request;
  request.model.name = "m";
  request.model.layers = {{bytes, 0, 0, layers}};
  return request;
}

TEST(DecideModel, SplitsByMeasuredSpeed) {
  const Ledger ledger = LedgerOf({Gpu("fast", 8 * kGiB, 300e9), Gpu("slow", 8 * kGiB, 100e9)});
  const auto decision = DecideModel(Model(40, 100 * kMiB), ledger);
  ASSERT_TRUE(decision.ok()) << decision.status();
  ASSERT_EQ(decision->plan.stages.size(), 2u);
  for (const auto& stage : decision->plan.stages) {
    EXPECT_EQ(stage.end - stage.begin, stage.device == "fast" ? 30u : 10u);
    EXPECT_NEAR(stage.ms, 30 * 100 * 1.048576 / 300, 1e-6);
  }
  EXPECT_TRUE(decision->plan.optimal);
}

TEST(DecideModel, AsksForTheMemoryOfEachStage) {
  protocol::ModelRequest request = Model(10, 100 * kMiB);
  request.model.layers[0].kv_bytes = 20 * kMiB;
  request.model.activation_bytes = kMiB;
  const auto decision = DecideModel(request, LedgerOf({Gpu("a", 8 * kGiB, 100e9)}));
  ASSERT_TRUE(decision.ok()) << decision.status();
  ASSERT_EQ(decision->slices.size(), 1u);
  EXPECT_EQ(decision->slices[0].memory_bytes, (10 * 120 + kActivationBuffers) * kMiB);
  EXPECT_EQ(decision->slices[0].share, Share::Whole());
}

TEST(DecideModel, PlansOnlyWhatIsFree) {
  Ledger ledger = LedgerOf({Gpu("a", 8 * kGiB, 100e9), Gpu("b", 8 * kGiB, 100e9)});
  ASSERT_TRUE(ledger.TryAcquire({{"a", Share::OfPercent(75), kGiB, Policy::kGuaranteed}}).ok());
  const auto decision = DecideModel(Model(10, 100 * kMiB), ledger);
  ASSERT_TRUE(decision.ok()) << decision.status();
  for (const auto& stage : decision->plan.stages) {
    EXPECT_EQ(stage.share, stage.device == "a" ? Share::OfPercent(25) : Share::Whole());
    EXPECT_EQ(stage.end - stage.begin, stage.device == "a" ? 2u : 8u);
  }
  EXPECT_TRUE(ledger.TryAcquire(decision->slices).ok());
}

TEST(DecideModel, CountsFlopsWhereTheyBind) {
  protocol::ModelRequest request = Model(10, kMiB);
  request.model.layers[0].flops = 1e9;  // 1 ms at 1e12
  const auto decision = DecideModel(request, LedgerOf({Gpu("a", 8 * kGiB, 100e9)}));
  EXPECT_NEAR(decision->plan.bottleneck_ms, 10, 1e-9);
}

TEST(DecideModel, UsesTheSameSiliconOnce) {
  DeviceInfo cpu = Gpu("cpu", 8 * kGiB, 20e9);
  cpu.kind = DeviceKind::kCpu;
  cpu.cores = {0, 1};
  DeviceInfo opencl = cpu;
  opencl.uuid = "pocl";
  opencl.memory_bytes_per_s = 10e9;
  const auto decision = DecideModel(Model(10, kMiB), LedgerOf({opencl, cpu}));
  ASSERT_TRUE(decision.ok()) << decision.status();
  ASSERT_EQ(decision->plan.stages.size(), 1u);
  EXPECT_EQ(decision->plan.stages[0].device, "cpu");
}

TEST(DecideModel, SaysWhatIsMissingAndWhetherWaitingHelps) {
  Ledger ledger = LedgerOf({Gpu("a", 2 * kGiB, 100e9), Gpu("b", 2 * kGiB, 100e9)});
  ASSERT_TRUE(ledger.TryAcquire({{"a", Share::OfPercent(5), 2 * kGiB, Policy::kCapped}}).ok());
  const absl::Status later = DecideModel(Model(30, 100 * kMiB), ledger).status();
  EXPECT_EQ(later.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(ShortageOf(later)->never_fits) << later;
  EXPECT_EQ(ShortageOf(later)->requested.memory_bytes, 3000 * kMiB);
  EXPECT_EQ(ShortageOf(later)->free.memory_bytes, 2 * kGiB);
  const absl::Status never = DecideModel(Model(50, 100 * kMiB), ledger).status();
  EXPECT_TRUE(ShortageOf(never)->never_fits) << never;
  EXPECT_THAT(std::string(never.message()), HasSubstr("never fit"));
}

TEST(DecideModel, SaysThatNothingIsFree) {
  const absl::Status status = DecideModel(Model(1, kMiB), LedgerOf({})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(ShortageOf(status)->never_fits);
}

TEST(DecideModel, TakesNoMoreThanTheShareThatWasAllowed) {
  protocol::ModelRequest request = Model(10, kMiB);
  request.max_share = Share::OfPercent(40);
  const auto decision = DecideModel(request, LedgerOf({Gpu("a", kGiB, 100e9)}));
  EXPECT_EQ(decision->slices[0].share, Share::OfPercent(40));
}

}  // namespace
}  // namespace het::daemon
