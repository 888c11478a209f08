// Turns with a scripted seat and driver.
#include "interpose/turns.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace het::interpose {
namespace {

constexpr uint64_t kKernel = 1, kOtherKernel = 2;

class ScriptedSeat final : public Seat {
 public:
  std::optional<Ticket> TryBegin(uint64_t estimate_ns) override {
    ++begun;
    return Ticket{estimate_ns, 0, 0};
  }
  absl::StatusOr<Ticket> Begin(uint64_t estimate_ns) override { return *TryBegin(estimate_ns); }
  void End(const Ticket&, uint64_t busy_ns) override {
    ++ended;
    busy += busy_ns;
  }
  bool alone() const override { return false; }
  absl::Status Reserve(uint64_t) override { return absl::OkStatus(); }
  void GiveBack(uint64_t) override {}
  uint64_t memory_limit() const override { return 0; }
  uint64_t memory_used() const override { return 0; }

  int begun = 0, ended = 0;
  uint64_t busy = 0;
};

class ScriptedDriver final : public Turns::Watcher {
 public:
  bool WatchQueue(Turns::Queue, Turns::Turn* turn) override {
    watched.push_back(turn);
    return true;
  }
  bool WatchEvent(Turns::Event, Turns::Turn*) override { return false; }
  void DropEvent(Turns::Event) override {}

  std::vector<Turns::Turn*> watched;
};

class TurnsTest : public ::testing::Test {
 protected:
  TurnsTest() : turns_(seat_, driver_, Limits(), clock_) { turns_.AddQueue(&queue_, true); }
  static TurnLimits Limits() {
    TurnLimits limits;
    limits.tick_ns = 0;
    return limits;
  }
  void Launch(uint64_t key) {
    const auto pass = turns_.Enter(&queue_, key, {});
    ASSERT_TRUE(pass.ok());
    turns_.Leave(*pass, &queue_, true, nullptr, false);
  }
  // The device worked for `ns` on each turn that is watched.
  void Complete(int64_t ns) {
    for (Turns::Turn* turn : std::exchange(driver_.watched, {})) {
      clock_.AdvanceNanos(ns);
      turns_.Completed(turn);
    }
  }

  char queue_ = 0;
  ManualClock clock_;
  ScriptedSeat seat_;
  ScriptedDriver driver_;
  Turns turns_;
};

TEST_F(TurnsTest, WorkOfUnknownLengthFillsATurn) {
  for (int i = 0; i < 5; ++i) Launch(kKernel);
  EXPECT_EQ(seat_.begun, 5);
  Complete(10'000);
  EXPECT_EQ(seat_.ended, 4) << "the last one is still open to others";
  // 10 us are known now.
  for (int i = 0; i < 20; ++i) Launch(kKernel);
  EXPECT_EQ(seat_.begun, 6);
  Launch(kOtherKernel);
  EXPECT_EQ(seat_.begun, 7);
}

TEST_F(TurnsTest, LaunchesShareATurnUntilItIsFull) {
  Launch(kKernel);
  Launch(kKernel);
  Complete(100'000);
  Launch(kKernel);  // the second turn was full
  const int before = seat_.begun;
  for (int i = 0; i < 5; ++i) Launch(kKernel);  // 100 us each, 500 us to a turn
  EXPECT_EQ(seat_.begun, before + 1);
}

TEST_F(TurnsTest, ATurnIsChargedWhatPassedWhileItWasUnderWay) {
  Launch(kKernel);
  Launch(kKernel);
  Complete(3'000'000);
  EXPECT_EQ(seat_.ended, 1);
  EXPECT_EQ(seat_.busy, 3'000'000u);
}

}  // namespace
}  // namespace het::interpose
