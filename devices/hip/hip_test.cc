// What is the hip backend's own, on the soft runtime: runtimes that are old or broken, faults while
// work runs, parts of a device. Each test runs in a process of its own.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>

#include "absl/strings/match.h"
#include "devices/hip/compile.h"
#include "devices/hip/driver.h"
#include "devices/streams/test_process.h"

namespace het::hip {
namespace {

void InChild(const char* settings, const std::function<void()>& body) {
  streams::InChild("HET_SOFT_HIP", settings, body);
}

void ExpectRefusal(const char* settings, absl::string_view word) {
  InChild(settings, [word] {
    const absl::Status status = CreateDriver({}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), word)) << status;
  });
}

TEST(HipDriver, RefusesAnOldRuntimeAndNamesBothVersions) {
  ExpectRefusal("version=40500000", "4.5");
  ExpectRefusal("version=40500000", "5.0");
}

TEST(HipDriver, SaysWhatInitGaveAndWhatHelps) {
  ExpectRefusal("fault=hipInit:nodevice", "/dev/kfd");
  ExpectRefusal("devices=0", "HIP_VISIBLE_DEVICES");
  ExpectRefusal("fault=hipInit:lost", "rocminfo");
}

TEST(HipDriver, NamesTheSymbolThatARuntimeLacks) {
  const std::string cut = std::string(getenv("LD_LIBRARY_PATH")) + "/cut";
  const std::string text = streams::PrintedUnder(cut.c_str(), "Helper.DISABLED_PrintsTheRefusal");
  EXPECT_TRUE(absl::StrContains(text, "has no hipModuleLaunchKernel")) << text;
}

TEST(Helper, DISABLED_PrintsTheRefusal) {
  const absl::Status status = CreateDriver({}).status();
  printf("%s\n", status.ok() ? "no refusal" : status.ToString().c_str());
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

TEST(HipDriver, ShowsItsCardsAsSoftWithUuidsOfTheirOwn) {
  InChild("devices=8", [] {
    const auto driver = CreateDriver({});
    ASSERT_TRUE(driver.ok()) << driver.status();
    const std::vector<DeviceInfo> infos = *(*driver)->Enumerate();
    ASSERT_EQ(infos.size(), 8u);
    for (const DeviceInfo& info : infos) {
      EXPECT_TRUE(absl::StrContains(info.name, "soft")) << info.name;
      EXPECT_EQ(info.vendor, "AMD");
      EXPECT_EQ(info.compute_units, 304u);
    }
    EXPECT_NE(infos[0].uuid, infos[1].uuid);
  });
}

TEST(HipDriver, MasksOfPartsDoNotOverlap) {
  InChild("units=10", [] {
    const auto driver = *CreateDriver({});
    const std::string uuid = driver->Enumerate()->front().uuid;
    const auto open = [&](uint32_t units) {
      return driver->Open(uuid, {.cores = {}, .compute_units = units});
    };
    auto first = open(3);
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_EQ((*first)->info().compute_units, 2u) << "rounded down to a pair";
    auto second = open(4);
    ASSERT_TRUE(second.ok()) << second.status();
    const absl::Status full = open(6).status();
    EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
    EXPECT_TRUE(absl::StrContains(full.message(), "4 of 10")) << full;
    *second = nullptr;
    EXPECT_TRUE(open(6).ok()) << "what is closed is free again";
    EXPECT_EQ(open(11).status().code(), absl::StatusCode::kInvalidArgument);
  });
}

TEST(HipMemory, ComesFromAPoolWhereTheRuntimeHasOne) {
  for (const bool pools : {true, false}) {
    InChild(pools ? "fault=hipMalloc:oom" : "pools=0;fault=hipMallocFromPoolAsync:oom", [pools] {
      Running it = Start();
      EXPECT_EQ(it.device->Can(kPoolMemory), pools);
      EXPECT_TRUE(FillAndWait(it, 1).ok());
      it.buffer = nullptr;
      const uint64_t most = it.device->info().memory_bytes;
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(it.device->Allocate(most).ok()) << i;
    });
  }
}

TEST(HipPeers, AreReachedOnlyWhereTheRuntimeSaysSo) {
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

TEST(HipFaults, ALostCardFailsItsWorkAndNotThatOfAnother) {
  InChild("devices=2;fault=copy:lost:card=0:after=3", [] {
    Running lost = Start(0), well = Start(1);
    for (uint64_t i = 1; i <= 3; ++i) EXPECT_TRUE(FillAndWait(lost, i).ok());
    const absl::Status status = FillAndWait(lost, 4);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_EQ(lost.device->Allocate(64).status().code(), absl::StatusCode::kDataLoss);
    for (uint64_t i = 1; i <= 10; ++i) EXPECT_TRUE(FillAndWait(well, i).ok());
  });
}

TEST(HipFaults, ARuntimeWithoutMemoryIsResourceExhaustedAndGoesOn) {
  InChild("fault=hipMallocFromPoolAsync:oom:after=1", [] {
    Running it = Start();
    const absl::Status status = it.device->Allocate(4096).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_TRUE(FillAndWait(it, 1).ok());
  });
}

TEST(HipCompile, FindsTheEntriesOfACodeObject) {
  constexpr char kCode[] =
      "\x7f"
      "ELF\0add.kd\0sub_2.kd\0\0add.kd\0add.kdx";
  EXPECT_EQ(CodeEntries(absl::string_view(kCode, sizeof(kCode) - 1)),
            (std::vector<std::string>{"add", "sub_2"}));
  EXPECT_TRUE(CodeEntries("").empty());
}

}  // namespace
}  // namespace het::hip
