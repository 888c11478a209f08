// hetd, het-probe and a driver that is well, hangs, crashes, and grows and loses cards: the soft
// Level Zero driver behind the real loader, steered through its control file while hetd runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "daemon/process.h"
#include "tests/daemon/hetd_process.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

class HealthTest : public testing::Test {
 protected:
  HealthTest() {
    control_ = hetd_.directory().path() + "/control";
    Control("");
    setenv("ZE_ENABLE_ALT_DRIVERS", HET_SOFT_ZE, 1);
    setenv("HET_SOFT_LEVEL_ZERO", "devices=1;memory=256MiB;temperature=52;power=80", 1);
    setenv("HET_SOFT_LEVEL_ZERO_FILE", control_.c_str(), 1);
    hetd_.UseRealProbe("cpu,level_zero");
    hetd_.Start();
    client_ = hetd_.Connect();
  }

  void Control(const std::string& text) { std::ofstream(control_) << text; }

  std::vector<DeviceInfo> Cards() {
    std::vector<DeviceInfo> cards;
    const auto rows = client_->ListDevices();
    EXPECT_TRUE(rows.ok()) << rows.status();
    for (const auto& row : *rows) {
      if (row.info.backend == "level_zero") cards.push_back(row.info);
    }
    return cards;
  }
  DeviceState CpuState() {
    const auto rows = client_->ListDevices();
    for (const auto& row : *rows) {
      if (row.info.backend == "cpu") return row.info.state;
    }
    return DeviceState::kUnsupported;
  }
  bool BecomesState(DeviceState state, int64_t ms) {
    return Eventually(
        [&] {
          const auto cards = Cards();
          return !cards.empty() && cards[0].state == state;
        },
        ms);
  }

  HetdProcess hetd_;
  std::string control_;
  std::unique_ptr<protocol::Client> client_;
};

TEST_F(HealthTest, ADriverThatHangsCostsFiveSecondsAndItsDeviceComesBack) {
  ASSERT_EQ(Cards().size(), 1u);
  ASSERT_EQ(Cards()[0].state, DeviceState::kOk);
  const std::string uuid = Cards()[0].uuid;
  const int64_t begin = Clock::Real().MonotonicNanos();
  Control("fault=zeDeviceGetStatus:hang");
  ASSERT_TRUE(BecomesState(DeviceState::kDegraded, 9000));
  EXPECT_GT(Clock::Real().MonotonicNanos() - begin, 3'000'000'000) << "not before its time";
  EXPECT_THAT(Cards()[0].reason, HasSubstr("hangs"));
  EXPECT_EQ(CpuState(), DeviceState::kOk);
  EXPECT_FALSE(client_->Acquire(AcquireOf(uuid, 10, 1 << 20)).ok());
  Control("");
  ASSERT_TRUE(BecomesState(DeviceState::kOk, 20'000)) << "without a restart of hetd";
  EXPECT_EQ(Cards()[0].uuid, uuid);
}

TEST_F(HealthTest, ADriverThatCrashesTakesOnlyItsProbeAlong) {
  ASSERT_EQ(Cards().size(), 1u);
  Control("fault=zeDeviceGetStatus:crash");
  ASSERT_TRUE(BecomesState(DeviceState::kDegraded, 9000));
  EXPECT_THAT(Cards()[0].reason, HasSubstr("crashed"));
  Control("");
  ASSERT_TRUE(BecomesState(DeviceState::kOk, 20'000));
}

TEST_F(HealthTest, CardsComeAndGo) {
  ASSERT_EQ(Cards().size(), 1u);
  const std::string first = Cards()[0].uuid;
  Control("devices=2");
  ASSERT_TRUE(Eventually([this] { return Cards().size() == 2; }, 15'000)) << "plugged in";
  EXPECT_EQ(Cards()[0].uuid, first) << "the other keeps its identity";
  Control("devices=1");
  ASSERT_TRUE(Eventually([this] { return Cards().size() == 1; }, 15'000)) << "pulled out";
  EXPECT_EQ(Cards()[0].uuid, first);
  Control("devices=2");
  ASSERT_TRUE(Eventually([this] { return Cards().size() == 2; }, 15'000)) << "plugged in again";
}

TEST_F(HealthTest, ARemovedCardStaysListedAsLongAsSomebodyHoldsAPartOfIt) {
  Control("devices=2");
  ASSERT_TRUE(Eventually([this] { return Cards().size() == 2; }, 15'000));
  const std::string second = Cards()[1].uuid;
  const auto lease = client_->Acquire(AcquireOf(second, 10, 1 << 20));
  ASSERT_TRUE(lease.ok()) << lease.status();
  const auto second_is = [&](DeviceState state) {
    const auto cards = Cards();
    return cards.size() == 2 && cards[1].uuid == second && cards[1].state == state;
  };
  Control("devices=1");
  ASSERT_TRUE(Eventually([&] { return second_is(DeviceState::kRemoved); }, 15'000));
  EXPECT_FALSE(client_->Acquire(AcquireOf(second, 10, 1 << 20)).ok());
  Control("devices=2");
  ASSERT_TRUE(Eventually([&] { return second_is(DeviceState::kOk); }, 15'000));
  EXPECT_EQ(client_->ListLeases()->size(), 1u) << "the same device, and its lease";
  Control("devices=1");
  ASSERT_TRUE(Eventually([&] { return second_is(DeviceState::kRemoved); }, 15'000));
  ASSERT_TRUE(client_->Release(ChangeOf(lease->front())).ok());
  EXPECT_TRUE(Eventually([this] { return Cards().size() == 1; }, 2000)) << "with the last lease";
}

TEST_F(HealthTest, TellsWhatSensorsSayAndWhatLinksDo) {
  ASSERT_EQ(Cards().size(), 1u);
  const auto card = [this]() -> Json {
    const auto pages = client_->CallMore("org.het.v1.ListTelemetry", Json::object());
    EXPECT_TRUE(pages.ok()) << pages.status();
    for (const Json& page : *pages) {
      for (const Json& row : page.value("telemetry", Json::array())) {
        if (row.value("id", "") == Cards()[0].uuid) return row;
      }
    }
    return Json::object();
  };
  ASSERT_TRUE(Eventually([&] { return card().contains("powerWatts"); }, 10'000));
  EXPECT_EQ(card().value("temperatureCelsius", 0.0), 52);
  EXPECT_NEAR(card().value("powerWatts", 0.0), 80, 1);

  const auto links = client_->CallMore("org.het.v1.ListLinks", Json{{"measure", true}});
  ASSERT_TRUE(links.ok()) << links.status();
  int measured = 0;
  for (const Json& page : *links) {
    for (const Json& link : page.value("links", Json::array())) {
      measured += link.value("bytesPerSecond", 0.0) > 0 && link.value("latencySeconds", 0.0) > 0;
    }
  }
  EXPECT_EQ(measured, 6) << "the card, the processors and the host's memory, both ways";
}

// Programs that `parent` started.
std::vector<ProcessId> ChildrenOf(pid_t parent) {
  std::vector<ProcessId> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = atoi(entry.path().filename().c_str());
    std::ifstream stat(entry.path() / "stat");
    std::string text;
    std::getline(stat, text);
    pid_t of = 0;
    if (pid == 0 || sscanf(text.c_str(), "%*d (%*[^)]) %*c %d", &of) != 1 || of != parent) continue;
    if (const auto child = FindProcess(pid); child.ok()) children.push_back(*child);
  }
  return children;
}

TEST(HealthOfAHungDriver, KilledHetdLeavesNoProbeBehind) {
  setenv("ZE_ENABLE_ALT_DRIVERS", HET_SOFT_ZE, 1);
  setenv("HET_SOFT_LEVEL_ZERO", "devices=1;fault=zeInit:hang", 1);
  unsetenv("HET_SOFT_LEVEL_ZERO_FILE");
  HetdProcess hetd;
  hetd.UseRealProbe("level_zero");
  hetd.Start();
  std::vector<ProcessId> children;
  // Two: that of the driver, which hangs, and that of the tree, which ends by itself.
  ASSERT_TRUE(Eventually([&] {
    children = ChildrenOf(hetd.pid());
    return children.size() == 1;
  }));
  hetd.Kill(SIGKILL);
  EXPECT_TRUE(Eventually([&] { return !IsAlive(children[0]); }, 4000))
      << "process " << children[0].pid << " waits for a driver that will never answer";
}

}  // namespace
}  // namespace het::daemon
