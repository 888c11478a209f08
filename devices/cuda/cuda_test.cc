// What is the cuda backend's own, on the soft driver: drivers that are missing, old or broken,
// faults while work runs, parts of a device, MIG instances. Most of it needs a process of its own,
// because a process loads a driver once: those tests run in a forked child.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "devices/cuda/compile.h"
#include "devices/cuda/driver.h"
#include "devices/recording.h"
#include "devices/streams/test_process.h"

namespace het::cuda {
namespace {

constexpr char kHelper[] = "Helper.DISABLED_PrintsTheRefusal";

void InChild(const char* settings, const std::function<void()>& body) {
  streams::InChild("HET_SOFT_CUDA", settings, body);
}

absl::Status Refusal(const char* settings) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  InChild(settings, [&] {
    const absl::Status status = CreateDriver({}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    const std::string message(status.message());
    EXPECT_EQ(write(ends[1], message.data(), message.size()), static_cast<ssize_t>(message.size()));
  });
  close(ends[1]);
  char message[2048] = "";
  EXPECT_GT(read(ends[0], message, sizeof(message) - 1), 0);
  close(ends[0]);
  return absl::UnavailableError(message);
}

TEST(CudaDriver, SaysWhichLibraryIsMissing) {
  const std::string text = streams::PrintedUnder(nullptr, kHelper);
  // On a machine with NVIDIA's driver there is nothing to refuse.
  if (absl::StrContains(text, "no refusal")) GTEST_SKIP() << "NVIDIA's own driver is here";
  EXPECT_TRUE(absl::StrContains(text, "cannot open libcuda.so.1")) << text;
  EXPECT_TRUE(absl::StrContains(text, "nvidia-driver")) << text;
}

TEST(CudaDriver, NamesTheSymbolThatADriverLacks) {
  const std::string cut = absl::StrCat(getenv("LD_LIBRARY_PATH"), "/cut");
  const std::string text = streams::PrintedUnder(cut.c_str(), kHelper);
  EXPECT_TRUE(absl::StrContains(text, "libcuda.so.1 has no cuLaunchKernel")) << text;
}

TEST(Helper, DISABLED_PrintsTheRefusal) {
  const absl::Status status = CreateDriver({}).status();
  printf("%s\n", status.ok() ? "no refusal" : status.ToString().c_str());
}

TEST(CudaDriver, RefusesAnOldDriverAndNamesBothVersions) {
  const absl::Status status = Refusal("version=10020");
  EXPECT_TRUE(absl::StrContains(status.message(), "CUDA 10.2")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "11.0")) << status;
}

TEST(CudaDriver, SaysWhatInitGaveAndWhatHelps) {
  const absl::Status none = Refusal("fault=cuInit:nodevice");
  EXPECT_TRUE(absl::StrContains(none.message(), "CUDA_ERROR_NO_DEVICE")) << none;
  const absl::Status mismatch = Refusal("fault=cuInit:mismatch");
  EXPECT_TRUE(absl::StrContains(mismatch.message(), "reboot")) << mismatch;
  const absl::Status zero = Refusal("devices=0");
  EXPECT_TRUE(absl::StrContains(zero.message(), "CUDA_VISIBLE_DEVICES")) << zero;
}

TEST(CudaDriver, ShowsEightCardsWithTheSameUuidsInAnyOrder) {
  std::vector<std::string> uuids;
  const auto list = [](std::string& out) {
    const auto driver = CreateDriver({});
    ASSERT_TRUE(driver.ok()) << driver.status();
    const std::vector<DeviceInfo> infos = *(*driver)->Enumerate();
    ASSERT_EQ(infos.size(), 8u);
    for (const DeviceInfo& info : infos) {
      EXPECT_TRUE(absl::StrContains(info.name, "soft")) << info.name;
      EXPECT_EQ(info.compute_units, 132u);
      EXPECT_TRUE(info.can_sub_divide);
      absl::StrAppend(&out, info.uuid, " ", info.attributes.at("pci"), "\n");
    }
  };
  std::string forward, backward;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  for (const char* settings : {"devices=8", "devices=8;order=reverse"}) {
    InChild(settings, [&] {
      std::string text;
      list(text);
      ASSERT_EQ(write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    });
    std::string& text = forward.empty() ? forward : backward;
    text.resize(8192);
    text.resize(static_cast<size_t>(read(ends[0], text.data(), text.size())));
  }
  const auto lines = [](const std::string& text) {
    std::set<std::string> set;
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      set.insert(text.substr(at, end - at));
      at = end + 1;
    }
    return set;
  };
  EXPECT_NE(forward, backward);
  EXPECT_EQ(lines(forward), lines(backward));
}

TEST(CudaDriver, LeavesACardThatIsTooOldOutAndUsesTheOneBesideIt) {
  InChild("devices=2;capability.0=50", [] {
    const auto driver = *CreateDriver({});
    const std::vector<DeviceInfo> infos = *driver->Enumerate();
    ASSERT_EQ(infos.size(), 2u);
    EXPECT_EQ(infos[0].state, DeviceState::kUnsupported);
    EXPECT_TRUE(absl::StrContains(infos[0].reason, "5.0")) << infos[0].reason;
    EXPECT_EQ(driver->Open(infos[0].uuid, {}).status().code(),
              absl::StatusCode::kFailedPrecondition);
    EXPECT_TRUE(driver->Open(infos[1].uuid, {}).ok());
  });
}

TEST(CudaDriver, AdoptsMigInstances) {
  InChild("devices=2;mig.0=3;memory=3GiB", [] {
    const auto driver = CreateDriver({});
    ASSERT_TRUE(driver.ok()) << driver.status();
    const std::vector<DeviceInfo> infos = *(*driver)->Enumerate();
    ASSERT_EQ(infos.size(), 4u);  // three instances and the other card, but not the cut one
    std::vector<const DeviceInfo*> instances;
    for (const DeviceInfo& info : infos) {
      if (info.attributes.contains("mig")) instances.push_back(&info);
    }
    ASSERT_EQ(instances.size(), 3u);
    for (const DeviceInfo* info : instances) {
      EXPECT_EQ(info->memory_bytes, uint64_t{1} << 30);
      EXPECT_EQ(info->compute_units, 44u);
      EXPECT_FALSE(info->can_sub_divide);
    }
    EXPECT_TRUE((*driver)->Open(instances[0]->uuid, {}).ok()) << "CUDA shows the first";
    const absl::Status hidden = (*driver)->Open(instances[1]->uuid, {}).status();
    EXPECT_EQ(hidden.code(), absl::StatusCode::kFailedPrecondition) << hidden;
    EXPECT_TRUE(absl::StrContains(hidden.message(),
                                  absl::StrCat("CUDA_VISIBLE_DEVICES=MIG-", instances[1]->uuid)))
        << hidden;
  });
}

TEST(CudaDriver, OpensTheInstanceThatTheEnvironmentNames) {
  setenv("CUDA_VISIBLE_DEVICES", "MIG-736f6674-6375-4d61-8000-000000000201", 1);
  InChild("mig=3", [] {
    const auto driver = CreateDriver({});
    ASSERT_TRUE(driver.ok()) << driver.status();
    const auto device = (*driver)->Open("736f6674-6375-4d61-8000-000000000201", {});
    EXPECT_TRUE(device.ok()) << device.status();
  });
  unsetenv("CUDA_VISIBLE_DEVICES");
}

TEST(CudaDriver, TwoHalvesFitADeviceThatGroupsDoNotDivide) {
  InChild("units=132", [] {
    const auto driver = *CreateDriver({});
    const std::string uuid = driver->Enumerate()->front().uuid;
    const auto first = driver->Open(uuid, {.cores = {}, .compute_units = 66});
    const auto second = driver->Open(uuid, {.cores = {}, .compute_units = 66});
    EXPECT_TRUE(first.ok()) << first.status();
    EXPECT_TRUE(second.ok()) << second.status();
  });
}

TEST(CudaDriver, CutsADeviceIntoPartsThatDoNotOverlap) {
  InChild("", [] {
    const auto driver = *CreateDriver({});
    const std::string uuid = driver->Enumerate()->front().uuid;
    const auto open = [&](uint32_t units) {
      return driver->Open(uuid, {.cores = {}, .compute_units = units});
    };
    auto first = open(33);
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_EQ((*first)->info().compute_units, 32u) << "rounded down to groups of eight";
    auto second = open(64);
    ASSERT_TRUE(second.ok()) << second.status();
    const absl::Status full = open(41).status();
    EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
    EXPECT_TRUE(absl::StrContains(full.message(), "32 of 128")) << full;
    *second = nullptr;
    EXPECT_TRUE(open(41).ok()) << "what is closed is free again";
    EXPECT_EQ(open(133).status().code(), absl::StatusCode::kInvalidArgument);
  });
}

TEST(CudaSensors, ComeFromNvmlWithUnits) {
  InChild("power=312;temperature=61;ecc=2;utilization=87;throttle=36", [] {
    const auto driver = *CreateDriver({});
    const auto samples = driver->Sample();
    ASSERT_TRUE(samples.ok()) << samples.status();
    ASSERT_EQ(samples->size(), 1u);
    const Telemetry& sample = samples->front();
    EXPECT_EQ(sample.uuid, driver->Enumerate()->front().uuid);
    EXPECT_EQ(sample.fault, "");
    EXPECT_DOUBLE_EQ(*sample.power_watts, 312);
    EXPECT_DOUBLE_EQ(*sample.temperature_celsius, 61);
    EXPECT_DOUBLE_EQ(*sample.utilization_percent, 87);
    EXPECT_EQ(sample.uncorrected_errors, 2u);
    EXPECT_EQ(sample.throttle_reasons, (std::vector<std::string>{"power", "thermal"}));
    const auto device = *driver->Open(sample.uuid, {});
    const Ref<Buffer> buffer = *device->Allocate(1 << 20);
    EXPECT_EQ(driver->Sample()->front().memory_used_bytes, uint64_t{1} << 20);
  });
}

TEST(CudaSensors, ACardThatIsLostSaysSo) {
  InChild("fault=nvmlDeviceGetMemoryInfo:lost:after=1", [] {
    const auto driver = *CreateDriver({});
    EXPECT_TRUE(absl::StrContains(driver->Sample()->front().fault, "lost"));
  });
}

struct Running {
  std::shared_ptr<Driver> driver;
  std::unique_ptr<Device> device;
  std::unique_ptr<Queue> queue;
  Ref<Timeline> done;
  Ref<Buffer> buffer;
};

// `beside`: on the same driver.
Running Start(size_t index = 0, const Running* beside = nullptr) {
  Running it;
  it.driver = beside != nullptr ? beside->driver : std::shared_ptr<Driver>(*CreateDriver({}));
  it.device = *it.driver->Open((*it.driver->Enumerate())[index].uuid, {});
  it.queue = *it.device->CreateQueue(QueueKind::kCompute);
  it.done = *it.device->CreateTimeline();
  it.buffer = *it.device->Allocate(4096);
  return it;
}

absl::Status FillAndWait(Running& it, uint64_t value) {
  const absl::Status queued =
      it.queue->Fill(*it.buffer, 0, 4096, 1, {.waits = {}, .signal = {it.done, value}});
  return queued.ok() ? it.done->Wait(value, absl::Seconds(20)) : queued;
}

TEST(CudaFaults, ALostCardFailsItsWorkAndNotThatOfAnother) {
  InChild("devices=2;fault=copy:lost:card=0:after=3", [] {
    Running lost = Start(0), well = Start(1);
    for (uint64_t i = 1; i <= 3; ++i) EXPECT_TRUE(FillAndWait(lost, i).ok());
    const absl::Status status = FillAndWait(lost, 4);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "CUDA_ERROR_UNKNOWN")) << status;
    EXPECT_EQ(FillAndWait(lost, 5).code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(lost.device->Allocate(64).status().code(), absl::StatusCode::kDataLoss);
    for (uint64_t i = 1; i <= 10; ++i) EXPECT_TRUE(FillAndWait(well, i).ok());
  });
}

TEST(CudaFaults, AnEccErrorIsNamed) {
  InChild("fault=copy:ecc", [] {
    Running it = Start();
    const absl::Status status = FillAndWait(it, 1);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "ECC_UNCORRECTABLE")) << status;
  });
}

TEST(CudaMemory, ComesFromAPoolWhereTheDriverHasOne) {
  // With a pool the plain entry points are not called; without, nothing else is.
  for (const bool pools : {true, false}) {
    InChild(pools ? "fault=cuMemAlloc_v2:oom" : "pools=0;fault=cuMemAllocFromPoolAsync:oom",
            [pools] {
              Running it = Start();
              EXPECT_EQ(it.device->Can(kPoolMemory), pools);
              EXPECT_TRUE(FillAndWait(it, 1).ok());
              it.buffer = nullptr;
              EXPECT_EQ(it.device->allocated_bytes(), 0u);
              // What was freed is free for others at once.
              const uint64_t most = it.device->info().memory_bytes;
              for (int i = 0; i < 3; ++i) EXPECT_TRUE(it.device->Allocate(most).ok()) << i;
            });
  }
}

TEST(CudaPeers, AreReachedOnlyWhereTheDriverSaysSo) {
  for (const bool peers : {true, false}) {
    InChild(peers ? "devices=2" : "devices=2;peers=0", [peers] {
      Running one = Start(0), other = Start(1, &one);
      EXPECT_EQ(one.device->Reaches(*other.device), peers);
      const absl::Status copied =
          one.queue->Copy(*one.buffer, 0, *other.buffer, 0, 4096, {{}, {one.done, 1}});
      EXPECT_EQ(copied.ok(), peers) << copied;
      EXPECT_EQ(one.done->Wait(1, absl::Seconds(peers ? 20 : 0)).ok(), peers);
    });
  }
}

TEST(CudaPeers, AFailureThatMeetsTheCopyIsItsQueues) {
  InChild("devices=2;fault=cuMemcpyPeerAsync:lost:card=0", [] {
    Running one = Start(0), other = Start(1, &one);
    const absl::Status copied =
        one.queue->Copy(*one.buffer, 0, *other.buffer, 0, 4096, {{}, {one.done, 1}});
    EXPECT_EQ(copied.code(), absl::StatusCode::kDataLoss) << copied;
    EXPECT_TRUE(FillAndWait(other, 1).ok()) << "the other card goes on";
  });
}

TEST(CudaFaults, ADriverWithoutMemoryIsResourceExhaustedAndGoesOn) {
  InChild("fault=cuMemAllocFromPoolAsync:oom:after=1", [] {
    Running it = Start();
    const absl::Status status = it.device->Allocate(4096).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "4 KiB")) << status;
    EXPECT_TRUE(FillAndWait(it, 1).ok());
  });
}

TEST(CudaFaults, AHungCardHoldsNobodyElseUp) {
  InChild("devices=2;fault=copy:hang:card=0", [] {
    // Never destroyed: destroying it would wait for what hangs.
    auto* hung = new Running(Start(0));
    ASSERT_TRUE(hung->queue->Fill(*hung->buffer, 0, 4096, 1, {{}, {hung->done, 1}}).ok());
    Running well = Start(1);
    EXPECT_TRUE(FillAndWait(well, 1).ok());
    EXPECT_EQ(hung->done->Wait(1, absl::Milliseconds(50)).code(),
              absl::StatusCode::kDeadlineExceeded);
  });
}

TEST(CudaFaults, ACrashOfTheDriverTakesTheProcess) {
  EXPECT_EXIT(
      {
        setenv("HET_SOFT_CUDA", "fault=cuDevicePrimaryCtxRetain:crash", 1);
        (void)Start();
      },
      testing::KilledBySignal(SIGSEGV), "");
}

TEST(CudaLaunch, ChecksTheArgumentsWhereTheDriverTellsThem) {
  InChild("", [] {
    Running it = Start();
    const auto program = it.device->Build(
        {.name = "t",
         .portable = "struct P { uint a; }; HET_KERNEL void f(HET_BUFFER(0), struct P p) {"
                     " HET_PTR(uint, 0)[0] = p.a; }",
         .options = "",
         .native = {}});
    ASSERT_TRUE(program.ok()) << program.status();
    const BufferArg buffers[] = {{it.buffer.get(), 0}};
    const uint64_t params = 1;
    Launch launch;
    launch.kernel = *(*program)->GetKernel("f");
    launch.buffers = buffers;
    launch.params = {reinterpret_cast<const std::byte*>(&params), sizeof(params)};
    const absl::Status status = it.queue->Submit(launch);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "20")) << status;
    launch.params = launch.params.subspan(0, 4);
    EXPECT_TRUE(it.queue->Submit(launch).ok());
    launch.group_size[0] = 2048;
    EXPECT_EQ(it.queue->Submit(launch).code(), absl::StatusCode::kInvalidArgument);
  });
}

// A recording of six launches that increment the first word.
struct Increments {
  explicit Increments(Running& it) : it(it) {
    program = *it.device->Build({.name = "t",
                                 .portable = "HET_KERNEL void f(HET_BUFFER(0)) {"
                                             " HET_PTR(uint, 0)[0] += 1; }",
                                 .options = "",
                                 .native = {}});
  }
  absl::StatusOr<Ref<Recording>> Record() {
    const BufferArg buffers[] = {{it.buffer.get(), 0}};
    Launch launch;
    launch.kernel = *program->GetKernel("f");
    launch.buffers = buffers;
    EXPECT_TRUE(it.queue->BeginRecording().ok());
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(it.queue->Submit(launch).ok());
    return it.queue->EndRecording();
  }
  Running& it;
  Ref<Program> program;
};

TEST(CudaRecording, ACardThatIsLostInMidReplayFailsWhatWasReplayed) {
  InChild("fault=kernel:lost:after=9", [] {
    Running it = Start();
    Increments increments(it);
    const auto recording = increments.Record();
    ASSERT_TRUE(recording.ok()) << recording.status();
    EXPECT_TRUE(it.queue->Replay(**recording, {{}, {it.done, 1}}).ok());
    EXPECT_TRUE(it.done->Wait(1, absl::Seconds(20)).ok());
    (void)it.queue->Replay(**recording, {{}, {it.done, 2}});
    EXPECT_EQ(it.done->Wait(2, absl::Seconds(20)).code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(increments.Record().status().code(), absl::StatusCode::kDataLoss);
  });
}

TEST(CudaRecording, WhatTheDriverRefusesLeavesTheQueueAsItWas) {
  for (const char* fault : {"cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuLaunchKernel"}) {
    InChild(absl::StrCat("fault=", fault, ":oom").c_str(), [fault] {
      Running it = Start();
      EXPECT_EQ(Increments(it).Record().status().code(), absl::StatusCode::kResourceExhausted)
          << fault;
      EXPECT_TRUE(FillAndWait(it, 1).ok()) << fault;
    });
  }
}

TEST(CudaCompile, FindsTheEntriesOfPtx) {
  EXPECT_EQ(PtxEntries(".visible .entry add(\n.param .u64 a)\n{ }\n.entry  _Z3subPf ("),
            (std::vector<std::string>{"add", "_Z3subPf"}));
  EXPECT_TRUE(PtxEntries("").empty());
}

}  // namespace
}  // namespace het::cuda
