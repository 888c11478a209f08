#include "scheduler/fleet/pack_prices.h"

#include "gtest/gtest.h"

namespace het::fleet {
namespace {

TEST(PackPrices, HalvesCostHalfADevice) {
  const PackPrices prices({{500, 7}});
  EXPECT_NEAR(prices.Price(500), 0.5, 1e-6);
  EXPECT_NEAR(prices.Worth(999), 0.5, 1e-6);
  EXPECT_EQ(prices.Worth(499), 0);
  EXPECT_EQ(prices.Worth(1000), 1);
}

TEST(PackPrices, WhatLeavesNothingUsableCostsAWholeDevice) {
  const PackPrices prices({{600, 1}});
  EXPECT_NEAR(prices.Price(600), 1, 1e-6);
  EXPECT_EQ(prices.Worth(400), 0);
}

TEST(PackPrices, ScarceFillersAreFree) {
  // A thousand jobs leave 190 each; ten of 160 fit there and cost nothing more.
  const PackPrices prices({{810, 1000}, {160, 10}});
  EXPECT_NEAR(prices.Price(810), 1, 1e-6);
  EXPECT_NEAR(prices.Price(160), 0, 1e-6);
  EXPECT_NEAR(prices.Worth(190), 0, 1e-6);
}

TEST(PackPrices, PlentifulFillersMakeTheHoleWorthSomething) {
  const PackPrices prices({{810, 10}, {160, 1000}});
  EXPECT_NEAR(prices.Price(160), 1.0 / 6, 1e-6);
  EXPECT_NEAR(prices.Worth(190), 1.0 / 6, 1e-6);
  EXPECT_NEAR(prices.Price(810), 1 - 1.0 / 6, 1e-6);
}

// Duality: no filling of a device is worth more than the device.
TEST(PackPrices, NoPatternBeatsTheDevice) {
  const PackPrices prices({{470, 750},
                           {320, 328},
                           {650, 253},
                           {230, 140},
                           {220, 62},
                           {550, 72},
                           {590, 75},
                           {460, 128},
                           {370, 47},
                           {160, 74},
                           {810, 1078},
                           {50, 7}});
  for (int free = 0; free <= kWholeDevice; ++free) {
    EXPECT_LE(prices.Worth(free), 1 + 1e-6) << free;
    if (free == 0) continue;
    EXPECT_GE(prices.Worth(free), prices.Worth(free - 1)) << free;
  }
  EXPECT_NEAR(prices.Price(650) + prices.Price(320), 1, 1e-6);
}

TEST(PackPrices, AnyNumberOfSizesIsBounded) {
  std::vector<SizeDemand> demand;
  for (int milli = 1; milli < 1000; ++milli) demand.push_back({milli, 1.0 + milli % 7});
  const PackPrices prices(demand);
  for (int milli = 1; milli < 1000; ++milli) {
    EXPECT_GE(prices.Price(milli), 0) << milli;
    EXPECT_LE(prices.Price(milli), 1) << milli;
  }
}

TEST(PackPrices, NothingAskedForMakesOnlyWholeDevicesWorthSomething) {
  const PackPrices prices(std::vector<SizeDemand>{});
  EXPECT_EQ(prices.Worth(999), 0);
  EXPECT_EQ(prices.Worth(1000), 1);
}

}  // namespace
}  // namespace het::fleet
