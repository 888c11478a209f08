#include "runtime/work_account.h"

#include <gtest/gtest.h>

namespace het::runtime {
namespace {

TEST(WorkAccount, CountsOverlappingWorkOnce) {
  ManualClock clock;
  const Ref<WorkAccount> account = MakeRef<WorkAccount>();
  const uint64_t a = *account->Begin(0, clock);
  clock.AdvanceNanos(10);
  const uint64_t b = *account->Begin(0, clock);
  clock.AdvanceNanos(10);
  EXPECT_TRUE(account->End(a, nullptr, 0, clock).ok());
  clock.AdvanceNanos(10);
  EXPECT_TRUE(account->End(b, nullptr, 0, clock).ok());
  clock.AdvanceNanos(1000);  // idle
  EXPECT_EQ(account->busy_nanos(), 30);
  EXPECT_EQ(account->open(), 0u);
}

TEST(WorkAccount, WorkEndsWhenItsTimelineSaysSo) {
  ManualClock clock;
  const Ref<WorkAccount> account = MakeRef<WorkAccount>();
  const Ref<Timeline> timeline = MakeRef<Timeline>(nullptr);
  const uint64_t a = *account->Begin(0, clock);
  EXPECT_TRUE(account->End(a, timeline, 5, clock).ok());
  clock.AdvanceNanos(70);
  EXPECT_EQ(account->open(), 1u);
  timeline->Signal(5);
  EXPECT_EQ(account->busy_nanos(), 70);
}

TEST(WorkAccount, AFailedTimelineEndsItToo) {
  ManualClock clock;
  const Ref<WorkAccount> account = MakeRef<WorkAccount>();
  const Ref<Timeline> timeline = MakeRef<Timeline>(nullptr);
  const uint64_t a = *account->Begin(0, clock);
  EXPECT_TRUE(account->End(a, timeline, 5, clock).ok());
  timeline->Fail(absl::DataLossError("gone"));
  EXPECT_EQ(account->open(), 0u);
}

TEST(WorkAccount, ATicketEndsOnce) {
  ManualClock clock;
  const Ref<WorkAccount> account = MakeRef<WorkAccount>();
  const uint64_t a = *account->Begin(0, clock);
  EXPECT_TRUE(account->End(a, nullptr, 0, clock).ok());
  EXPECT_EQ(account->End(a, nullptr, 0, clock).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(account->End(77, nullptr, 0, clock).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace het::runtime
