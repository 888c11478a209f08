// A device that has nothing but built-in kernels (tests/soft_drivers/opencl): it joins the
// conformance suite for all but kernels, and runs its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "devices/conformance/conformance.h"
#include "devices/opencl/driver.h"

namespace het::opencl {
namespace {

using ::testing::HasSubstr;

constexpr char kStaging[] =
    "staging memory of a card is mapped for good, and a target or source of copies only";
constexpr char kNoKernels[] = "the device runs its own kernels, and no others";
const bool joined = conformance::Join({
    .name = "soft_accelerator",
    .create_driver = [] { return CreateDriver({}); },
    .select = [](const DeviceInfo& info) { return info.kind == DeviceKind::kAccelerator; },
    .open = {},
    .form = KernelForm::kBuiltIn,
    .unsupported = {{"Kernel.*", kNoKernels},
                    {"Threads.EveryThreadItsOwnQueue", kNoKernels},
                    {"Queue.RunsLaunchesInOrder", kNoKernels},
                    {"Queue.RunsDifferentOperationsInOrder", kNoKernels},
                    {"Queue.TakesManyLaunches", kNoKernels},
                    {"Queue.DestructionWaitsForWhatIsQueued", kNoKernels},
                    {"Queue.ManyQueuesAtOnce", kNoKernels}},
    .expected_failures = {{"Memory.HostAddressesShowTheData", kStaging},
                          {"Copy.MovesManyMegabytes", kStaging}},
});

class Accelerator : public testing::Test {
 protected:
  void SetUp() override {
    auto driver = CreateDriver({});
    ASSERT_TRUE(driver.ok()) << driver.status();
    driver_ = *std::move(driver);
    info_ = driver_->Enumerate()->front();
    auto device = driver_->Open(info_.uuid, {});
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
  }
  absl::StatusOr<Ref<Program>> Build(std::vector<std::string> names) {
    ProgramSource source;
    source.name = "own";
    source.built_in = std::move(names);
    return device_->Build(source);
  }

  std::unique_ptr<Driver> driver_;
  DeviceInfo info_;
  std::unique_ptr<Device> device_;
};

TEST_F(Accelerator, IsUsableWithoutACompiler) {
  EXPECT_EQ(info_.state, DeviceState::kOk) << info_.reason;
  EXPECT_EQ(info_.kind, DeviceKind::kAccelerator);
  EXPECT_THAT(info_.attributes.at("runs"), HasSubstr("built-in"));
  EXPECT_TRUE(device_->Can(kRunsBuiltIn));
  EXPECT_FALSE(device_->Can(kRunsPortable));
  ProgramSource source;
  source.name = "text";
  source.portable = "HET_KERNEL void f(HET_BUFFER(0)) {}";
  EXPECT_EQ(device_->Build(source).status().code(), absl::StatusCode::kUnimplemented);
}

TEST_F(Accelerator, NamesTheKernelsThereAre) {
  const absl::Status status = Build({"no.such.kernel"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("het.soft.add"));
}

TEST_F(Accelerator, RunsItsOwnKernelsInOrder) {
  constexpr size_t kCount = 1000;
  const auto program = Build({"het.soft.add", "het.soft.scale"});
  ASSERT_TRUE(program.ok()) << program.status();
  const auto queue = *device_->CreateQueue(QueueKind::kCompute);
  const Ref<Timeline> done = *device_->CreateTimeline();
  const Ref<Buffer> a = *device_->Allocate(kCount * 4), b = *device_->Allocate(kCount * 4),
                    sum = *device_->Allocate(kCount * 4);
  std::vector<float> left(kCount), right(kCount), back(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    left[i] = static_cast<float>(i);
    right[i] = static_cast<float>(i % 13);
  }
  ASSERT_TRUE(queue->Write(left.data(), *a, 0, kCount * 4).ok());
  ASSERT_TRUE(queue->Write(right.data(), *b, 0, kCount * 4).ok());
  BufferArg operands[] = {{a.get(), 0}, {b.get(), 0}, {sum.get(), 0}};
  Launch add;
  add.kernel = *(*program)->GetKernel("het.soft.add");
  EXPECT_EQ(add.kernel->form(), KernelForm::kBuiltIn);
  add.groups[0] = kCount;
  add.buffers = operands;
  ASSERT_TRUE(queue->Submit(add).ok());
  const BufferArg places[] = {{sum.get(), 0}, {a.get(), 0}};
  const float factor = 0.5f;
  Launch scale;
  scale.kernel = *(*program)->GetKernel("het.soft.scale");
  scale.groups[0] = kCount;
  scale.buffers = places;
  scale.params = {reinterpret_cast<const std::byte*>(&factor), sizeof(factor)};
  ASSERT_TRUE(queue->Submit(scale).ok());
  ASSERT_TRUE(queue->Read(*a, 0, back.data(), kCount * 4, {{}, {done, 1}}).ok());
  ASSERT_TRUE(done->Wait(1, absl::Seconds(30)).ok());
  for (size_t i = 0; i < kCount; ++i) ASSERT_EQ(back[i], (left[i] + right[i]) / 2) << i;

  operands[1].offset = 8;
  EXPECT_EQ(queue->Submit(add).code(), absl::StatusCode::kInvalidArgument) << "whole buffers only";
  operands[1].offset = 0;
  add.buffers = absl::MakeConstSpan(operands, 2);
  EXPECT_EQ(queue->Submit(add).code(), absl::StatusCode::kInvalidArgument) << "one is missing";
}

}  // namespace
}  // namespace het::opencl
