#include "daemon/statistics.h"

#include <gtest/gtest.h>

namespace het::daemon {
namespace {

constexpr int64_t kMs = 1'000'000;

TEST(Statistics, CountsRequestsByResult) {
  Statistics statistics;
  statistics.Asked(1, "org.het.v1.Acquire", 0);
  statistics.Answered(1, {{"parameters", Json::object()}}, 3 * kMs);
  statistics.Asked(1, "org.het.v1.Acquire", 0);
  statistics.Answered(1, {{"error", "org.het.v1.NoCapacity"}}, 30 * kMs);
  const Json json = statistics.ToJson(0);
  ASSERT_EQ(json["requests"].size(), 2u);
  EXPECT_EQ(json["requests"][0]["result"], "NoCapacity");
  EXPECT_EQ(json["requests"][1]["result"], "ok");
  EXPECT_EQ(json["acquireSeconds"]["counts"].back(), 2);
  EXPECT_NEAR(json["acquireSeconds"]["sum"].get<double>(), 0.033, 1e-9);
}

TEST(Statistics, MakesNoSeriesOfNamesThatClientsMakeUp) {
  Statistics statistics;
  for (uint64_t i = 0; i < 1000; ++i) {
    statistics.Asked(i, "org.het.v1.Nonsense" + std::to_string(i), 0);
    statistics.Answered(i, Json::object(), 1);
  }
  EXPECT_TRUE(statistics.ToJson(0)["requests"].empty());
}

TEST(Statistics, ForgetsConnectionsThatAreGone) {
  Statistics statistics;
  statistics.Asked(1, "org.het.v1.Acquire", 0);
  statistics.Gone(1);
  statistics.Answered(1, Json::object(), 1);
  EXPECT_TRUE(statistics.ToJson(0)["requests"].empty());
}

TEST(Statistics, HasNoSampleAgeBeforeTheFirstSample) {
  Statistics statistics;
  EXPECT_FALSE(statistics.ToJson(5 * kMs).contains("sampleAgeSeconds"));
  statistics.Sampled(5 * kMs);
  EXPECT_NEAR(statistics.ToJson(7 * kMs)["sampleAgeSeconds"].get<double>(), 0.002, 1e-9);
}

}  // namespace
}  // namespace het::daemon
