// For the tests of this folder: a driver over a profile given as text, and the usual objects.
#ifndef HET_DEVICES_SIMULATED_TESTING_H_
#define HET_DEVICES_SIMULATED_TESTING_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "devices/simulated/faults.h"
#include "devices/simulated/simulated_driver.h"

namespace het::simulated {

// Round figures: 1 TFLOP/s, 100 GB/s of memory, 10 GB/s of link, 10 us a launch, 100 us of link
// latency.
inline std::string DeviceText(const std::string& name, const std::string& more = "") {
  return absl::StrCat("[[device]]\nname = \"", name, "\"\n",
                      "vendor = \"Acme\"\nmemory = \"1GiB\"\ncompute_units = 10\n"
                      "memory_gb_per_s = 100\nf32_tflops = 1\nlaunch_us = 10\n"
                      "link_latency_us = 100\nlink_gb_per_s = 10\n",
                      more);
}

class SimulatedTest : public testing::Test {
 protected:
  // Every test has devices of its own: faults belong to UUIDs.
  void Load(const std::string& mode, const std::string& devices) {
    static int count = 0;
    const std::string path = absl::StrCat(testing::TempDir(), "/het_", getpid(), ".toml");
    std::ofstream(path) << "name = \"test" << ++count << "\"\nmode = \"" << mode << "\"\n"
                        << devices;
    absl::StatusOr<std::unique_ptr<Driver>> driver =
        CreateDriver({.settings = {{"profile", path}}});
    unlink(path.c_str());
    ASSERT_TRUE(driver.ok()) << driver.status();
    driver_ = *std::move(driver);
    clock_ = VirtualClockOf(*driver_);
    infos_ = *driver_->Enumerate();
  }
  std::unique_ptr<Device> Open(size_t index = 0, const OpenOptions& options = {}) {
    absl::StatusOr<std::unique_ptr<Device>> device = driver_->Open(infos_.at(index).uuid, options);
    EXPECT_TRUE(device.ok()) << device.status();
    return *std::move(device);
  }

  std::unique_ptr<Driver> driver_;
  VirtualClock* clock_ = nullptr;
  std::vector<DeviceInfo> infos_;
};

// A device with a queue, a timeline, a buffer and the kernel "work".
struct Bench {
  explicit Bench(std::unique_ptr<Device> opened) : device(std::move(opened)) {
    ProgramSource source;
    source.name = "bench";
    source.native = {{"work", [](const het_native_call* call) {
                        if (call->buffer_count > 0) ++*static_cast<uint32_t*>(call->buffers[0]);
                      }}};
    program = *device->Build(source);
    kernel = *program->GetKernel("work");
    queue = *device->CreateQueue(QueueKind::kCompute);
    timeline = *device->CreateTimeline();
    buffer = *device->Allocate(1 << 20);
  }

  absl::Status Launch(Queue& on, const WorkEstimate& work, const Sync& sync, uint32_t units = 1) {
    het::Launch launch;
    launch.kernel = kernel;
    launch.groups[0] = units;
    launch.work = work;
    const BufferArg args[] = {{buffer.get(), 0}};
    launch.buffers = args;
    return on.Submit(launch, sync);
  }
  // On `queue`, signalling the next value of `timeline`.
  absl::Status Work(double flops) {
    return Launch(*queue, {flops, 0, 0}, {.signal = {timeline, ++value}});
  }
  absl::Status Wait() { return timeline->Wait(value, absl::Seconds(20)); }

  std::unique_ptr<Device> device;
  Ref<Program> program;
  const Kernel* kernel = nullptr;
  std::unique_ptr<Queue> queue;
  Ref<Timeline> timeline;
  Ref<Buffer> buffer;
  uint64_t value = 0;
};

inline constexpr int64_t kMillisecond = 1'000'000;
inline constexpr int64_t kLaunchNanos = 10'000;
inline constexpr int64_t kLatencyNanos = 100'000;
inline constexpr double kMillisecondOfFlops = 1e9;
inline constexpr uint64_t kMillisecondOfLink = 10'000'000;

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_TESTING_H_
