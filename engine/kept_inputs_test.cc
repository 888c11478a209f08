#include "engine/kept_inputs.h"

#include <gtest/gtest.h>

namespace hetllm {
namespace {

constexpr size_t kEmbd = 2;

Microbatch BatchOf(int32_t slot, int32_t first, int32_t count, float value, size_t boundaries) {
  Microbatch batch;
  for (int32_t at = first; at < first + count; ++at) batch.Add(1, at, slot, false);
  batch.inputs.assign(boundaries, {});
  for (size_t b = 0; b < boundaries; ++b) {
    for (size_t i = 0; i < batch.rows() * kEmbd; ++i)
      batch.inputs[b].push_back(value + static_cast<float>(100 * b + i));
  }
  return batch;
}

CachedTokens Cached(size_t first, size_t second) {
  return {std::vector<int32_t>(first, 1), std::vector<int32_t>(second, 1)};
}

TEST(KeptInputs, GivesBackTheRowsOfEveryBoundaryAndSequence) {
  KeptInputs kept(kEmbd);
  kept.AddBoundaries({3, 7});
  kept.Keep(BatchOf(0, 0, 3, 10, 2));
  kept.Keep(BatchOf(1, 0, 2, 50, 2));
  EXPECT_EQ(kept.Row(3, 0, 2)[1], 10 + 5);
  EXPECT_EQ(kept.Row(7, 1, 1)[0], 50 + 100 + 2);
  EXPECT_EQ(kept.From(7, Cached(3, 2)), 7u);
  EXPECT_EQ(kept.From(6, Cached(3, 2)), 3u);
  EXPECT_EQ(kept.From(2, Cached(3, 2)), 0u);
}

TEST(KeptInputs, ABoundaryWithAGapIsNotGoneOnFrom) {
  KeptInputs kept(kEmbd);
  kept.AddBoundaries({3});
  kept.Keep(BatchOf(0, 0, 2, 0, 1));
  kept.Keep(BatchOf(0, 3, 1, 0, 1));  // 2 is missing
  EXPECT_EQ(kept.From(3, Cached(2, 0)), 3u);
  EXPECT_EQ(kept.From(3, Cached(4, 0)), 0u);
  EXPECT_EQ(kept.From(3, Cached(2, 1)), 0u);
}

TEST(KeptInputs, ARowComputedAgainTakesThePlaceOfTheOld) {
  KeptInputs kept(kEmbd);
  kept.AddBoundaries({3});
  kept.Keep(BatchOf(0, 0, 4, 0, 1));
  kept.Keep(BatchOf(0, 1, 1, 70, 1));
  EXPECT_EQ(kept.Row(3, 0, 1)[0], 70);
  EXPECT_EQ(kept.Row(3, 0, 3)[1], 7);
}

TEST(KeptInputs, WhatIsNoBoundaryAnyMoreIsForgotten) {
  KeptInputs kept(kEmbd);
  kept.AddBoundaries({3});
  kept.Keep(BatchOf(0, 0, 2, 0, 1));
  kept.AddBoundaries({5});
  kept.ForgetOthers({5});
  EXPECT_FALSE(kept.Has(3));
  EXPECT_EQ(kept.From(5, Cached(2, 0)), 0u);
  EXPECT_EQ(kept.From(5, Cached(0, 0)), 5u);
}

}  // namespace
}  // namespace hetllm
