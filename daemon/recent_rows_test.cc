#include "daemon/recent_rows.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "absl/strings/str_cat.h"

namespace het::daemon {
namespace {

TEST(RecentRows, FindsTheLatestRowOfAKeyWhileItIsAmongThoseKept) {
  RecentRows rows(3);
  EXPECT_EQ(rows.Add({1, "a"}), 1);
  EXPECT_EQ(rows.Add({2, "a"}), 2) << "another user's";
  EXPECT_EQ(rows.Add({1, "a"}), 3);
  EXPECT_EQ(rows.Cutoff(), 0);
  rows.Commit();
  EXPECT_EQ(rows.Find({1, "a"}), 3);
  EXPECT_EQ(rows.Find({2, "a"}), 2);
  rows.Add({1, "b"});
  rows.Add({1, "c"});
  EXPECT_EQ(rows.Cutoff(), 2);
  rows.Commit();
  EXPECT_EQ(rows.Find({2, "a"}), std::nullopt);
  EXPECT_EQ(rows.Find({1, "a"}), 3) << "its first row went, its second is kept";
  EXPECT_EQ(rows.Cutoff(), 0);
}

TEST(RecentRows, ForgetsWhatWasNotCommitted) {
  RecentRows rows(10);
  rows.Restore(7, {1, "a"});
  EXPECT_EQ(rows.Add({1, "a"}), 8);
  EXPECT_EQ(rows.Add({1, "b"}), 9);
  rows.Rollback();
  EXPECT_EQ(rows.Find({1, "a"}), 7);
  EXPECT_EQ(rows.Find({1, "b"}), std::nullopt);
  EXPECT_EQ(rows.Add({1, "c"}), 8);
}

// Against the table itself: number, key.
TEST(RecentRows, AgreesWithATableUnderRandomUse) {
  std::mt19937 random(5);
  RecentRows rows(20);
  std::map<int64_t, RecentRows::Key> table, committed;
  for (int step = 0; step < 20'000; ++step) {
    const RecentRows::Key key = {random() % 2, absl::StrCat(random() % 30)};
    switch (random() % 8) {
      case 0:
        if (const int64_t cutoff = rows.Cutoff(); cutoff != 0) {
          table.erase(table.begin(), table.upper_bound(cutoff));
        }
        rows.Commit();
        committed = table;
        break;
      case 1:
        rows.Rollback();
        table = committed;
        break;
      default:
        table[rows.Add(key)] = key;
    }
    std::optional<int64_t> expected;
    for (const auto& [number, of] : table) {
      if (of == key) expected = number;
    }
    ASSERT_EQ(rows.Find(key), expected) << "step " << step;
    ASSERT_LE(committed.size(), 20u);
  }
}

}  // namespace
}  // namespace het::daemon
