#include "partition/cost_estimate.h"

#include "gtest/gtest.h"

namespace het {
namespace {

TEST(CostEstimate, LearnsEachKeyByItself) {
  CostEstimate costs;
  const uint64_t small = CostEstimate::Key(1, 64), large = CostEstimate::Key(1, 1 << 20);
  costs.Learn(small, 5'000);
  costs.Learn(large, 900'000);
  EXPECT_EQ(costs.Estimate(small), 5'000u);
  EXPECT_EQ(costs.Estimate(large), 900'000u);
}

TEST(CostEstimate, FollowsAChange) {
  CostEstimate costs;
  const uint64_t key = CostEstimate::Key(7, 7);
  costs.Learn(key, 100'000);
  for (int i = 0; i < 50; ++i) costs.Learn(key, 200'000);
  EXPECT_NEAR(costs.Estimate(key), 200'000, 2'000);
}

TEST(CostEstimate, AnUnknownKeyIsLikeTheOthers) {
  CostEstimate costs(100'000);
  EXPECT_EQ(costs.Estimate(CostEstimate::Key(1, 1)), 100'000u);
  for (int i = 0; i < 100; ++i) costs.Learn(CostEstimate::Key(2, 2), 10'000);
  EXPECT_NEAR(costs.Estimate(CostEstimate::Key(1, 1)), 10'000, 2'000);
}

TEST(CostEstimate, MoreKeysThanRoomStillAnswer) {
  CostEstimate costs;
  for (uint64_t i = 0; i < 100'000; ++i) costs.Learn(CostEstimate::Key(i, i), 1'000 + i % 7);
  const uint64_t last = CostEstimate::Key(99'999, 99'999);
  EXPECT_NEAR(costs.Estimate(last), 1'000, 10);
}

}  // namespace
}  // namespace het
