#include "devices/simulated/shared_timeline.h"

#include <sys/wait.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace het::simulated {
namespace {

constexpr int64_t kStart = 1'000'000;
constexpr int64_t kWindow = 1'000;

class SharedTimelineTest : public ::testing::Test {
 protected:
  ~SharedTimelineTest() override { SharedTimeline::Destroy(device_); }
  SharedTimeline* device_ = *SharedTimeline::Create(kStart, kWindow);
};

TEST_F(SharedTimelineTest, RunsOneAfterTheOther) {
  const auto first = device_->Submit(0, kStart, 300);
  const auto second = device_->Submit(1, kStart + 100, 50);
  EXPECT_EQ(first.end_ns, kStart + 300);
  EXPECT_EQ(second.start_ns, kStart + 300);
  EXPECT_EQ(second.end_ns, kStart + 350);
  EXPECT_EQ(device_->Submit(0, kStart + 500, 10).start_ns, kStart + 500);  // it was free
}

TEST_F(SharedTimelineTest, ALaunchCountsInEveryWindowItSpans) {
  device_->Submit(3, kStart + 900, 1'300);
  EXPECT_EQ(device_->Busy(3, 0), 100);
  EXPECT_EQ(device_->Busy(3, 1), 1'000);
  EXPECT_EQ(device_->Busy(3, 2), 200);
  EXPECT_EQ(device_->Busy(2, 1), 0);
}

TEST_F(SharedTimelineTest, TheWarmUpIsNotCounted) {
  device_->Submit(0, kStart - 400, 500);
  EXPECT_EQ(device_->Busy(0, 0), 100);
}

TEST_F(SharedTimelineTest, ProcessesShareIt) {
  const pid_t child = fork();
  if (child == 0) {
    device_->Submit(1, kStart, 250);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  EXPECT_EQ(device_->Busy(1, 0), 250);
  EXPECT_EQ(device_->Submit(0, kStart, 10).start_ns, kStart + 250);
}

TEST_F(SharedTimelineTest, WhatHasNoWindowIsRunAndNotCounted) {
  const int64_t late = kStart + int64_t{SharedTimeline::kWindows} * kWindow;
  EXPECT_EQ(device_->Submit(0, late, 10).end_ns, late + 10);
  EXPECT_EQ(device_->Submit(SharedTimeline::kClients, late, 10).end_ns, late + 20);
  EXPECT_EQ(device_->Busy(0, SharedTimeline::kWindows), 0);
}

}  // namespace
}  // namespace het::simulated
