#include "partition/arbiter_rule.h"

#include "gtest/gtest.h"

namespace het::arbiter {
namespace {

constexpr Limits kLimits = {2, 0, 2'000'000};

Asker At(uint64_t tag) {
  Asker asker;
  asker.lease = 5;
  asker.tag = tag;
  asker.estimate_ns = 200'000;
  return asker;
}

TEST(ArbiterRule, TheSmallestTagGoesFirst) {
  Survey survey;
  survey.others_active = true;
  survey.waiting.Offer(1, 1, 1000);
  EXPECT_EQ(Decide(survey, At(999), kLimits).block, Block::kNone);
  EXPECT_EQ(Decide(survey, At(1001), kLimits).block, Block::kShare);
  EXPECT_EQ(Decide(survey, At(1001), kLimits).by, 1u);
}

TEST(ArbiterRule, EqualTagsGoByLease) {
  Survey lower, higher;
  lower.waiting.Offer(1, 4, 1000);
  higher.waiting.Offer(1, 6, 1000);
  EXPECT_EQ(Decide(lower, At(1000), kLimits).block, Block::kShare);
  EXPECT_EQ(Decide(higher, At(1000), kLimits).block, Block::kNone);
}

TEST(ArbiterRule, TagsMayWrapAround) {
  Survey survey;
  survey.waiting.Offer(1, 1, 5);  // just past the wrap
  EXPECT_EQ(Decide(survey, At(~uint64_t{0} - 5), kLimits).block, Block::kNone);
}

TEST(ArbiterRule, APlaceIsHeldOnlyForWhoIsOwed) {
  Survey survey;
  survey.others_active = true;
  survey.holding.Offer(1, 1, 1000);
  survey.hold_until_ns = 77;
  const Verdict verdict = Decide(survey, At(2000), kLimits);
  EXPECT_EQ(verdict.block, Block::kHold);
  EXPECT_EQ(verdict.until_ns, 77);
  EXPECT_EQ(Decide(survey, At(500), kLimits).block, Block::kNone);
}

TEST(ArbiterRule, AHigherClassComesBeforeEverything) {
  Survey survey;
  survey.above = 9;
  EXPECT_EQ(Decide(survey, At(0), kLimits).block, Block::kPriority);
}

TEST(ArbiterRule, TheDepthCountsEverybody) {
  Survey survey;
  survey.others_active = true;
  survey.in_flight = 1;
  Asker asker = At(0);
  EXPECT_EQ(Decide(survey, asker, kLimits).block, Block::kNone);
  asker.in_flight = 1;
  EXPECT_EQ(Decide(survey, asker, kLimits).block, Block::kDepth);
}

TEST(ArbiterRule, BelowASeatedHigherClassNobodyRunsAhead) {
  Survey survey;
  Asker asker = At(0);
  asker.in_flight = 2;
  asker.in_flight_ns = 400'000;
  EXPECT_EQ(Decide(survey, asker, kLimits).block, Block::kNone);
  survey.above_seated = true;
  EXPECT_EQ(Decide(survey, asker, kLimits).block, Block::kDepth);
}

TEST(ArbiterRule, VirtualTimeIsDeviceTimeOverWeight) {
  EXPECT_EQ(VirtualCost(1000, RateOf(10000)), 1000u);
  EXPECT_EQ(VirtualCost(1000, RateOf(2500)), 4000u);
  EXPECT_EQ(VirtualCost(1000, RateOf(0)), VirtualCost(1000, RateOf(1)));
}

TEST(ArbiterRule, CreditAndDebtOfTheIdleAreBounded) {
  Survey survey;
  const uint64_t second = 1'000'000'000;
  survey.active.Offer(1, 1, 100 * second);
  survey.floor = 100 * second;
  const uint64_t rate = RateOf(10000);
  EXPECT_EQ(ClampTag(0, survey, rate, true, 1000), 100 * second - kCreditNs);
  EXPECT_EQ(ClampTag(200 * second, survey, rate, true, 1000), 100 * second + 1000);
  EXPECT_EQ(ClampTag(200 * second, survey, rate, false, 1000), 200 * second);  // it worked for it
  EXPECT_EQ(ClampTag(100 * second + 5, survey, rate, true, 1000), 100 * second + 5);
}

}  // namespace
}  // namespace het::arbiter
