// The threads of OpenCL drivers for CPUs stay on the cores that het was given. A program of its
// own, because a process loads the drivers once.
#include "devices/opencl/affinity.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "devices/opencl/driver.h"

namespace het::opencl {
namespace {

struct Thread {
  std::string name;
  std::string cores;
};

// By thread id, from the kernel.
std::map<std::string, Thread> Threads() {
  std::map<std::string, Thread> threads;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(entry.path() / "status");
    std::string line;
    while (std::getline(status, line)) {
      absl::string_view text = line;
      Thread& thread = threads[entry.path().filename()];
      if (absl::ConsumePrefix(&text, "Name:\t")) thread.name = std::string(text);
      if (absl::ConsumePrefix(&text, "Cpus_allowed_list:\t")) thread.cores = std::string(text);
    }
  }
  return threads;
}

TEST(Affinity, RefusesCoresThatAreNotThere) {
  bool called = false;
  EXPECT_EQ(RunOnCores({8000}, [&] { called = true; }).code(), absl::StatusCode::kInvalidArgument);
  std::vector<uint32_t> too_many = AllowedCores();
  too_many.push_back(8000);
  EXPECT_EQ(RunOnCores(too_many, [&] { called = true; }).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(called);
}

TEST(Affinity, DriverThreadsStayOnTheGivenCores) {
  const uint32_t core = AllowedCores().back();
  const std::map<std::string, Thread> before = Threads();
  auto driver = CreateDriver({.settings = {}, .cores = {core}});
  ASSERT_TRUE(driver.ok()) << driver.status();
  EXPECT_STREQ(getenv("POCL_MAX_PTHREAD_COUNT"), "1");
  EXPECT_STREQ(getenv("LP_NUM_THREADS"), "1");
  std::vector<std::unique_ptr<Device>> devices;
  std::vector<std::unique_ptr<Queue>> queues;
  const std::vector<DeviceInfo> infos = *(*driver)->Enumerate();
  for (const DeviceInfo& info : infos) {
    if (info.state != DeviceState::kOk) continue;
    EXPECT_EQ(info.cores, std::vector<uint32_t>{core}) << info.name;
    EXPECT_EQ(info.compute_units, 1u) << info.name;
    auto device = (*driver)->Open(info.uuid, {.cores = {core}, .compute_units = 0});
    ASSERT_TRUE(device.ok()) << device.status();
    const Ref<Program> program = *(*device)->Build(
        {.name = "t",
         .portable =
             "HET_KERNEL void one(HET_BUFFER(0)) { HET_PTR(int, 0)[het_global_id(0)] = 1; }",
         .options = "",
         .native = {}});
    auto queue = *(*device)->CreateQueue(QueueKind::kCompute);
    const Ref<Buffer> buffer = *(*device)->Allocate(4096);
    const Ref<Timeline> done = *(*device)->CreateTimeline();
    const BufferArg buffers[] = {{buffer.get(), 0}};
    Launch launch;
    launch.kernel = *program->GetKernel("one");
    launch.groups[0] = 16;
    launch.group_size[0] = 64;
    launch.buffers = buffers;
    ASSERT_EQ(queue->Submit(launch, {{}, {done, 1}}), absl::OkStatus());
    ASSERT_TRUE(done->Wait(1, absl::Seconds(30)).ok());
    devices.push_back(*std::move(device));
    queues.push_back(std::move(queue));
  }
  EXPECT_GE(devices.size(), 2u) << "PoCL and rusticl belong to this test";
  size_t driver_threads = 0;
  for (const auto& [id, thread] : Threads()) {
    if (before.contains(id)) continue;
    // Mesa's writers of its shader cache unbind themselves; they only work while programs build.
    if (absl::StrContains(thread.name, ":disk$")) continue;
    ++driver_threads;
    EXPECT_EQ(thread.cores, absl::StrCat(core)) << "thread " << id << " " << thread.name;
  }
  EXPECT_GE(driver_threads, 2u) << "at least PoCL's worker and rusticl's queue";
  EXPECT_EQ(Threads().at(before.begin()->first).cores, before.begin()->second.cores)
      << "the caller's own affinity is untouched";
}

}  // namespace
}  // namespace het::opencl
