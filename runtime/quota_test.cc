#include "runtime/quota.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

#include "base/units.h"

namespace het::runtime {
namespace {

TEST(Quota, RefusesTheByteTooMany) {
  const Ref<Quota> quota = MakeRef<Quota>(100, "gpu");
  EXPECT_TRUE(quota->Reserve(99).ok());
  EXPECT_TRUE(quota->Reserve(1).ok());
  EXPECT_EQ(quota->Reserve(1).code(), absl::StatusCode::kResourceExhausted);
  quota->GiveBack(1);
  EXPECT_TRUE(quota->Reserve(1).ok());
  EXPECT_EQ(quota->used(), 100u);
  EXPECT_EQ(quota->peak(), 100u);
}

TEST(Quota, RefusesWhatWouldOverflow) {
  const Ref<Quota> quota = MakeRef<Quota>(100, "gpu");
  ASSERT_TRUE(quota->Reserve(50).ok());
  EXPECT_FALSE(quota->Reserve(UINT64_MAX).ok());
  EXPECT_FALSE(quota->Reserve(UINT64_MAX - 49).ok());
  EXPECT_EQ(quota->used(), 50u);
}

TEST(Quota, SaysWhatIsAskedUsedAndLeft) {
  const Ref<Quota> quota = MakeRef<Quota>(8 * kGiB, "Acme X");
  ASSERT_TRUE(quota->Reserve(7 * kGiB).ok());
  EXPECT_EQ(quota->Reserve(12 * kGiB).message(),
            "asked 12 GiB on Acme X, 7 GiB of 8 GiB used; 1 GiB left");
}

TEST(Quota, ManyThreadsNeverPassTheLimit) {
  constexpr uint64_t kLimit = 1000;
  const Ref<Quota> quota = MakeRef<Quota>(kLimit, "gpu");
  std::atomic<uint64_t> held{0};  // counted by the test itself
  std::atomic<bool> over{false};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 20000; ++i) {
        const uint64_t bytes = 1 + random() % 400;
        if (!quota->Reserve(bytes).ok()) continue;
        if (held.fetch_add(bytes) + bytes > kLimit) over = true;
        held.fetch_sub(bytes);
        quota->GiveBack(bytes);
      }
    });
  }
  threads.clear();
  EXPECT_FALSE(over);
  EXPECT_EQ(quota->used(), 0u);
  EXPECT_LE(quota->peak(), kLimit);
}

}  // namespace
}  // namespace het::runtime
