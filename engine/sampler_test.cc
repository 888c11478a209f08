#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace hetllm {
namespace {

TEST(Sampler, TakesTheFirstOfTheBestAtTemperatureZero) {
  const std::array<float, 4> logits = {1, 3, 3, 2};
  EXPECT_EQ(Sampler(0, 1).Choose(logits), 1);
}

TEST(Sampler, NeverTakesNan) {
  const std::array<float, 3> logits = {NAN, -5, NAN};
  EXPECT_EQ(Sampler(0, 1).Choose(logits), 1);
  EXPECT_EQ(Sampler(1, 1).Choose(logits), 1);
}

TEST(Sampler, FollowsTheSoftmax) {
  const std::array<float, 3> logits = {0, std::log(2.0f), std::log(5.0f)};  // 1 : 2 : 5
  Sampler sampler(1, 42);
  std::array<int, 3> counts = {};
  constexpr int kDraws = 40000;
  for (int i = 0; i < kDraws; ++i) {
    ++counts[static_cast<size_t>(sampler.Choose(logits))];
  }
  EXPECT_NEAR(counts[0] / double{kDraws}, 0.125, 0.01);
  EXPECT_NEAR(counts[1] / double{kDraws}, 0.25, 0.01);
  EXPECT_NEAR(counts[2] / double{kDraws}, 0.625, 0.01);
}

TEST(Sampler, LowTemperaturesSharpen) {
  const std::array<float, 2> logits = {0, 1};
  Sampler sampler(0.05, 7);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(sampler.Choose(logits), 1);
  }
}

TEST(Sampler, EqualSeedsGiveEqualTokens) {
  const std::array<float, 4> logits = {1, 1, 1, 1};
  Sampler a(1, 9), b(1, 9), c(1, 10);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const int32_t token = a.Choose(logits);
    EXPECT_EQ(token, b.Choose(logits));
    differs |= token != c.Choose(logits);
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace hetllm
