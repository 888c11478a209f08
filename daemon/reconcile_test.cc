#include "daemon/reconcile.h"

#include <gtest/gtest.h>

namespace het::daemon {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

Lease Make(const char* id, Holder holder, int64_t expiry = 0) {
  Lease lease;
  lease.id = id;
  lease.holder = holder;
  lease.pid = 42;
  lease.start_time = 7;
  lease.state = LeaseState::kConfirmed;
  lease.expiry_boottime = expiry;
  return lease;
}

RestartFacts Facts(bool same_boot, bool alive) {
  return {same_boot, 100 * kSecond, 200 * kSecond, [alive](const ProcessId&) { return alive; }};
}

TEST(Reconcile, KeepsTheLeasesOfLiveProcessesAndManualOnes) {
  const auto result = Reconcile({Make("p", Holder::kProcess), Make("m", Holder::kManual)},
                                Facts(/*same_boot=*/true, /*alive=*/true));
  EXPECT_EQ(result.kept.size(), 2u);
}

TEST(Reconcile, EndsTheLeasesOfDeadProcesses) {
  const auto result = Reconcile({Make("p", Holder::kProcess), Make("m", Holder::kManual)},
                                Facts(/*same_boot=*/true, /*alive=*/false));
  ASSERT_EQ(result.kept.size(), 1u);
  EXPECT_EQ(result.kept[0].id, "m");
  EXPECT_EQ(result.ended[0].reason, "process 42 has ended");
}

TEST(Reconcile, EndsAnUndecidedTransactionWhole) {
  Lease of_process = Make("p", Holder::kProcess);
  Lease manual = Make("m", Holder::kManual);
  Lease of_another = Make("a", Holder::kManual);
  Lease confirmed = Make("c", Holder::kManual);
  for (Lease* lease : {&of_process, &manual, &confirmed}) lease->transaction = "t";
  of_another.transaction = "u";
  of_process.state = manual.state = of_another.state = LeaseState::kTried;
  const auto result = Reconcile({manual, of_process, of_another, confirmed},
                                Facts(/*same_boot=*/true, /*alive=*/false));
  ASSERT_EQ(result.kept.size(), 2u);
  EXPECT_EQ(result.kept[0].id, "a");
  EXPECT_EQ(result.kept[1].id, "c");
}

TEST(Reconcile, EndsEveryProcessLeaseOfTheLastBoot) {
  // Even if a process of that number and start time lives now: it is another one.
  const auto result =
      Reconcile({Make("p", Holder::kProcess)}, Facts(/*same_boot=*/false, /*alive=*/true));
  EXPECT_TRUE(result.kept.empty());
}

TEST(Reconcile, EndsWhatExpiredWhileHetdWasDown) {
  const auto result = Reconcile(
      {Make("late", Holder::kManual, 150 * kSecond), Make("later", Holder::kManual, 250 * kSecond)},
      Facts(true, true));
  ASSERT_EQ(result.kept.size(), 1u);
  EXPECT_EQ(result.kept[0].id, "later");
  EXPECT_EQ(result.kept[0].expiry_boottime, 250 * kSecond);
}

TEST(Reconcile, GivesAManualLeaseItsRemainingTimeAfterAReboot) {
  // 50 s were left at the last commit; the new boot is at 5 s.
  RestartFacts facts = Facts(/*same_boot=*/false, true);
  facts.now_boottime = 5 * kSecond;
  const auto result = Reconcile({Make("m", Holder::kManual, 150 * kSecond)}, facts);
  ASSERT_EQ(result.kept.size(), 1u);
  EXPECT_EQ(result.kept[0].expiry_boottime, 55 * kSecond);
}

TEST(Reconcile, TellsBootsApartByTheirIdOrElseByTime) {
  EXPECT_TRUE(IsSameBoot("a", 100, "a", 50));
  EXPECT_FALSE(IsSameBoot("a", 100, "b", 200));
  EXPECT_TRUE(IsSameBoot("", 100, "", 200));
  EXPECT_FALSE(IsSameBoot("", 100, "", 50));
}

}  // namespace
}  // namespace het::daemon
