// What is OpenCL's own beside the conformance suite: several platforms in one process, sub-devices,
// memory that is not host-addressable, native handles. PoCL and rusticl (llvmpipe) must be there.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>

#include "devices/opencl/device.h"
#include "devices/opencl/driver.h"

namespace het::opencl {
namespace {

constexpr absl::Duration kLong = absl::Seconds(30);

constexpr char kSource[] = R"CL(
struct ScaleParams { float factor; uint count; };
HET_KERNEL void scale(HET_BUFFER(0), HET_BUFFER(1), struct ScaleParams p) {
  HET_GLOBAL const float* x = HET_PTR(const float, 0);
  HET_GLOBAL float* y = HET_PTR(float, 1);
  const uint i = het_global_id(0);
  if (i < p.count) y[i] = x[i] * p.factor;
}
HET_KERNEL void spin(HET_BUFFER(0), struct ScaleParams p) {
  HET_GLOBAL float* x = HET_PTR(float, 0) + het_global_id(0);
  float sum = x[0];
  for (uint i = 0; i < p.count; ++i) sum = sum * p.factor + 1.0f;
  x[0] = sum;
}
)CL";

struct ScaleParams {
  float factor;
  uint32_t count;
};

template <typename T>
absl::Span<const std::byte> BytesOf(const T& value) {
  return {reinterpret_cast<const std::byte*>(&value), sizeof(value)};
}

std::unique_ptr<Driver> MakeDriver(const DriverOptions& options = {}) {
  auto driver = CreateDriver(options);
  EXPECT_TRUE(driver.ok()) << driver.status();
  return driver.ok() ? *std::move(driver) : nullptr;
}

DeviceInfo InfoOf(Driver& driver, const std::string& platform) {
  const std::vector<DeviceInfo> infos = *driver.Enumerate();
  for (const DeviceInfo& info : infos) {
    if (info.attributes.at("platform") == platform && info.state == DeviceState::kOk) return info;
  }
  ADD_FAILURE() << "no usable device of platform " << platform;
  return {};
}

constexpr char kPocl[] = "Portable Computing Language";
constexpr char kRusticl[] = "rusticl";

std::unique_ptr<Device> Open(Driver& driver, const std::string& platform,
                             const OpenOptions& options = {}) {
  auto device = driver.Open(InfoOf(driver, platform).uuid, options);
  EXPECT_TRUE(device.ok()) << device.status();
  return device.ok() ? *std::move(device) : nullptr;
}

const Kernel* KernelOf(const Ref<Program>& program, const char* name) {
  return *program->GetKernel(name);
}

std::vector<float> Ramp(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

class Platforms : public testing::TestWithParam<const char*> {
 protected:
  const std::unique_ptr<Driver> driver_ = MakeDriver();
  const std::unique_ptr<Device> device_ = Open(*driver_, GetParam());
};

INSTANTIATE_TEST_SUITE_P(Both, Platforms, testing::Values(kPocl, kRusticl),
                         [](const auto& info) { return info.param == kPocl ? "pocl" : "rusticl"; });

TEST_P(Platforms, KeepsIdentityAndMemoryOverEnumerations) {
  const DeviceInfo info = InfoOf(*driver_, GetParam());
  EXPECT_EQ(ToJson(info), ToJson(InfoOf(*driver_, GetParam())));
  EXPECT_EQ(info.kind, DeviceKind::kCpu);
  EXPECT_FALSE(info.cores.empty());
  EXPECT_GT(info.memory_bytes, 256 * kMiB);
  EXPECT_LE(info.compute_units, info.cores.size());
  const auto missing = driver_->Open("00000000-0000-0000-0000-000000000000", {});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(missing.status().message().find(info.uuid), std::string::npos);
}

TEST_P(Platforms, ArgumentsOfALaunchAreItsOwn) {
  constexpr size_t kCount = 256;
  const Ref<Program> program =
      *device_->Build({.name = "t", .portable = kSource, .options = "", .native = {}});
  auto queue = *device_->CreateQueue(QueueKind::kCompute);
  auto other_queue = *device_->CreateQueue(QueueKind::kCompute);
  const Ref<Timeline> done = *device_->CreateTimeline(), other_done = *device_->CreateTimeline();
  const Ref<Buffer> x = *device_->Allocate(kCount * 4), y = *device_->Allocate(8 * kCount * 4);
  const std::vector<float> input = Ramp(kCount);
  ASSERT_TRUE(queue->Write(input.data(), *x, 0, kCount * 4, {{}, {done, 1}}).ok());
  ASSERT_TRUE(done->Wait(1, kLong).ok());
  // One kernel object, two queues, other factors and offsets each time, no signal between.
  for (uint32_t i = 0; i < 8; ++i) {
    Queue& target = i % 2 == 0 ? *queue : *other_queue;
    const ScaleParams params{static_cast<float>(i + 1), kCount};
    const BufferArg buffers[] = {{x.get(), 0}, {y.get(), i * kCount * 4}};
    Launch launch;
    launch.kernel = KernelOf(program, "scale");
    launch.groups[0] = kCount / 64;
    launch.group_size[0] = 64;
    launch.buffers = buffers;
    launch.params = BytesOf(params);
    ASSERT_TRUE(target.Submit(launch).ok());
  }
  ASSERT_TRUE(other_queue->Barrier({{}, {other_done, 1}}).ok());
  std::vector<float> output(8 * kCount);
  const Fence waits[] = {{other_done, 1}};
  ASSERT_TRUE(queue->Read(*y, 0, output.data(), output.size() * 4, {waits, {done, 2}}).ok());
  ASSERT_TRUE(done->Wait(2, kLong).ok());
  for (size_t i = 0; i < 8; ++i) {
    for (size_t k = 0; k < kCount; ++k) {
      ASSERT_EQ(output[i * kCount + k], static_cast<float>(k * (i + 1)));
    }
  }
}

TEST_P(Platforms, SaysWhatIsWrongWithALaunch) {
  const Ref<Program> program =
      *device_->Build({.name = "t", .portable = kSource, .options = "", .native = {}});
  auto queue = *device_->CreateQueue(QueueKind::kCompute);
  const Ref<Buffer> x = *device_->Allocate(1024);
  const ScaleParams params{1, 1};
  const BufferArg one[] = {{x.get(), 0}}, two[] = {{x.get(), 0}, {x.get(), 512}};
  Launch launch;
  launch.kernel = KernelOf(program, "scale");
  launch.buffers = one;
  launch.params = BytesOf(params);
  EXPECT_EQ(queue->Submit(launch).code(), absl::StatusCode::kInvalidArgument) << "a buffer short";
  launch.buffers = two;
  launch.group_size[0] = 1 << 20;
  EXPECT_EQ(queue->Submit(launch).code(), absl::StatusCode::kInvalidArgument) << "a huge group";
  launch.group_size[0] = 1;
  EXPECT_TRUE(queue->Submit(launch).ok()) << "the queue goes on after a refused launch";
  const Ref<Timeline> done = *device_->CreateTimeline();
  ASSERT_TRUE(queue->Barrier({{}, {done, 1}}).ok());
  EXPECT_TRUE(done->Wait(1, kLong).ok());
}

TEST_P(Platforms, BusyTimeIsTheDevicesNotTheHosts) {
  const Ref<Program> program =
      *device_->Build({.name = "t", .portable = kSource, .options = "", .native = {}});
  auto queue = *device_->CreateQueue(QueueKind::kCompute);
  const Ref<Timeline> done = *device_->CreateTimeline();
  constexpr uint32_t kItems = 32, kMostGroups = 512;
  const Ref<Buffer> x = *device_->Allocate(kMostGroups * kItems * 4);
  ASSERT_TRUE(queue->Fill(*x, 0, x->bytes(), 0).ok());
  uint64_t value = 0;
  // Busy nanoseconds of one launch; the best of a few, because the machine may be busy, too.
  const auto busy_of = [&](uint32_t groups) {
    const ScaleParams params{0.5f, 20'000};
    const BufferArg buffers[] = {{x.get(), 0}};
    Launch launch;
    launch.kernel = KernelOf(program, "spin");
    launch.groups[0] = groups;
    launch.group_size[0] = kItems;
    launch.buffers = buffers;
    launch.params = BytesOf(params);
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; ++i) {
      const int64_t before = queue->busy_nanos();
      EXPECT_TRUE(queue->Submit(launch, {{}, {done, ++value}}).ok());
      EXPECT_TRUE(done->Wait(value, kLong).ok());
      best = std::min(best, queue->busy_nanos() - before);
    }
    return best;
  };
  busy_of(1);  // drivers compile at the first launch
  const int64_t busy_before = queue->busy_nanos();
  const absl::Time begin = absl::Now();
  const int64_t shorter = busy_of(kMostGroups / 8), longer = busy_of(kMostGroups);
  const int64_t sum = queue->busy_nanos() - busy_before;
  EXPECT_LE(sum, absl::ToInt64Nanoseconds(absl::Now() - begin));
  EXPECT_GT(longer, 2 * shorter) << "eight times the work";
  EXPECT_LT(longer, 32 * shorter) << "eight times the work";
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_LT(busy_of(1), absl::ToInt64Nanoseconds(absl::Milliseconds(25)))
      << "time without work is not busy";
}

TEST_P(Platforms, WaitsForAnotherPlatformAndForTheHost) {
  // The same driver, another context: no OpenCL event can be waited for.
  const std::unique_ptr<Device> other =
      Open(*driver_, GetParam() == std::string(kPocl) ? kRusticl : kPocl);
  auto first = *other->CreateQueue(QueueKind::kCompute);
  auto second = *device_->CreateQueue(QueueKind::kCompute);
  const Ref<Timeline> gate = *other->CreateTimeline(), middle = *other->CreateTimeline(),
                      done = *device_->CreateTimeline();
  constexpr size_t kBytes = 1 << 20;
  const Ref<Buffer> from = *other->Allocate(kBytes), to = *device_->Allocate(kBytes);
  std::vector<uint8_t> between(kBytes, 1), result(kBytes, 2);
  const Fence at_gate[] = {{gate, 1}}, at_middle[] = {{middle, 1}};
  ASSERT_TRUE(first->Fill(*from, 0, kBytes, 77, {at_gate, {}}).ok());
  ASSERT_TRUE(first->Read(*from, 0, between.data(), kBytes, {{}, {middle, 1}}).ok());
  ASSERT_TRUE(second->Write(between.data(), *to, 0, kBytes, {at_middle, {}}).ok());
  ASSERT_TRUE(second->Read(*to, 0, result.data(), kBytes, {{}, {done, 1}}).ok());
  EXPECT_EQ(done->Wait(1, absl::Milliseconds(20)).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(between[0], 1);
  gate->Signal(1);
  ASSERT_TRUE(done->Wait(1, kLong).ok());
  EXPECT_EQ(result, std::vector<uint8_t>(kBytes, 77));
}

TEST_P(Platforms, AFailureTravelsOverContextsAndRunsNothing) {
  const std::unique_ptr<Device> other =
      Open(*driver_, GetParam() == std::string(kPocl) ? kRusticl : kPocl);
  const Ref<Timeline> gate = *other->CreateTimeline(), middle = *other->CreateTimeline(),
                      done = *device_->CreateTimeline(), before = *device_->CreateTimeline();
  std::vector<uint8_t> bytes(4096, 1);
  const Ref<Buffer> buffer = *device_->Allocate(4096);
  {
    auto first = *other->CreateQueue(QueueKind::kCompute);
    auto second = *device_->CreateQueue(QueueKind::kCompute);
    const Fence at_gate[] = {{gate, 1}}, at_middle[] = {{middle, 1}};
    ASSERT_TRUE(first->Barrier({at_gate, {middle, 1}}).ok());
    ASSERT_TRUE(second->Fill(*buffer, 0, 4096, 5, {{}, {before, 1}}).ok());
    ASSERT_TRUE(second->Read(*buffer, 0, bytes.data(), 4096, {at_middle, {}}).ok());
    ASSERT_TRUE(second->Barrier({{}, {done, 1}}).ok());
    gate->Fail(absl::DataLossError("the card is gone"));
    EXPECT_EQ(done->Wait(1, kLong).message(), "the card is gone");
    EXPECT_TRUE(before->Wait(1, kLong).ok()) << "what came before the failure is done";
    ASSERT_TRUE(second->Fill(*buffer, 0, 4096, 6, {{}, {before, 2}}).ok());
    EXPECT_EQ(before->Wait(2, kLong).code(), absl::StatusCode::kDataLoss) << "the queue is broken";
  }
  EXPECT_EQ(bytes[0], 1) << "the read that waited for the failure was not run";
}

TEST_P(Platforms, WrapsAQueueOfTheCaller) {
  auto& device = static_cast<ClDevice&>(*device_);
  cl_command_queue raw = *device.MakeQueue();
  {
    auto queue = *device_->WrapNativeQueue(raw);
    EXPECT_EQ(queue->native_handle(), raw);
    const Ref<Buffer> buffer = *device_->Allocate(64);
    EXPECT_NE(buffer->native_handle(), nullptr);
    const Ref<Timeline> done = *device_->CreateTimeline();
    std::vector<uint8_t> bytes(64);
    ASSERT_TRUE(queue->Fill(*buffer, 0, 64, 9).ok());
    ASSERT_TRUE(queue->Read(*buffer, 0, bytes.data(), 64, {{}, {done, 1}}).ok());
    ASSERT_TRUE(done->Wait(1, kLong).ok());
    EXPECT_EQ(bytes, std::vector<uint8_t>(64, 9));
  }
  EXPECT_EQ(device.api().clFinish(raw), CL_SUCCESS) << "the handle stays the caller's";
  device.api().clReleaseCommandQueue(raw);
  const std::unique_ptr<Device> other = Open(*driver_, GetParam());
  cl_command_queue foreign = *static_cast<ClDevice&>(*other).MakeQueue();
  EXPECT_EQ(device_->WrapNativeQueue(foreign).status().code(), absl::StatusCode::kInvalidArgument);
  device.api().clReleaseCommandQueue(foreign);
}

TEST_P(Platforms, WorksWithoutHostAddressableMemory) {
  const std::unique_ptr<Driver> driver =
      MakeDriver({.settings = {{"in_place", "never"}}, .cores = {}});
  const std::unique_ptr<Device> device = Open(*driver, GetParam());
  EXPECT_FALSE(device->Can(kHostAddressable));
  EXPECT_FALSE(device->Can(kWrapsHostMemory));
  const Ref<Buffer> buffer = *device->Allocate(4096);
  EXPECT_EQ(buffer->host(), nullptr);
  const Ref<Buffer> in = *device->Allocate(4096, MemoryKind::kStaging),
                    out = *device->Allocate(4096, MemoryKind::kStaging);
  ASSERT_NE(in->host(), nullptr);
  memset(in->host(), 3, 4096);
  auto queue = *device->CreateQueue(QueueKind::kTransfer);
  const Ref<Timeline> done = *device->CreateTimeline();
  ASSERT_TRUE(queue->Copy(*in, 0, *buffer, 0, 4096).ok());
  ASSERT_TRUE(queue->Copy(*buffer, 0, *out, 0, 4096, {{}, {done, 1}}).ok());
  ASSERT_TRUE(done->Wait(1, kLong).ok());
  EXPECT_EQ(memcmp(in->host(), out->host(), 4096), 0);
  EXPECT_EQ(queue->Fill(*in, 0, 16, 1).code(), absl::StatusCode::kUnimplemented);
}

TEST(OpenCl, RefusesTwoSetsOfCores) {
  const std::unique_ptr<Driver> driver = MakeDriver();
  EXPECT_EQ(CreateDriver({.settings = {}, .cores = {4095}}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(driver->Open(InfoOf(*driver, kPocl).uuid, {.cores = {4095}, .compute_units = 0})
                .status()
                .code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(OpenCl, GivesDifferentDevicesDifferentIdentities) {
  const std::unique_ptr<Driver> driver = MakeDriver();
  const std::vector<DeviceInfo> infos = *driver->Enumerate();
  std::set<std::string> uuids;
  for (const DeviceInfo& info : infos) {
    uuids.insert(info.uuid);
    EXPECT_EQ(info.state == DeviceState::kOk, info.reason.empty()) << info.name;
  }
  EXPECT_EQ(uuids.size(), infos.size());
}

// A process of its own: a loader reads its list of drivers once.
TEST(OpenCl, TwoIcdFilesOfOneLibraryAreOneDevice) {
  char folder[] = "/tmp/het_icds_XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  std::ofstream(std::string(folder) + "/a.icd") << "libpocl.so.2\n";
  std::ofstream(std::string(folder) + "/b.icd") << "libpocl.so.2\n";
  const std::string command = std::string("OCL_ICD_VENDORS=") + folder + " /proc/" +
                              std::to_string(getpid()) +
                              "/exe --gtest_also_run_disabled_tests"
                              " --gtest_filter=Helper.DISABLED_PrintsTheDevices";
  FILE* const output = popen(command.c_str(), "r");
  ASSERT_NE(output, nullptr);
  std::string text;
  for (char line[512]; fgets(line, sizeof(line), output) != nullptr;) text += line;
  pclose(output);
  std::filesystem::remove_all(folder);
  EXPECT_NE(text.find("devices: 1\n"), std::string::npos) << text;
}

TEST(Helper, DISABLED_PrintsTheDevices) {
  const std::vector<DeviceInfo> infos = *MakeDriver()->Enumerate();
  for (const DeviceInfo& info : infos) printf("%s %s\n", info.uuid.c_str(), info.name.c_str());
  printf("devices: %zu\n", infos.size());
}

// Running some is accelerator_test.cc's: what PoCL has, Debian's package cannot build.
TEST(BuiltIn, WhatTheDriverCannotBuildIsSaidToBe) {
  const std::unique_ptr<Driver> driver = MakeDriver();
  const auto device = Open(*driver, kPocl);
  ASSERT_TRUE(device->Can(kRunsBuiltIn)) << "PoCL has some";
  ProgramSource source;
  source.name = "built in";
  source.built_in = {"no.such.kernel"};
  const absl::Status unknown = device->Build(source).status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kNotFound) << unknown;
  EXPECT_NE(unknown.message().find("pocl.add.i8"), absl::string_view::npos) << unknown;
  source.built_in = {"pocl.add.i8"};
  const absl::Status status = device->Build(source).status();
  EXPECT_TRUE(status.ok() || absl::IsUnavailable(status)) << status;
}

TEST(SubDevices, TwoPartsOfPoclHaveOtherUnitsAndWorkAtOnce) {
  const std::unique_ptr<Driver> driver = MakeDriver();
  const DeviceInfo info = InfoOf(*driver, kPocl);
  ASSERT_TRUE(info.can_sub_divide);
  ASSERT_EQ(info.compute_units, 2u) << "the test sets POCL_MAX_PTHREAD_COUNT=2";
  const OpenOptions one_unit{.cores = {}, .compute_units = 1};
  auto first = *driver->Open(info.uuid, one_unit);
  auto second = *driver->Open(info.uuid, one_unit);
  EXPECT_EQ(first->info().compute_units, 1u);
  EXPECT_EQ(driver->Open(info.uuid, one_unit).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(driver->Open(info.uuid, {.cores = {}, .compute_units = 9}).status().code(),
            absl::StatusCode::kInvalidArgument);
  for (Device* device : {first.get(), second.get()}) {
    const Ref<Program> program =
        *device->Build({.name = "t", .portable = kSource, .options = "", .native = {}});
    auto queue = *device->CreateQueue(QueueKind::kCompute);
    const Ref<Buffer> buffer = *device->Allocate(4096);
    const Ref<Timeline> done = *device->CreateTimeline();
    const ScaleParams params{2.0f, 1024};
    const BufferArg buffers[] = {{buffer.get(), 0}, {buffer.get(), 0}};
    Launch launch;
    launch.kernel = KernelOf(program, "scale");
    launch.groups[0] = 16;
    launch.group_size[0] = 64;
    launch.buffers = buffers;
    launch.params = BytesOf(params);
    const std::vector<float> input = Ramp(1024);
    std::vector<float> output(1024);
    ASSERT_TRUE(queue->Write(input.data(), *buffer, 0, 4096).ok());
    ASSERT_TRUE(queue->Submit(launch).ok());
    ASSERT_TRUE(queue->Read(*buffer, 0, output.data(), 4096, {{}, {done, 1}}).ok());
    ASSERT_TRUE(done->Wait(1, kLong).ok());
    EXPECT_EQ(output[1000], 2000.0f);
  }
  first.reset();
  EXPECT_TRUE(driver->Open(info.uuid, one_unit).ok()) << "a closed part is free again";
}

TEST(SubDevices, RusticlIsNotAskedForWhatItHasNot) {
  const std::unique_ptr<Driver> driver = MakeDriver();
  const DeviceInfo info = InfoOf(*driver, kRusticl);
  EXPECT_FALSE(info.can_sub_divide);
  if (info.compute_units < 2) return;  // then one unit is the whole device
  EXPECT_EQ(driver->Open(info.uuid, {.cores = {}, .compute_units = 1}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace het::opencl
