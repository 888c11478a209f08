#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

namespace hetllm {
namespace {

Sampler Make(double temperature, uint64_t seed) {
  SamplerOptions options;
  options.temperature = temperature;
  options.seed = seed;
  return Sampler(options);
}

// The tokens that come up in many draws.
std::set<int32_t> Drawn(const SamplerOptions& options, std::span<const float> logits,
                        std::span<const int32_t> before = {}) {
  Sampler sampler(options);
  std::set<int32_t> tokens;
  for (int i = 0; i < 3000; ++i) tokens.insert(sampler.Choose(logits, before));
  return tokens;
}

// Probabilities 0.5, 0.25, 0.125, 0.0625, 0.0625.
const std::array<float, 5> kHalves = {std::log(8.0f), std::log(4.0f), std::log(2.0f), 0, 0};

TEST(Sampler, KeepsTheTopK) {
  SamplerOptions options{.temperature = 1, .top_k = 2};
  EXPECT_EQ(Drawn(options, kHalves), (std::set<int32_t>{0, 1}));
  options.top_k = 100;
  EXPECT_EQ(Drawn(options, kHalves).size(), 5u);
}

TEST(Sampler, KeepsTheFewestThatReachTopP) {
  EXPECT_EQ(Drawn({.temperature = 1, .top_p = 0.5}, kHalves), (std::set<int32_t>{0}));
  EXPECT_EQ(Drawn({.temperature = 1, .top_p = 0.6}, kHalves), (std::set<int32_t>{0, 1}));
  EXPECT_EQ(Drawn({.temperature = 1, .top_p = 0}, kHalves), (std::set<int32_t>{0}));
}

TEST(Sampler, KeepsWhatHasMinPOfTheBest) {
  EXPECT_EQ(Drawn({.temperature = 1, .min_p = 0.2}, kHalves), (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(Drawn({.temperature = 1, .min_p = 0.9}, kHalves), (std::set<int32_t>{0}));
}

TEST(Sampler, PenalisesWhatWasThereLately) {
  const std::array<float, 3> logits = {2.0f, 1.5f, -1.0f};
  const std::array<int32_t, 4> before = {2, 0, 0, 7};
  SamplerOptions options{.repeat_penalty = 2};
  EXPECT_FALSE(options.greedy());
  EXPECT_EQ(Sampler(options).Choose(logits, before), 1);
  options.repeat_last = 1;  // only the 7
  EXPECT_EQ(Sampler(options).Choose(logits, before), 0);
}

TEST(Sampler, TakesTheFirstOfTheBestAtTemperatureZero) {
  const std::array<float, 4> logits = {1, 3, 3, 2};
  EXPECT_EQ(Make(0, 1).Choose(logits), 1);
}

TEST(Sampler, NeverTakesNan) {
  const std::array<float, 3> logits = {NAN, -5, NAN};
  EXPECT_EQ(Make(0, 1).Choose(logits), 1);
  EXPECT_EQ(Make(1, 1).Choose(logits), 1);
}

TEST(Sampler, FollowsTheSoftmax) {
  const std::array<float, 3> logits = {0, std::log(2.0f), std::log(5.0f)};  // 1 : 2 : 5
  Sampler sampler = Make(1, 42);
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
  Sampler sampler = Make(0.05, 7);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(sampler.Choose(logits), 1);
  }
}

TEST(Sampler, EqualSeedsGiveEqualTokens) {
  const std::array<float, 4> logits = {1, 1, 1, 1};
  Sampler a = Make(1, 9), b = Make(1, 9), c = Make(1, 10);
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
