// What is particular to the cpu backend; what every backend must do is in cpu_conformance_test.cc.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "devices/cpu/cpu_driver.h"
#include "devices/cpu/measure.h"

namespace het::cpu {
namespace {

class CpuDeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    driver_ = *CreateDriver({});
    info_ = (*driver_->Enumerate())[0];
  }
  std::unique_ptr<Device> Open(OpenOptions options = {}) {
    return *driver_->Open(info_.uuid, options);
  }
  absl::Status OpenError(OpenOptions options) {
    return driver_->Open(info_.uuid, options).status();
  }

  std::unique_ptr<Driver> driver_;
  DeviceInfo info_;
};

TEST_F(CpuDeviceTest, OpensTheCoresOfASlice) {
  const std::vector<uint32_t> last = {info_.cores.back()};
  const std::unique_ptr<Device> device = Open({.cores = last});
  EXPECT_EQ(device->info().cores, last);
  EXPECT_EQ(device->info().compute_units, 1u);
  EXPECT_EQ(device->info().uuid, info_.uuid);
  EXPECT_EQ(Open({.compute_units = 1})->info().cores, std::vector<uint32_t>{info_.cores.front()});
}

TEST_F(CpuDeviceTest, RefusesCoresItDoesNotHave) {
  const absl::Status foreign = OpenError({.cores = {info_.cores.front(), 99'999}});
  EXPECT_EQ(foreign.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(foreign.message().find("99999"), absl::string_view::npos) << foreign;
  const uint32_t first = info_.cores.front();
  EXPECT_EQ(OpenError({.cores = {first, first}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenError({.compute_units = info_.compute_units + 1}).code(),
            absl::StatusCode::kInvalidArgument);
}

void NoteProcessor(const het_native_call* call) {
  *static_cast<std::atomic<int>*>(call->buffers[0]) = sched_getcpu();
}

TEST_F(CpuDeviceTest, RunsKernelsOnTheCoresOfTheSlice) {
  const std::unique_ptr<Device> device = Open({.cores = {info_.cores.back()}});
  ProgramSource source;
  source.name = "where";
  source.native = {{"where", NoteProcessor}};
  const Ref<Program> program = *device->Build(source);
  const Ref<Buffer> buffer = *device->Allocate(64);
  const Ref<Timeline> timeline = *device->CreateTimeline();
  const std::unique_ptr<Queue> queue = *device->CreateQueue(QueueKind::kCompute);
  const BufferArg args[] = {{buffer.get(), 0}};
  Launch launch;
  launch.kernel = *program->GetKernel("where");
  launch.buffers = args;
  ASSERT_TRUE(queue->Submit(launch, {.signal = {timeline, 1}}).ok());
  ASSERT_TRUE(timeline->Wait(1).ok());
  EXPECT_EQ(*static_cast<int*>(buffer->host()), static_cast<int>(info_.cores.back()));
}

TEST_F(CpuDeviceTest, AnIdleQueueCostsNoProcessorTime) {
  const std::unique_ptr<Device> device = Open();
  const std::unique_ptr<Queue> queue = *device->CreateQueue(QueueKind::kCompute);
  const Ref<Timeline> timeline = *device->CreateTimeline();
  ASSERT_TRUE(queue->Barrier({.signal = {timeline, 1}}).ok());
  // One that waits for something, and one that has nothing to do.
  const std::unique_ptr<Queue> waiting = *device->CreateQueue(QueueKind::kCompute);
  const Fence later[] = {{timeline, 2}};
  ASSERT_TRUE(waiting->Barrier({.waits = later}).ok());
  absl::SleepFor(absl::Milliseconds(20));
  rusage before = {}, after = {};
  getrusage(RUSAGE_SELF, &before);
  absl::SleepFor(absl::Milliseconds(200));
  getrusage(RUSAGE_SELF, &after);
  const auto micros = [](const rusage& use) {
    return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1'000'000 + use.ru_utime.tv_usec +
           use.ru_stime.tv_usec;
  };
  EXPECT_LT(micros(after) - micros(before), 5'000);
  timeline->Signal(2);
}

TEST_F(CpuDeviceTest, OnlyReadsMemoryThatWasWrappedReadOnly) {
  const std::unique_ptr<Device> device = Open();
  alignas(64) static const char weights[64] = "weights";
  const Ref<Buffer> buffer =
      *device->WrapHostMemory(const_cast<char*>(weights), sizeof(weights), /*writable=*/false);
  EXPECT_EQ(buffer->host(), weights);
  EXPECT_EQ(device->allocated_bytes(), 0u) << "the memory is the caller's";
  const std::unique_ptr<Queue> queue = *device->CreateQueue(QueueKind::kTransfer);
  const char byte = 0;
  EXPECT_EQ(queue->Write(&byte, *buffer, 0, 1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(queue->Fill(*buffer, 0, 1, 0).code(), absl::StatusCode::kInvalidArgument);
  char back[8];
  const Ref<Timeline> timeline = *device->CreateTimeline();
  ASSERT_TRUE(queue->Read(*buffer, 0, back, 8, {.signal = {timeline, 1}}).ok());
  ASSERT_TRUE(timeline->Wait(1).ok());
  EXPECT_STREQ(back, "weights");
}

TEST_F(CpuDeviceTest, GivesLargeMemoryBackAtOnce) {
  const std::unique_ptr<Device> device = Open();
  Ref<Buffer> buffer = *device->Allocate(uint64_t{64} << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->host()) % 64, 0u);
  void* const address = buffer->host();
  std::memset(address, 1, buffer->bytes());
  EXPECT_EQ(device->allocated_bytes(), buffer->bytes());
  buffer = nullptr;
  EXPECT_EQ(device->allocated_bytes(), 0u);
  unsigned char resident = 0;
  EXPECT_NE(mincore(address, 4096, &resident), 0) << "the pages are not mapped any more";
}

TEST(Measure, FindsPlausibleRates) {
  const std::unique_ptr<Driver> driver = *CreateDriver({});
  const uint32_t core = (*driver->Enumerate())[0].cores[0];
  const absl::StatusOr<HostRates> rates = MeasureHost({core}, absl::Milliseconds(20));
  ASSERT_TRUE(rates.ok()) << rates.status();
  EXPECT_GT(rates->read_bytes_per_s, 1e8);
  EXPECT_LT(rates->read_bytes_per_s, 1e12);
  EXPECT_GT(rates->f32_flops_per_s, 1e8);
  EXPECT_LT(rates->f32_flops_per_s, 1e12);
  EXPECT_FALSE(rates->simd.empty());
  EXPECT_EQ(MeasureHost({}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace het::cpu
