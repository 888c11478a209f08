// Unmodified CUDA programs in slices of a soft card, through the shadow libraries: what they see,
// what they may allocate, that their results are theirs, and how two share.
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/interpose/run_program.h"
#include "tests/interpose/seat_server.h"

namespace het::interpose {
namespace {

using ::testing::HasSubstr;

constexpr long long kOutOfMemory = 2;  // CUDA_ERROR_OUT_OF_MEMORY
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr char kProbe[] = HET_CUDA_PROBE " ";
constexpr char kLinkedProbe[] = HET_CUDA_PROBE "_linked ";
// The soft driver's first and second card.
constexpr char kFirst[] = "736f6674-6375-4d61-8000-000000000001";
constexpr char kSecond[] = "736f6674-6375-4d61-8000-000000000002";
constexpr char kSoft[] = "HET_SOFT_CUDA='memory=1GiB;devices=2' LD_LIBRARY_PATH=";

std::string Plain() { return absl::StrCat("env ", kSoft, HET_SOFT_DRIVERS, " "); }

std::string InSlice(const SeatServer::Offer& offer, const std::string& more = "",
                    const std::string& device = kFirst) {
  return absl::StrCat("env ", kSoft, HET_SHADOW_FOLDER ":" HET_SOFT_DRIVERS,
                      " HET_CUDA_DRIVER=" HET_SOFT_DRIVERS "/libcuda.so.1",
                      " HET_NVML_DRIVER=" HET_SOFT_DRIVERS "/libnvidia-ml.so.1",
                      " HET_SEAT_SOCKET=", offer.socket, " HET_DEVICE=", device,
                      " HET_CUDA_VISIBLE=GPU-", device, " ", more, " ");
}

class Shadow : public ::testing::Test {
 protected:
  SeatServer::Offer Offer(uint32_t percent = 100, uint64_t memory = 64 * kMiB) {
    return server_.AddLease(Share::OfPercent(percent), memory);
  }

  SeatServer server_;
};

// The three ways in which programs find the driver's functions.
class Ways : public Shadow, public ::testing::WithParamInterface<std::string> {
 protected:
  std::string Probe() {
    return GetParam() == "linked" ? absl::StrCat(kLinkedProbe, "linked ")
                                  : absl::StrCat(kProbe, GetParam(), " ");
  }
};

INSTANTIATE_TEST_SUITE_P(Found, Ways, ::testing::Values("dlopen", "proc", "linked"),
                         [](const auto& info) { return info.param; });

TEST_P(Ways, SeeTheSliceAsTheOnlyDevice) {
  const Answer answer = RunShell(InSlice(Offer(50), "", kSecond) + Probe() + "devices");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("devices"), 1);
  EXPECT_EQ(answer.values.at("card"), 2);
  EXPECT_EQ(answer.values.at("total"), 64 * kMiB);
  EXPECT_EQ(answer.values.at("free"), 64 * kMiB);
  EXPECT_EQ(answer.values.at("whole"), 64 * kMiB);
  EXPECT_EQ(answer.values.at("counter"), 1);
}

TEST_P(Ways, EveryFamilyOfMemoryStopsAtTheByte) {
  const SeatServer::Offer offer = Offer(100, 8 * kMiB);
  const Answer answer = RunShell(InSlice(offer) + Probe() + "quota");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  int families = 0;
  for (const auto& [name, over] : answer.values) {
    const size_t end = name.rfind("_over");
    if (end == std::string::npos) continue;
    const std::string family = name.substr(0, end);
    SCOPED_TRACE(family);
    ++families;
    EXPECT_EQ(over, kOutOfMemory);
    EXPECT_GT(answer.values.at(family + "_left_after_refusal"), 0);
    EXPECT_EQ(answer.values.at(family + "_exact"), 0);
    EXPECT_EQ(answer.values.at(family + "_left"), 0);
    EXPECT_EQ(answer.values.at(family + "_freed"), 0);
    EXPECT_EQ(answer.values.at(family + "_lost"), 0);
  }
  EXPECT_EQ(families, 10);
  EXPECT_EQ(answer.values.at("pinned_booked"), 0);
  EXPECT_TRUE(Eventually([&] { return server_.Usage(offer.lease).memory == 0; }));
}

TEST_P(Ways, ComputeTheSame) {
  const Answer plain = RunShell(Plain() + Probe() + "results");
  const Answer sliced = RunShell(InSlice(Offer(30)) + "timeout 60 " + Probe() + "results");
  ASSERT_EQ(plain.exit, 0) << plain.text;
  ASSERT_EQ(sliced.exit, 0) << sliced.text;
  EXPECT_EQ(plain.values, sliced.values);
  EXPECT_EQ(sliced.values.at("pipelined"), 2000);
  EXPECT_EQ(sliced.values.at("ways"), 2003);
  EXPECT_EQ(sliced.values.at("streams"), 2183);
}

// The soft driver spoils a capture as NVIDIA's does: by a thread that asks for an event.
TEST_P(Ways, CaptureGraphsUndisturbed) {
  const Answer answer = RunShell(InSlice(Offer(50)) + "timeout 60 " + Probe() + "graphs");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("nodes"), 3);
  EXPECT_EQ(answer.values.at("counted"), 30);
}

// Only the graph is launched here: 10 times 3 kernels.
TEST_F(Shadow, GraphLaunchesAreCharged) {
  const SeatServer::Offer offer = Offer(100);
  const Answer answer = RunShell(InSlice(offer) + kProbe + "dlopen graphs 0 0 100000");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("counted"), 30);
  EXPECT_GT(server_.Usage(offer.lease).used_ns, 1'000'000u);
}

TEST_F(Shadow, PhysicalMemoryIsBookedWhileAnythingHoldsIt) {
  const Answer answer = RunShell(InSlice(Offer()) + kProbe + "dlopen physical");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("mapped"), 1);
  EXPECT_EQ(answer.values.at("released"), 1);
  EXPECT_EQ(answer.values.at("imported"), 1);
  EXPECT_EQ(answer.values.at("import_unmapped"), 1);
  EXPECT_EQ(answer.values.at("all_gone"), 0);
}

TEST_F(Shadow, AContextTakesItsMemoryAlong) {
  const Answer answer = RunShell(InSlice(Offer()) + kProbe + "proc contexts");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_GE(answer.values.at("booked"), static_cast<long long>(kMiB + 48'000));
  EXPECT_EQ(answer.values.at("booked_after"), 0);
  EXPECT_EQ(answer.values.at("booked_after_release"), 0);
}

TEST_F(Shadow, MemoryOfAnotherProcessIsBookedWhereItIsOpen) {
  const Answer answer = RunShell(InSlice(Offer()) + kProbe + "dlopen ipc");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("value"), 7);
  EXPECT_EQ(answer.values.at("open"), static_cast<long long>(kMiB));
  EXPECT_EQ(answer.values.at("closed"), 0);
}

TEST_F(Shadow, ManagementShowsTheSlicesMemoryForItsDeviceAlone) {
  const SeatServer::Offer offer = Offer(100, 64 * kMiB);
  FILE* holder = popen((InSlice(offer) + kProbe + "dlopen busy 1 10 > /dev/null").c_str(), "w");
  ASSERT_NE(holder, nullptr);
  ASSERT_TRUE(Eventually([&] { return server_.Usage(offer.lease).memory > 0; }));
  const long long used = static_cast<long long>(server_.Usage(offer.lease).memory);
  const Answer answer = RunShell(InSlice(offer) + kProbe + "dlopen management");
  std::fputs("go\n", holder);
  pclose(holder);
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("card0_total"), 64 * kMiB);
  EXPECT_EQ(answer.values.at("card0_second_total"), 64 * kMiB);
  EXPECT_EQ(answer.values.at("card0_used"), used);
  EXPECT_EQ(answer.values.at("card0_free"), static_cast<long long>(64 * kMiB) - used);
  EXPECT_EQ(answer.values.at("card1_total"), 1024 * kMiB);
}

TEST_F(Shadow, NamesThatNobodyLookedAtAreRefused) {
  const Answer answer = RunShell(InSlice(Offer()) + kProbe +
                                 "proc names cuMemAlloc cuMemAddressFree cuGetExportTable "
                                 "cuSoftSecret cuLaunchKernel cuCheckpointProcessLock");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  for (const char* known :
       {"cuMemAlloc", "cuMemAddressFree", "cuGetExportTable", "cuLaunchKernel"}) {
    EXPECT_EQ(answer.values.at(known), 1) << known;
  }
  for (const char* refused : {"cuSoftSecret", "cuCheckpointProcessLock"}) {
    SCOPED_TRACE(refused);
    EXPECT_EQ(answer.values.at(refused), 0);
    EXPECT_EQ(answer.values.at(absl::StrCat(refused, "_error")), 0);
    EXPECT_EQ(answer.values.at(absl::StrCat(refused, "_status")), 1);
  }
  // It is there: outside of slices the shadow stands in nobody's way.
  EXPECT_EQ(RunShell(Plain() + kProbe + "proc names cuSoftSecret").values.at("cuSoftSecret"), 1);
}

TEST_F(Shadow, ProcessesOfOneLeaseShareItsQuota) {
  const SeatServer::Offer offer = Offer(100, 8 * kMiB);
  FILE* holder = popen((InSlice(offer) + kProbe + "dlopen busy 1 10 > /dev/null").c_str(), "w");
  ASSERT_NE(holder, nullptr);
  ASSERT_TRUE(Eventually([&] { return server_.Usage(offer.lease).memory > 0; }));
  const uint64_t held = server_.Usage(offer.lease).memory;
  const Answer answer = RunShell(InSlice(offer) + kProbe + "dlopen devices");
  std::fputs("go\n", holder);
  pclose(holder);
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("total"), 8 * kMiB);
  EXPECT_EQ(answer.values.at("free"), static_cast<long long>(8 * kMiB - held));
}

TEST_F(Shadow, ChildrenInheritTheSlice) {
  const Answer answer =
      RunShell(InSlice(Offer(50, 32 * kMiB)) + "sh -c 'true; " + kProbe + "dlopen devices; true'");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("total"), 32 * kMiB);
}

TEST_F(Shadow, AProgramThatNamesCardsItselfStillSeesItsSlice) {
  const Answer answer =
      RunShell(InSlice(Offer(), "CUDA_VISIBLE_DEVICES=1,0") + kProbe + "dlopen devices");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("devices"), 1);
  EXPECT_EQ(answer.values.at("card"), 1);
}

TEST_F(Shadow, AForkedChildWithoutExecHasNoCuda) {
  const Answer answer = RunShell(InSlice(Offer(50)) + kProbe + "dlopen fork");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("child_refused"), 1);
  EXPECT_EQ(answer.values.at("counter"), 1);
}

TEST_F(Shadow, WithoutASliceItIsTransparent) {
  const Answer answer = RunShell(absl::StrCat("env ", kSoft, HET_SHADOW_FOLDER ":" HET_SOFT_DRIVERS,
                                              " HET_CUDA_DRIVER=" HET_SOFT_DRIVERS "/libcuda.so.1 ",
                                              kProbe, "proc devices"));
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("devices"), 2);
  EXPECT_EQ(answer.values.at("total"), 1024 * kMiB);
}

TEST_F(Shadow, FailsClosedAndSaysWhy) {
  const Answer no_device = RunShell(InSlice(Offer(), "", "00000000-0000-0000-0000-000000000009") +
                                    kProbe + "dlopen devices");
  EXPECT_EQ(no_device.exit, 4) << no_device.text;
  SeatServer::Offer nobody;
  nobody.socket = "/nowhere/seat.sock";
  const Answer no_seat = RunShell(InSlice(nobody) + kProbe + "dlopen devices");
  EXPECT_EQ(no_seat.exit, 4) << no_seat.text;
  EXPECT_THAT(no_seat.text, HasSubstr("/nowhere/seat.sock"));
  const Answer bad_turn =
      RunShell(InSlice(Offer(), "HET_TURN_US=long") + kProbe + "dlopen devices");
  EXPECT_EQ(bad_turn.exit, 4) << bad_turn.text;
  EXPECT_THAT(bad_turn.text, HasSubstr("HET_TURN_US"));
  const Answer no_driver = RunShell(InSlice(Offer(), "HET_CUDA_DRIVER=/nowhere/libcuda.so.1") +
                                    kProbe + "dlopen devices");
  EXPECT_EQ(no_driver.exit, 4) << no_driver.text;
  EXPECT_THAT(no_driver.text, HasSubstr("/nowhere/libcuda.so.1"));
  const Answer itself =
      RunShell(InSlice(Offer(), "HET_CUDA_DRIVER=" HET_SHADOW_FOLDER "/libcuda.so.1") + kProbe +
               "dlopen devices");
  EXPECT_EQ(itself.exit, 4) << itself.text;
  EXPECT_THAT(itself.text, HasSubstr("itself"));
}

TEST_F(Shadow, WhatADeadProgramHeldComesBack) {
  const SeatServer::Offer offer = Offer(100, 8 * kMiB);
  EXPECT_TRUE(LeavesNothingWhenKilled(server_, offer.lease,
                                      InSlice(offer) + kProbe + "dlopen busy 60 20000"));
}

// That it is held at all; how exact it is, bench/shadow shows. A program's time is what passes
// while it has the card: if another had it meanwhile, that would be counted twice.
TEST_F(Shadow, TwoProgramsShareByTheirShares) {
  const SeatServer::Offer large = Offer(70), small = Offer(30);
  const auto busy = [](const SeatServer::Offer& offer) {
    return InSlice(offer, "POCL_MAX_PTHREAD_COUNT=1") + kProbe + "dlopen busy 3 2000";
  };
  const Sharing sharing = ShareOf(server_, {large.lease, small.lease}, {busy(large), busy(small)});
  EXPECT_NEAR(sharing.first, 0.70, 0.08);
  EXPECT_LT(sharing.charged, 1.1);
  EXPECT_GT(sharing.charged, 0.3);
}

}  // namespace
}  // namespace het::interpose
