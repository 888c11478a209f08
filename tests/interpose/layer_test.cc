// Unmodified OpenCL programs in slices of PoCL's device, through the real loader and the layer:
// what they see, what they may allocate, that their results are theirs, and how two share.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/interpose/run_program.h"
#include "tests/interpose/seat_server.h"

namespace het::interpose {
namespace {

using ::testing::HasSubstr;

constexpr long long kAllocationFailure = -4;  // CL_MEM_OBJECT_ALLOCATION_FAILURE
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr char kPocl[] = "Portable Computing Language";

std::string InSlice(const SeatServer::Offer& offer, const std::string& more = "",
                    const std::string& device = kPocl) {
  return absl::StrCat("env OPENCL_LAYERS=" HET_LAYER " HET_SEAT_SOCKET=", offer.socket,
                      " HET_DEVICE='", device, "' ", more, " ");
}

const std::string kProbe = HET_LAYER_PROBE " ";

class Layer : public ::testing::Test {
 protected:
  SeatServer::Offer Offer(uint32_t percent = 100, uint64_t memory = 64 * kMiB) {
    return server_.AddLease(Share::OfPercent(percent), memory);
  }

  SeatServer server_;
};

TEST_F(Layer, AProgramSeesTheSliceAsItsOnlyDevice) {
  const Answer answer =
      RunShell(InSlice(Offer(50, 64 * kMiB), "HET_COMPUTE_UNITS=1") + kProbe + "devices");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  auto value = answer.values;
  EXPECT_EQ(value["platforms"], 1);
  EXPECT_EQ(value["devices"], 1);
  EXPECT_EQ(value["memory"], 64 * kMiB);
  EXPECT_LE(value["largest"], 64 * kMiB);
  EXPECT_EQ(value["units"], 1);
  EXPECT_EQ(value["has_parent"], 0);
  EXPECT_EQ(value["gpu_error"], -1);       // CL_DEVICE_NOT_FOUND: it is a CPU
  EXPECT_EQ(value["no_room_error"], -30);  // CL_INVALID_VALUE
  EXPECT_EQ(value["bad_type_error"], -31);
  EXPECT_EQ(value["counter"], 1);
}

TEST_F(Layer, ASubDeviceIsTheOnlyDevice) {
  const Answer answer = RunShell(InSlice(Offer(), "HET_SUB_DEVICE=0+1") + kProbe + "devices");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("units"), 1);
  EXPECT_EQ(answer.values.at("has_parent"), 0);
  EXPECT_EQ(answer.values.at("counter"), 1);
}

TEST_F(Layer, EveryKindOfAllocationStopsAtTheQuota) {
  const SeatServer::Offer offer = Offer(100, 8 * kMiB);
  const Answer answer = RunShell(InSlice(offer) + kProbe + absl::StrCat("quota ", 8 * kMiB));
  ASSERT_EQ(answer.exit, 0) << answer.text;
  auto value = answer.values;
  EXPECT_EQ(value["over_error"], kAllocationFailure);
  EXPECT_EQ(value["over_made"], 0);
  EXPECT_EQ(value["all_error"], 0);
  EXPECT_EQ(value["full_error"], kAllocationFailure);
  EXPECT_EQ(value["full_made"], 0);
  EXPECT_EQ(value["svm_when_full_made"], 0);
  EXPECT_EQ(value["image_when_full_error"], kAllocationFailure);
  EXPECT_EQ(value["part_error"], 0);
  EXPECT_EQ(value["parent_of_part_error"], kAllocationFailure);
  EXPECT_EQ(value["image_error"], 0);
  EXPECT_EQ(value["svm_made"], 1);
  EXPECT_EQ(value["full_again_error"], kAllocationFailure);
  EXPECT_EQ(value["instead_of_image_error"], 0);
  EXPECT_EQ(value["svm_again_made"], 1);
  EXPECT_EQ(value["all_again_error"], 0);
  EXPECT_TRUE(Eventually([&] { return server_.Usage(offer.lease).memory == 0; }));
}

TEST_F(Layer, ProcessesOfOneLeaseShareItsQuota) {
  // Two at once, each of which wants the whole quota at its edge: together they cannot both have
  // it.
  const SeatServer::Offer offer = Offer(100, 8 * kMiB);
  const std::string one = InSlice(offer) + kProbe + "busy 1 2000";
  FILE* holder = popen((one + " > /dev/null").c_str(), "w");  // holds its counters, waits for us
  ASSERT_NE(holder, nullptr);
  ASSERT_TRUE(Eventually([&] { return server_.Usage(offer.lease).memory > 0; }));
  const Answer answer = RunShell(InSlice(offer) + kProbe + absl::StrCat("quota ", 8 * kMiB));
  EXPECT_EQ(answer.values.at("all_error"), kAllocationFailure) << answer.text;
  std::fputs("go\n", holder);
  pclose(holder);
}

TEST_F(Layer, ResultsAreThoseWithoutASlice) {
  const Answer plain = RunShell(kProbe + "results");
  const Answer sliced = RunShell(InSlice(Offer(30)) + kProbe + "results");
  ASSERT_EQ(sliced.exit, 0) << sliced.text;
  EXPECT_EQ(plain.values, sliced.values);
  EXPECT_EQ(sliced.values.at("pipelined"), 2000);
  EXPECT_EQ(sliced.values.at("chained"), 2100);
  EXPECT_EQ(sliced.values.at("polled"), 2120);
}

TEST_F(Layer, WorkThatWaitsForTheProgramItselfHoldsNobodyUp) {
  const Answer answer = RunShell(InSlice(Offer(50)) + "timeout 30 " + kProbe + "user_event");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("waits"), 1);
  EXPECT_EQ(answer.values.at("counter"), 103);
}

TEST_F(Layer, LaunchesFromTheDriversCallbacksGoOn) {
  const Answer answer = RunShell(InSlice(Offer(50)) + "timeout 30 " + kProbe + "callback");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("counter"), 50);
}

TEST_F(Layer, AForkedChildWithoutExecHasNoDevice) {
  const Answer answer = RunShell(InSlice(Offer(50)) + kProbe + "fork");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("child_refused"), 1);
  EXPECT_EQ(answer.values.at("counter"), 1);
}

TEST_F(Layer, ChildrenInheritTheSlice) {
  const Answer answer =
      RunShell(InSlice(Offer(50, 32 * kMiB)) + "sh -c 'true; " + kProbe + "devices; true'");
  ASSERT_EQ(answer.exit, 0) << answer.text;
  EXPECT_EQ(answer.values.at("memory"), 32 * kMiB);
}

TEST_F(Layer, WithoutASliceTheLayerIsTransparent) {
  const Answer plain = RunShell(kProbe + "devices");
  const Answer layered = RunShell("env OPENCL_LAYERS=" HET_LAYER " " + kProbe + "devices");
  EXPECT_EQ(layered.exit, 0) << layered.text;
  EXPECT_EQ(layered.values.at("platforms"), plain.values.at("platforms"));
  EXPECT_EQ(layered.values.at("units"), plain.values.at("units"));
}

TEST_F(Layer, FailsClosedAndSaysWhy) {
  const Answer no_device = RunShell(InSlice(Offer(), "", "no such device") + kProbe + "results");
  EXPECT_EQ(no_device.exit, 4) << no_device.text;
  EXPECT_THAT(no_device.text, HasSubstr("no such device"));
  SeatServer::Offer nobody;
  nobody.socket = "/nowhere/seat.sock";
  const Answer no_seat = RunShell(InSlice(nobody) + kProbe + "results");
  EXPECT_EQ(no_seat.exit, 4) << no_seat.text;
  EXPECT_THAT(no_seat.text, HasSubstr("/nowhere/seat.sock"));
  const Answer bad_units =
      RunShell(InSlice(Offer(), "HET_COMPUTE_UNITS=many") + kProbe + "results");
  EXPECT_EQ(bad_units.exit, 4) << bad_units.text;
  EXPECT_THAT(bad_units.text, HasSubstr("HET_COMPUTE_UNITS"));
}

TEST_F(Layer, WhatADeadProgramHeldComesBack) {
  const SeatServer::Offer offer = Offer(100, 8 * kMiB);
  EXPECT_TRUE(
      LeavesNothingWhenKilled(server_, offer.lease, InSlice(offer) + kProbe + "busy 60 2000"));
}

// How exact: bench/share and bench/share_goals. Here and below: that it is held at all.
TEST_F(Layer, ACapHoldsAProgramThatIsAlone) {
  const SeatServer::Offer offer =
      server_.AddLease(Share::OfPercent(25), 64 * kMiB, Policy::kCapped);
  FILE* program = popen((InSlice(offer) + kProbe + "busy 3 2000 > /dev/null").c_str(), "w");
  ASSERT_NE(program, nullptr);
  ASSERT_TRUE(Eventually([&] { return server_.Usage(offer.lease).memory > 0; }));
  std::fputs("go\n", program);
  std::fflush(program);
  ASSERT_TRUE(Eventually([&] { return server_.Usage(offer.lease).used_ns > 0; }));
  const uint64_t before = server_.Usage(offer.lease).used_ns;
  const auto start = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::milliseconds(2000));
  const uint64_t used = server_.Usage(offer.lease).used_ns - before;
  const std::chrono::duration<double, std::nano> passed = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(pclose(program), 0);
  EXPECT_GT(used, 0u);
  EXPECT_LT(static_cast<double>(used) / passed.count(), 0.30);
}

TEST_F(Layer, TwoProgramsShareByTheirShares) {
  const SeatServer::Offer large = Offer(75), small = Offer(25);
  const auto busy = [](const SeatServer::Offer& offer) {
    return InSlice(offer, "POCL_MAX_PTHREAD_COUNT=1") + kProbe + "busy 3 2000";
  };
  const Sharing sharing = ShareOf(server_, {large.lease, small.lease}, {busy(large), busy(small)});
  EXPECT_NEAR(sharing.first, 0.75, 0.08);
  EXPECT_LT(sharing.charged, 1.1) << "time counted twice";
}

}  // namespace
}  // namespace het::interpose
