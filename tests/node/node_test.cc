// The node on a simulated machine: devices that are lost, drivers that hang, disks that fail, at
// every place in turn.
#include "daemon/node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "tests/node/sim_disk.h"
#include "tests/node/sim_world.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000'000;
const Caller kAna = {1000, {}, false};

class NodeTest : public testing::Test {
 protected:
  NodeTest() : disk_(7) {
    Log().set_level(spdlog::level::off);
    process_ = world_.NewProcess();
    Start();
  }
  ~NodeTest() override { Kill(); }

  // False: the store did not open.
  bool Start() {
    auto store = Store::Open("/sim", world_.clock(), disk_.vfs());
    if (!store.ok()) return false;
    store_ = *std::move(store);
    node_ = std::make_unique<Node>(world_, *store_, SimWorld::DiscoveryOptions(), config_);
    world_.Open(1);
    if (!node_->Begin(world_).ok()) return false;
    Pass(kSecond);
    return true;
  }
  void Kill(bool power_lost = false) {
    disk_.DieAfter(0);
    node_.reset();
    store_.reset();
    world_.ForgetNode();
    disk_.Revive(power_lost);
  }
  // Time goes by in small steps, as on the loop.
  void Pass(int64_t nanos) {
    for (int64_t left = nanos; left > 0; left -= kSecond / 10) {
      world_.time().Advance(std::min(left, kSecond / 10));
      for (const ProcessId& process : world_.Deliver()) node_->OnProcessEnded(process);
      node_->Tick();
      node_->EndTurn();
    }
  }
  Json Ask(const std::string& method, Json parameters) {
    // As it comes off the wire.
    const Json request = {{"method", "org.het.v1." + method}, {"parameters", parameters}};
    node_->handler().OnRequest(1, {kAna.uid, process_, false}, *ParseJson(PrintJson(request)));
    node_->EndTurn();
    const std::vector<SimWorld::Answered> answers = world_.TakeAnswers();
    return answers.empty() ? Json() : answers.front().message;
  }
  static bool Ok(const Json& answer) { return answer.is_object() && !answer.contains("error"); }
  static Json AcquireOf(const std::string& request, const std::string& transaction = "",
                        std::vector<std::string> devices = {"gpu-0"}) {
    Json slices = Json::array();
    for (const std::string& device : devices) {
      slices.push_back({{"device", device}, {"sharePercent", 10}, {"memoryBytes", kGiB}});
    }
    Json parameters = {{"slices", slices}, {"holder", "manual"}, {"requestId", request}};
    if (transaction.empty()) {
      parameters["confirm"] = true;
    } else {
      parameters["transaction"] = transaction;
    }
    return parameters;
  }
  const DeviceInfo& Device(size_t index) const {
    return **node_->ledger().FindDevice("gpu-" + std::to_string(index));
  }
  size_t Leases() const { return node_->book().leases().size(); }

  SimDisk disk_;
  SimWorld world_;
  Config config_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Node> node_;
  ProcessId process_;
};

// ---- placement ----

TEST_F(NodeTest, ChoosesDevicesAndKeepsWhyThroughALossOfPower) {
  const Json slice = {{"devices", 2}, {"sharePercent", 40}, {"memoryBytes", kGiB}};
  const Json answer =
      Ask("Acquire", {{"slices", {slice}}, {"holder", "manual"}, {"confirm", true}});
  ASSERT_TRUE(Ok(answer)) << PrintJson(answer);
  const Json& leases = answer["parameters"]["leases"];
  ASSERT_EQ(leases.size(), 2u);
  EXPECT_NE(leases[0]["device"], leases[1]["device"]);
  const std::string why = leases[0]["placement"];
  EXPECT_THAT(why, HasSubstr("policy het"));
  Kill(/*power_lost=*/true);
  ASSERT_TRUE(Start());
  ASSERT_EQ(Leases(), 2u);
  for (const auto& [id, lease] : node_->book().leases()) EXPECT_EQ(lease.slice.placement, why);
  // Another goes beside one of them, not to an untouched device.
  Json one = slice;
  one["devices"] = 1;
  const Json beside = Ask("Acquire", {{"slices", {one}}, {"holder", "manual"}, {"confirm", true}});
  ASSERT_TRUE(Ok(beside)) << PrintJson(beside);
  const Json& device = beside["parameters"]["leases"][0]["device"];
  EXPECT_TRUE(device == leases[0]["device"] || device == leases[1]["device"]) << PrintJson(beside);
}

TEST_F(NodeTest, RefusesDevicesThatAreNotThere) {
  const auto ask = [this](Json slice) {
    slice["sharePercent"] = 40;
    slice["memoryBytes"] = kGiB;
    return Ask("Acquire", {{"slices", {slice}}, {"holder", "manual"}, {"confirm", true}});
  };
  const Json many = ask({{"devices", 32}});
  EXPECT_EQ(many["error"], "org.het.v1.NoCapacity");
  EXPECT_TRUE(many["parameters"]["neverFits"]);
  EXPECT_EQ(ask({{"devices", 33}})["error"], "org.het.v1.Invalid");
  EXPECT_EQ(ask({{"devices", 1}, {"device", "gpu-0"}})["error"], "org.het.v1.Invalid");
  EXPECT_EQ(ask({{"devices", 1}, {"kind", "npu"}})["error"], "org.het.v1.NotFound");
  EXPECT_EQ(Leases(), 0u);
}

// ---- transactions ----

TEST_F(NodeTest, ConfirmsATransactionOfSeveralCallsAtOnce) {
  EXPECT_TRUE(Ok(Ask("Acquire", AcquireOf("a", "t", {"gpu-0", "gpu-1"}))));
  EXPECT_TRUE(Ok(Ask("Acquire", AcquireOf("b", "t", {"gpu-2"}))));
  const Json confirmed = Ask("Confirm", {{"transaction", "t"}, {"requestId", "c"}});
  ASSERT_TRUE(Ok(confirmed)) << PrintJson(confirmed);
  EXPECT_EQ(confirmed["parameters"]["leases"].size(), 3u);
  Pass(100 * kSecond);
  EXPECT_EQ(Leases(), 3u);
  // Decided: it takes no more, and a repeat of the decision finds it.
  EXPECT_EQ(Ask("Acquire", AcquireOf("d", "t"))["error"], "org.het.v1.NotUsable");
  EXPECT_EQ(
      Ask("Confirm", {{"transaction", "t"}, {"requestId", "e"}})["parameters"]["leases"].size(),
      3u);
  EXPECT_EQ(Ask("Cancel", {{"transaction", "t"}})["error"], "org.het.v1.NotUsable");
}

TEST_F(NodeTest, RemembersACancelThatCameBeforeItsTry) {
  EXPECT_TRUE(Ok(Ask("Cancel", {{"transaction", "t"}})));
  Kill();
  ASSERT_TRUE(Start());
  const Json late = Ask("Acquire", AcquireOf("a", "t"));
  EXPECT_EQ(late["error"], "org.het.v1.NotUsable");
  EXPECT_THAT(late["parameters"]["message"].get<std::string>(), HasSubstr("was cancelled"));
  EXPECT_EQ(Leases(), 0u);
  EXPECT_TRUE(Ok(Ask("Cancel", {{"transaction", "t"}}))) << "again";
}

TEST_F(NodeTest, EndsATransactionWholeThatNobodyConfirms) {
  ASSERT_TRUE(Ok(Ask("Acquire", AcquireOf("a", "t"))));
  Pass(20 * kSecond);
  ASSERT_TRUE(Ok(Ask("Acquire", AcquireOf("b", "t"))));
  Pass(20 * kSecond);
  EXPECT_EQ(Leases(), 2u) << "the second try gave the first one time too";
  Pass(11 * kSecond);
  EXPECT_EQ(Leases(), 0u);
  EXPECT_EQ(Ask("Confirm", {{"transaction", "t"}})["error"], "org.het.v1.NotUsable");
  EXPECT_EQ(Ask("Acquire", AcquireOf("c", "t"))["error"], "org.het.v1.NotUsable");
}

TEST_F(NodeTest, EndsATransactionWholeWhenOneOfItsProcessesEnds) {
  Json of_process = AcquireOf("a", "t");
  of_process["holder"] = "process";
  ASSERT_TRUE(Ok(Ask("Acquire", of_process)));
  ASSERT_TRUE(Ok(Ask("Acquire", AcquireOf("b", "t"))));
  world_.End(process_);
  Pass(kSecond);
  EXPECT_EQ(Leases(), 0u);
}

TEST_F(NodeTest, LetsNoSingleLeaseOutOfATransaction) {
  const Json tried = Ask("Acquire", AcquireOf("a", "t"));
  const Json ref = {{{"id", tried["parameters"]["leases"][0]["id"]}}};
  for (const char* method : {"Confirm", "Cancel", "Release"}) {
    EXPECT_EQ(Ask(method, {{"leases", ref}})["error"], "org.het.v1.NotUsable") << method;
  }
  ASSERT_TRUE(Ok(Ask("Confirm", {{"transaction", "t"}})));
  EXPECT_TRUE(Ok(Ask("Release", {{"leases", ref}})));
}

TEST_F(NodeTest, RollsATryBackAtWhicheverSliceItFails) {
  const std::vector<std::string> good = {"gpu-0", "gpu-1", "gpu-2", "gpu-0"};
  for (size_t k = 0; k <= good.size(); ++k) {
    std::vector<std::string> devices = good;
    devices.insert(devices.begin() + static_cast<std::ptrdiff_t>(k), "gpu-none");
    const std::string request = "r" + std::to_string(k);
    EXPECT_TRUE(Ask("Acquire", AcquireOf(request, "", devices)).contains("error"));
    EXPECT_EQ(Leases(), 0u);
    for (const DeviceInfo& device : node_->ledger().devices()) {
      EXPECT_EQ(node_->ledger().FreeOf(device).share, Share::Whole()) << k;
    }
    const Json retry = Ask("Acquire", AcquireOf(request + "again", "", good));
    ASSERT_TRUE(Ok(retry)) << PrintJson(retry);
    Json refs = Json::array();
    for (const Json& lease : retry["parameters"]["leases"]) refs.push_back({{"id", lease["id"]}});
    ASSERT_TRUE(Ok(Ask("Release", {{"leases", refs}})));
  }
}

TEST_F(NodeTest, RollsATransactionBackAtWhicheverTryItsDiskFails) {
  for (int k = 0; k < 4; ++k) {
    const std::string name = "t" + std::to_string(k);
    for (int i = 0; i < 4; ++i) {
      if (i == k) disk_.FailAfter(1, SimDisk::Fault::kFull);
      const Json answer = Ask("Acquire", AcquireOf(name + "/" + std::to_string(i), name));
      EXPECT_EQ(answer.contains("error"), i == k) << PrintJson(answer);
      EXPECT_EQ(Leases(), static_cast<size_t>(i == k ? i : i + 1));
      if (i != k) continue;
      EXPECT_EQ(answer["error"], "org.het.v1.Unavailable");
      disk_.Heal();
      ASSERT_TRUE(Ok(Ask("Acquire", AcquireOf(name + "/" + std::to_string(i), name))))
          << "the retry";
    }
    EXPECT_EQ(Ask("Cancel", {{"transaction", name}})["parameters"]["leases"].size(), 4u);
    EXPECT_EQ(Leases(), 0u);
  }
}

// ---- the disk ----

TEST_F(NodeTest, RefusesWithTheReasonAtEveryCallThatFailsAndHeals) {
  const Json kept = Ask("Acquire", AcquireOf("kept"));
  ASSERT_TRUE(Ok(kept));
  int request = 0;
  for (const SimDisk::Fault fault : {SimDisk::Fault::kIo, SimDisk::Fault::kFull}) {
    // From the nth change of the disk on, until a commit passes without reaching it.
    int refused = 0;
    for (int64_t n = 1; n < 200; ++n) {
      const int64_t before = disk_.changes();
      disk_.FailAfter(n, fault);
      const std::string id = "r" + std::to_string(++request);
      const Json answer = Ask("Acquire", AcquireOf(id));
      const bool reached = disk_.changes() - before >= n;
      disk_.Heal();
      EXPECT_EQ(Leases(), answer.contains("error") ? 1u : 2u) << "what was kept stays";
      if (answer.contains("error")) {
        ++refused;
        EXPECT_EQ(answer["error"], "org.het.v1.Unavailable");
        EXPECT_THAT(answer["parameters"]["message"].get<std::string>(), HasSubstr("/sim/hetd.db"));
        Pass(2 * kSecond);
        EXPECT_TRUE(node_->book().store_status().ok()) << "healed by itself, call " << n;
      }
      const Json now = Ask("Acquire", AcquireOf(id));
      ASSERT_TRUE(Ok(now)) << PrintJson(now);
      const Json ref = {{{"id", now["parameters"]["leases"][0]["id"]}}};
      ASSERT_TRUE(Ok(Ask("Release", {{"leases", ref}})));
      if (!reached) break;
    }
    EXPECT_GE(refused, 2) << "a commit writes and syncs";
  }
  Kill();
  ASSERT_TRUE(Start());
  EXPECT_EQ(Leases(), 1u);
}

TEST_F(NodeTest, StartsOrSaysWhyAtEveryCallThatFails) {
  ASSERT_TRUE(Ok(Ask("Acquire", AcquireOf("kept"))));
  for (int64_t n = 1; n < 100; ++n) {
    Kill();
    const int64_t before = disk_.changes();
    disk_.FailAfter(n, SimDisk::Fault::kIo);
    const auto store = Store::Open("/sim", world_.clock(), disk_.vfs());
    if (!store.ok()) {
      EXPECT_EQ(store.status().code(), absl::StatusCode::kUnavailable) << store.status();
    }
    const bool reached = disk_.changes() - before >= n;
    disk_.Heal();
    if (!reached) break;
  }
  Kill();
  ASSERT_TRUE(Start());
  EXPECT_EQ(Leases(), 1u);
}

TEST_F(NodeTest, LosesNothingWhenPowerGoesAtAnyChange) {
  int cuts = 0;
  size_t held = 0;
  for (int64_t n = 1; n <= 250; ++n) {
    disk_.DieAfter(n);
    // Until the power goes: a lease more, and every third time one less.
    while (!disk_.dead()) {
      const std::string id = "r" + std::to_string(n) + "/" + std::to_string(disk_.changes());
      const Json answer = Ask("Acquire", AcquireOf(id, "", {"gpu-" + std::to_string(n % 3)}));
      if (disk_.dead()) break;
      if (answer.contains("error")) {
        // Full: everything goes.
        Json refs = Json::array();
        for (const auto& [lease, row] : node_->book().leases()) refs.push_back({{"id", lease}});
        if (refs.size() > 64) refs.erase(refs.begin() + 64, refs.end());
        const size_t given = refs.size();
        const Json released = Ask("Release", {{"leases", refs}});
        if (!disk_.dead() && Ok(released)) held -= given;
        continue;
      }
      ++held;
    }
    ++cuts;
    Kill(/*power_lost=*/true);
    ASSERT_TRUE(Start()) << "cut " << n;
    // The last call was not answered: it may have happened, whole, or not at all.
    const size_t now = Leases();
    EXPECT_TRUE(now == held || now == held + 1 || (now < held && held - now <= 64)) << "cut " << n;
    held = now;
  }
  printf("%d power cuts\n", cuts);
}

// ---- devices ----

TEST_F(NodeTest, SeesADeviceGoAndComeBackAThousandTimes) {
  const Json lease = Ask("Acquire", AcquireOf("kept", "", {"gpu-1"}));
  ASSERT_TRUE(Ok(lease));
  double slowest_gone = 0, slowest_back = 0;
  for (int i = 0; i < 1000; ++i) {
    world_.SetPresent(1, false);
    const int64_t gone = world_.clock().MonotonicNanos();
    while (Device(1).state == DeviceState::kOk) Pass(kSecond / 10);
    slowest_gone = std::max(slowest_gone, (world_.clock().MonotonicNanos() - gone) * 1e-9);
    EXPECT_EQ(Ask("Acquire", AcquireOf("", "", {"gpu-1"}))["error"], "org.het.v1.NotUsable");
    world_.SetPresent(1, true);
    const int64_t back = world_.clock().MonotonicNanos();
    while (Device(1).state != DeviceState::kOk) Pass(kSecond / 10);
    slowest_back = std::max(slowest_back, (world_.clock().MonotonicNanos() - back) * 1e-9);
    Pass(static_cast<int64_t>(i) % 40 * kSecond / 10);
  }
  EXPECT_LE(slowest_gone, 5.0);
  EXPECT_LE(slowest_back, 30.0);
  EXPECT_EQ(Leases(), 1u) << "a lease outlives its device's absence";
  EXPECT_EQ(node_->ledger().FreeOf(Device(1)).share.parts(), 9000u);
  printf("gone after at most %.1f s, back after at most %.1f s (virtual time)\n", slowest_gone,
         slowest_back);
}

TEST_F(NodeTest, ARemovedDeviceIsListedUntilItsLastLeaseEnds) {
  const Json lease = Ask("Acquire", AcquireOf("kept", "", {"gpu-1"}));
  ASSERT_TRUE(Ok(lease));
  world_.SetPresent(1, false);
  world_.SetPresent(2, false);
  Pass(5 * kSecond);
  ASSERT_EQ(node_->ledger().devices().size(), 2u) << "the one that nobody holds is gone";
  EXPECT_EQ(Device(1).uuid, "gpu-1");
  EXPECT_EQ(Device(1).state, DeviceState::kRemoved);
  const std::string id = lease["parameters"]["leases"][0]["id"];
  ASSERT_TRUE(Ok(Ask("Release", {{"leases", {{{"id", id}}}}})));
  EXPECT_EQ(node_->ledger().devices().size(), 1u);
  world_.SetPresent(1, true);
  world_.SetPresent(2, true);
  Pass(30 * kSecond);
  ASSERT_EQ(node_->ledger().devices().size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(Device(i).state, DeviceState::kOk) << i;
}

TEST_F(NodeTest, AbandonsADriverThatHangsForTenMinutes) {
  world_.SetHanging(true, /*killable=*/false);
  Pass(9 * kSecond);
  EXPECT_EQ(Device(0).state, DeviceState::kDegraded);
  EXPECT_THAT(Device(0).reason, HasSubstr("did not answer in 5000 ms"));
  const size_t started = world_.probes_started();
  for (int minute = 0; minute < 10; ++minute) {
    Pass(60 * kSecond);
    EXPECT_TRUE(Ok(Ask("GetInfo", Json::object())));
  }
  EXPECT_EQ(world_.probes_hanging(), 1u);
  EXPECT_EQ(world_.probes_started(), started) << "no child joins one that hangs";
  EXPECT_EQ(Device(0).state, DeviceState::kDegraded);
  world_.SetHanging(false);
  Pass(5 * kSecond);
  EXPECT_EQ(Device(0).state, DeviceState::kOk);
}

// ---- clocks ----

TEST_F(NodeTest, ExpiresByTheTimeSinceBootWhateverTheWallClockDoes) {
  Json request = AcquireOf("a");
  request["ttlMs"] = 60'000;
  ASSERT_TRUE(Ok(Ask("Acquire", request)));
  for (const int64_t hours : {1, -1, 24 * 365, -24 * 365}) {
    world_.time().JumpWall(hours * 3600 * kSecond);
    Pass(kSecond);
    EXPECT_EQ(Leases(), 1u) << hours;
  }
  world_.time().Suspend(60 * kSecond);
  Pass(kSecond / 10);
  EXPECT_EQ(Leases(), 0u) << "suspend counts";
}

// ---- users ----

TEST_F(NodeTest, LimitsTheLeasesOfAUser) {
  Kill();
  config_.limits.leases_per_user = 3;
  ASSERT_TRUE(Start());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Ok(Ask("Acquire", AcquireOf("r" + std::to_string(i)))));
  }
  const Json refused = Ask("Acquire", AcquireOf("r3"));
  EXPECT_EQ(refused["error"], "org.het.v1.LimitReached");
  EXPECT_THAT(refused["parameters"]["message"].get<std::string>(), HasSubstr("has 3 leases"));
}

TEST_F(NodeTest, SharesADeviceWithAnotherUserOnlyWhenBothAgreed) {
  const auto ask_as_bob = [&](Json parameters) {
    node_->handler().OnRequest(1, {1001, process_, false},
                               {{"method", "org.het.v1.Acquire"}, {"parameters", parameters}});
    node_->EndTurn();
    return world_.TakeAnswers().front().message;
  };
  ASSERT_TRUE(Ok(Ask("Acquire", AcquireOf("a"))));
  Json agreed = AcquireOf("");
  agreed["isolationAtLeast"] = "cooperative";
  for (const Json& request : {AcquireOf(""), agreed}) {
    const Json refused = ask_as_bob(request);
    EXPECT_EQ(refused["error"], "org.het.v1.NotUsable") << PrintJson(refused);
    EXPECT_THAT(refused["parameters"]["message"].get<std::string>(), HasSubstr("user 1000"));
  }
  EXPECT_TRUE(Ok(ask_as_bob(AcquireOf("", "", {"gpu-1"}))));
  Json ana = AcquireOf("", "", {"gpu-2"});
  ana["isolationAtLeast"] = "cooperative";
  ASSERT_TRUE(Ok(Ask("Acquire", ana)));
  agreed["slices"][0]["device"] = "gpu-2";
  EXPECT_TRUE(Ok(ask_as_bob(agreed)));
  EXPECT_EQ(Leases(), 4u);
}

}  // namespace
}  // namespace het::daemon
