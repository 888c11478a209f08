#include "devices/timeline.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "devices/device_info.h"

namespace het {
namespace {

TEST(Timeline, RunsCallbacksInOrderOfValue) {
  Ref<Timeline> timeline = MakeRef<Timeline>(nullptr);
  std::vector<int> order;
  timeline->OnReach(2, [&](const absl::Status&) { order.push_back(2); });
  timeline->OnReach(1, [&](const absl::Status&) { order.push_back(1); });
  timeline->OnReach(3, [&](const absl::Status&) { order.push_back(3); });
  timeline->Signal(2);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  timeline->Signal(1);
  EXPECT_EQ(timeline->value(), 2u);
  timeline->OnReach(2, [&](const absl::Status& s) { order.push_back(s.ok() ? 20 : -1); });
  EXPECT_EQ(order.back(), 20);
}

TEST(Timeline, AFailureReachesThoseWhoWaitAndThoseWhoComeLater) {
  Ref<Timeline> timeline = MakeRef<Timeline>(nullptr);
  absl::Status seen;
  timeline->Signal(1);
  timeline->OnReach(5, [&](const absl::Status& s) { seen = s; });
  timeline->Fail(absl::DataLossError("gone"));
  EXPECT_EQ(seen.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(timeline->Wait(6).code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(timeline->Wait(1).ok()) << "what was reached before the failure stays reached";
  timeline->Signal(9);
  EXPECT_EQ(timeline->value(), 1u);
}

TEST(Timeline, WaitEndsBySignalOrByDeadline) {
  Ref<Timeline> timeline = MakeRef<Timeline>(nullptr);
  EXPECT_EQ(timeline->Wait(1, absl::Milliseconds(5)).code(), absl::StatusCode::kDeadlineExceeded);
  std::thread other([&] { timeline->Signal(1); });
  EXPECT_TRUE(timeline->Wait(1, absl::Seconds(30)).ok());
  other.join();
}

TEST(Timeline, GivesAnEventFd) {
  Ref<Timeline> timeline = MakeRef<Timeline>(nullptr);
  const int fd = *timeline->EventFd(3);
  pollfd poll_fd{fd, POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 0);
  timeline->Signal(3);
  EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
  close(fd);
}

TEST(DeviceInfo, SurvivesTheWire) {
  DeviceInfo info;
  info.uuid = "11111111-2222-3333-4444-555555555555";
  info.vendor = "Acme";
  info.kind = DeviceKind::kNpu;
  info.state = DeviceState::kUnsupported;
  info.remedy = "install acme-driver";
  info.memory_bytes = 1 << 30;
  info.cores = {0, 2};
  info.shares_hardware_with = {"x"};
  info.attributes["profile"] = "/p";
  info.memory_bytes_per_s = 1e9;
  const DeviceInfo back = *DeviceInfoFromJson(ToJson(info));
  EXPECT_EQ(ToJson(back), ToJson(info));
  EXPECT_EQ(back.kind, DeviceKind::kNpu);
  EXPECT_EQ(back.cores, info.cores);
  EXPECT_FALSE(DeviceInfoFromJson(Json{{"id", 3}}).ok());
  EXPECT_FALSE(DeviceInfoFromJson(Json{{"id", "x"}, {"kind", "toaster"}}).ok());
}

}  // namespace
}  // namespace het
