// The arbiter in one process: two seats of two leases, decisions one by one. What needs several
// processes is in tests/arbiter.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "partition/arbiter_host.h"
#include "partition/arbiter_seat.h"
#include "partition/process_state.h"

namespace het {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kUs = 1000;

class ArbiterTest : public ::testing::Test {
 protected:
  ArbiterTest() {
    clock_.AdvanceNanos(1'000'000'000);
    ArbiterOptions options;
    options.clock = &clock_;
    host_ = *ArbiterHost::Create("device", options);
  }

  uint32_t Lease(uint32_t percent, Policy policy = Policy::kGuaranteed, uint32_t priority = 1) {
    ArbiterLease lease;
    lease.weight = Share::OfPercent(percent);
    lease.policy = policy;
    lease.priority = priority;
    lease.memory_quota = 1000;
    lease.uid = geteuid();
    return *host_->AddLease(lease);
  }
  std::unique_ptr<ArbiterSeat> Sit(uint32_t lease) {
    return *ArbiterSeat::Join(*host_->Seat(lease, getpid(), StartTimeOfProcess(getpid())), clock_);
  }
  // Whoever gets a ticket first, in a loop of launches that are complete at once: device time of
  // each.
  std::vector<uint64_t> Race(const std::vector<ArbiterSeat*>& seats,
                             const std::vector<uint64_t>& lengths, int rounds) {
    std::vector<uint64_t> busy(seats.size(), 0);
    for (ArbiterSeat* seat : seats) seat->WaitTurn(1, clock_.MonotonicNanos());  // keeps a place
    for (int round = 0; round < rounds; ++round) {
      clock_.AdvanceNanos(1000);
      for (size_t i = 0; i < seats.size(); ++i) {
        const std::optional<Ticket> ticket = seats[i]->TryBegin(lengths[i]);
        if (!ticket) continue;
        busy[i] += lengths[i];
        Queue(*seats[i]);
        seats[i]->End(*ticket, lengths[i]);
      }
    }
    for (ArbiterSeat* seat : seats) seat->Withdraw();
    return busy;
  }
  // Takes a place without waiting.
  void Queue(ArbiterSeat& seat) { seat.KeepPlace(); }

  ManualClock clock_;
  std::unique_ptr<ArbiterHost> host_;
};

TEST_F(ArbiterTest, SharesFollowTheWeights) {
  auto a = Sit(Lease(75));
  auto b = Sit(Lease(25));
  const auto busy = Race({a.get(), b.get()}, {220 * kUs, 220 * kUs}, 4000);
  EXPECT_NEAR(static_cast<double>(busy[0]) / (busy[0] + busy[1]), 0.75, 0.002);
}

TEST_F(ArbiterTest, SharesAreDeviceTimeNotLaunches) {
  auto a = Sit(Lease(50));
  auto b = Sit(Lease(50));
  const auto busy = Race({a.get(), b.get()}, {8800 * kUs, 220 * kUs}, 40000);
  EXPECT_NEAR(static_cast<double>(busy[0]) / (busy[0] + busy[1]), 0.5, 0.002);
}

TEST_F(ArbiterTest, AWrongEstimateIsSettled) {
  auto a = Sit(Lease(50));
  auto b = Sit(Lease(50));
  for (ArbiterSeat* seat : {a.get(), b.get()}) Queue(*seat);
  uint64_t busy[2] = {0, 0};
  for (int round = 0; round < 4000; ++round) {
    for (int i = 0; i < 2; ++i) {
      ArbiterSeat& seat = i == 0 ? *a : *b;
      const auto ticket = seat.TryBegin(100 * kUs);  // both say the same
      if (!ticket) continue;
      const uint64_t took = i == 0 ? 300 * kUs : 100 * kUs;
      busy[i] += took;
      Queue(seat);
      seat.End(*ticket, took);
    }
  }
  EXPECT_NEAR(static_cast<double>(busy[0]) / (busy[0] + busy[1]), 0.5, 0.002);
}

TEST_F(ArbiterTest, ATenantThatIsAloneRunsAheadWithinItsBound) {
  auto a = Sit(Lease(10));
  int launches = 0;
  while (a->TryBegin(200 * kUs)) ++launches;
  EXPECT_EQ(launches, 10);  // 2 ms
}

TEST_F(ArbiterTest, CompetitorsKeepTheDepth) {
  auto a = Sit(Lease(50));
  auto b = Sit(Lease(50));
  ASSERT_TRUE(a->TryBegin(500 * kUs));
  ASSERT_TRUE(b->TryBegin(500 * kUs));
  Block why;
  EXPECT_FALSE(a->TryBegin(500 * kUs, &why));
  EXPECT_TRUE(why == Block::kDepth || why == Block::kHold) << BlockName(why);
}

TEST_F(ArbiterTest, ShortLaunchesMayExceedTheDepth) {
  auto a = Sit(Lease(50));
  auto b = Sit(Lease(50));
  int launches = 0;
  for (int i = 0; i < 100; ++i) {
    launches += a->TryBegin(10 * kUs).has_value();
    launches += b->TryBegin(10 * kUs).has_value();
  }
  EXPECT_GT(launches, 10);
  EXPECT_LE(launches, 60);  // 600 us
}

TEST_F(ArbiterTest, WhoIsTimedFromOutsideHasTheDeviceAlone) {
  auto outside = Sit(Lease(30));
  auto other = Sit(Lease(30));
  outside->TimedFromOutside();
  Block why;
  for (ArbiterSeat* first : {outside.get(), other.get()}) {
    ArbiterSeat* second = first == outside.get() ? other.get() : outside.get();
    const auto ticket = first->TryBegin(100 * kUs);
    ASSERT_TRUE(ticket);
    second->KeepPlace();  // no place is held for the first
    EXPECT_FALSE(second->TryBegin(1 * kUs, &why));
    EXPECT_EQ(why, Block::kDepth);
    first->End(*ticket, 100 * kUs);
    const auto after = second->TryBegin(100 * kUs);
    ASSERT_TRUE(after);
    second->End(*after, 100 * kUs);
  }
}

// Its launches follow each other closely all the same.
TEST_F(ArbiterTest, WhoIsTimedFromOutsideKeepsTheDepthByItself) {
  auto outside = Sit(Lease(30));
  outside->TimedFromOutside();
  EXPECT_TRUE(outside->TryBegin(500 * kUs));
  EXPECT_TRUE(outside->TryBegin(500 * kUs));
}

// How long launches are is not known before the first one ends.
TEST_F(ArbiterTest, ARunningProcessIsWaitedForDuringItsFirstLaunch) {
  const auto join = [this] {
    return *ArbiterSeat::Join(
        *host_->Seat(Lease(30), getpid(), StartTimeOfProcess(getpid())));  // by the real clock
  };
  auto first = join();
  auto second = join();
  first->TimedFromOutside();
  const auto ticket = first->TryBegin(100 * kUs);
  ASSERT_TRUE(ticket);
  std::atomic<bool> ended{false}, beside{false};
  std::jthread waiter([&] {
    const absl::StatusOr<Ticket> own = second->Begin(100 * kUs);
    beside = !ended.load();
    if (own.ok()) second->End(*own, 1);
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  ended = true;
  first->End(*ticket, 40'000 * kUs);
  waiter.join();
  EXPECT_FALSE(beside);
}

TEST_F(ArbiterTest, ALowerClassWaitsWhileAHigherOneIsInFlight) {
  auto low = Sit(Lease(50, Policy::kBestEffort));
  auto high = Sit(Lease(50));
  const auto ticket = high->TryBegin(200 * kUs);
  ASSERT_TRUE(ticket);
  Block why;
  EXPECT_FALSE(low->TryBegin(200 * kUs, &why));
  EXPECT_EQ(why, Block::kPriority);
  high->End(*ticket, 200 * kUs);
  EXPECT_TRUE(low->TryBegin(200 * kUs));
}

TEST_F(ArbiterTest, AHigherClassDoesNotWaitForTheDepthOfALowerOne) {
  auto low = Sit(Lease(50, Policy::kBestEffort));
  auto high = Sit(Lease(50));
  while (low->TryBegin(200 * kUs)) {
  }
  EXPECT_TRUE(high->TryBegin(200 * kUs));
}

TEST_F(ArbiterTest, BelowAHigherClassNobodyRunsAhead) {
  auto low = Sit(Lease(50, Policy::kBestEffort));
  auto high = Sit(Lease(50));
  int launches = 0;
  while (low->TryBegin(200 * kUs)) ++launches;
  EXPECT_EQ(launches, 2);
}

TEST_F(ArbiterTest, IdleTimeIsNotHoarded) {
  auto a = Sit(Lease(50));
  auto b = Sit(Lease(50));
  for (int i = 0; i < 10000; ++i) a->End(*a->TryBegin(200 * kUs), 200 * kUs);  // 2 s alone
  const auto busy = Race({a.get(), b.get()}, {200 * kUs, 200 * kUs}, 2000);
  EXPECT_LT(busy[1] - busy[0], 6'000 * kUs);
}

TEST_F(ArbiterTest, ALongAbsenceIsNotPunished) {
  auto a = Sit(Lease(50));
  auto b = Sit(Lease(50));
  for (int i = 0; i < 10000; ++i) a->End(*a->TryBegin(200 * kUs), 200 * kUs);
  // a goes; b runs alone, far behind a's virtual time; a comes back.
  for (int i = 0; i < 100; ++i) b->End(*b->TryBegin(200 * kUs), 200 * kUs);
  const auto busy = Race({a.get(), b.get()}, {200 * kUs, 200 * kUs}, 2000);
  EXPECT_NEAR(static_cast<double>(busy[0]) / (busy[0] + busy[1]), 0.5, 0.02);
}

TEST_F(ArbiterTest, ACapHoldsWithoutCompetitors) {
  auto a = Sit(Lease(25, Policy::kCapped));
  uint64_t busy = 0;
  for (int tick = 0; tick < 100'000; ++tick) {  // 1 s in steps of 10 us
    clock_.AdvanceNanos(10'000);
    if (const auto ticket = a->TryBegin(200 * kUs)) {
      a->End(*ticket, 200 * kUs);
      busy += 200 * kUs;
    }
  }
  EXPECT_NEAR(busy / 1e9, 0.25, 0.01);
}

TEST_F(ArbiterTest, ACapHoldsLaunchesOfSeconds) {
  auto a = Sit(Lease(5, Policy::kCapped));
  uint64_t busy = 0;
  for (int tick = 0; tick < 100'000; ++tick) {  // 1,000 s in steps of 10 ms
    clock_.AdvanceNanos(10'000'000);
    if (const auto ticket = a->TryBegin(100 * kUs)) {  // nobody knew that it takes 2 s
      a->End(*ticket, 2'000'000 * kUs);
      busy += 2'000'000 * kUs;
    }
  }
  EXPECT_NEAR(busy / 1e12, 0.05, 0.002);
}

TEST_F(ArbiterTest, TwoProcessesOfALeaseShareItsWeight) {
  const uint32_t pair = Lease(50);
  auto a1 = Sit(pair);
  auto a2 = Sit(pair);
  auto b = Sit(Lease(50));
  const auto busy = Race({a1.get(), a2.get(), b.get()}, {200 * kUs, 200 * kUs, 200 * kUs}, 4000);
  const double sum = busy[0] + busy[1] + busy[2];
  EXPECT_NEAR(busy[2] / sum, 0.5, 0.01);
  EXPECT_NEAR(busy[0] / sum, 0.25, 0.01);
}

TEST_F(ArbiterTest, AResizedShareCountsAtOnce) {
  const uint32_t lease = Lease(50);
  auto a = Sit(lease);
  auto b = Sit(Lease(50));
  Race({a.get(), b.get()}, {200 * kUs, 200 * kUs}, 500);
  ArbiterLease changed = *host_->LeaseOf(lease);
  changed.weight = Share::OfPercent(10);
  ASSERT_TRUE(host_->ChangeLease(lease, changed).ok());
  const auto busy = Race({a.get(), b.get()}, {200 * kUs, 200 * kUs}, 4000);
  EXPECT_NEAR(static_cast<double>(busy[0]) / (busy[0] + busy[1]), 10.0 / 60, 0.005);
}

TEST_F(ArbiterTest, ATakenSeatGivesNoTicket) {
  auto a = Sit(Lease(50));
  ASSERT_TRUE(host_->Unseat(a->slot()).ok());
  Block why;
  EXPECT_FALSE(a->TryBegin(1000, &why));
  EXPECT_EQ(why, Block::kRevoked);
  EXPECT_EQ(a->Begin(1000).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ArbiterTest, MemoryStopsAtTheQuotaOfTheLease) {
  const uint32_t lease = Lease(50);
  auto a = Sit(lease);
  auto b = Sit(lease);
  EXPECT_TRUE(a->Reserve(600).ok());
  EXPECT_TRUE(b->Reserve(400).ok());
  const absl::Status refused = b->Reserve(1);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("0 B are left"));
  EXPECT_EQ(host_->Usage(lease)->memory, 1000u);
  a->GiveBack(600);
  EXPECT_EQ(b->memory_used(), 400u);
  EXPECT_TRUE(b->Reserve(600).ok());
}

TEST_F(ArbiterTest, ShrinkingBelowUseIsRefusedAndChangesNothing) {
  const uint32_t lease = Lease(50);
  auto a = Sit(lease);
  ASSERT_TRUE(a->Reserve(600).ok());
  ArbiterLease changed = *host_->LeaseOf(lease);
  changed.memory_quota = 500;
  const absl::Status refused = host_->ChangeLease(lease, changed);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("600 B are used"));
  EXPECT_EQ(a->memory_limit(), 1000u);
  changed.memory_quota = 600;
  EXPECT_TRUE(host_->ChangeLease(lease, changed).ok());
  EXPECT_FALSE(a->Reserve(1).ok());
}

TEST_F(ArbiterTest, AReapedSeatGivesEverythingBack) {
  const uint32_t lease = Lease(50);
  auto a = Sit(lease);
  auto b = Sit(lease);
  ASSERT_TRUE(a->Reserve(600).ok());
  while (a->TryBegin(200 * kUs)) {
  }
  ASSERT_TRUE(host_->Unseat(a->slot()).ok());
  const ArbiterUsage usage = *host_->Usage(lease);
  EXPECT_EQ(usage.memory, 0u);
  EXPECT_EQ(usage.in_flight, 0u);
  EXPECT_TRUE(b->Reserve(1000).ok());
  EXPECT_TRUE(b->TryBegin(200 * kUs));
}

TEST_F(ArbiterTest, RefusesLeasesThatCannotBe) {
  ArbiterLease lease;
  EXPECT_EQ(host_->AddLease(lease).status().code(), absl::StatusCode::kInvalidArgument);
  lease.weight = Share::OfPercent(10);
  lease.priority = 4;
  EXPECT_EQ(host_->AddLease(lease).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(host_->Seat(7, getpid(), 0).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(host_->Unseat(7).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace het
