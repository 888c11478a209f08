// The published experiment, on the public trace where it is there (HET_DATA_DIR or ../shared/data).
#include "scheduler/fleet/overload.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace het::fleet {
namespace {

std::string ReadText(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Trace {
  Fleet fleet;
  Jobs jobs;
};

// Nothing where the data is not there.
std::optional<Trace> Openb() {
  const char* directory = std::getenv("HET_DATA_DIR");
  const std::string base = directory != nullptr ? directory : HET_SOURCE_DIR "/../shared/data";
  const std::string nodes = ReadText(base + "/openb/openb_node_list_gpu_node.csv");
  const std::string jobs = ReadText(base + "/openb/openb_pod_list_default.csv");
  if (nodes.empty() || jobs.empty()) return std::nullopt;
  Trace trace{*ParseNodes(nodes, "nodes"), {}};
  trace.jobs = *ParseJobs(jobs, "jobs", trace.fleet.models);
  return trace;
}

double MeanShare(const Trace& trace, absl::string_view policy, int window, int seeds) {
  double sum = 0;
  for (int i = 0; i < seeds; ++i) {
    const auto result =
        RunOverload(trace.fleet, trace.jobs.jobs, policy,
                    {.arrival = 1.3, .window = window, .seed = 42 + static_cast<uint64_t>(i)});
    EXPECT_TRUE(result.ok()) << result.status();
    sum += result->UnallocatedShare();
  }
  return 100 * sum / seeds;
}

// Published: ten seeds, unallocated share of devices in percent.
TEST(Overload, RepeatsThePublishedMeans) {
  const auto trace = Openb();
  if (!trace) GTEST_SKIP() << "no openb trace here";
  EXPECT_NEAR(MeanShare(*trace, "random", 1, 3), 12.53, 0.5);
  EXPECT_NEAR(MeanShare(*trace, "best-fit", 1, 3), 6.92, 0.3);
  EXPECT_NEAR(MeanShare(*trace, "fgd", 1, 3), 4.61, 0.3);
}

TEST(Overload, HetStrandsLessThanThePublishedPolicies) {
  const auto trace = Openb();
  if (!trace) GTEST_SKIP() << "no openb trace here";
  EXPECT_LE(MeanShare(*trace, "het", 1, 3), 4.2);
}

TEST(Overload, AWindowOfAHundredStrandsLess) {
  const auto trace = Openb();
  if (!trace) GTEST_SKIP() << "no openb trace here";
  EXPECT_LT(MeanShare(*trace, "het", 100, 2), MeanShare(*trace, "het", 1, 2));
}

Trace Small() {
  Trace trace;
  for (int i = 0; i < 6; ++i) trace.fleet.nodes.push_back({32'000, 128'000, 4, 0, 0, kWholeDevice});
  trace.fleet.models.Of("X");
  const JobSpec specs[] = {{4'000, 16'000, 1, 1000},
                           {2'000, 8'000, 1, 470},
                           {2'000, 8'000, 1, 530},
                           {8'000, 8'000, 0, 0},
                           {1'000, 1'000, 1, 810}};
  for (int i = 0; i < 40; ++i) {
    trace.jobs.jobs.push_back({.name = "job" + std::to_string(100 + i), .spec = specs[i % 5]});
  }
  return trace;
}

TEST(Overload, TheSameSeedGivesTheSameResult) {
  const Trace trace = Small();
  for (const absl::string_view policy : PolicyNames()) {
    const auto run = [&](uint64_t seed) {
      return RunOverload(trace.fleet, trace.jobs.jobs, policy,
                         {.arrival = 1.5, .window = 8, .seed = seed})
          ->unallocated_milli;
    };
    EXPECT_EQ(run(5), run(5)) << policy;
  }
}

TEST(Overload, EveryArrivalIsPlacedOrRefused) {
  const Trace trace = Small();
  const auto result =
      RunOverload(trace.fleet, trace.jobs.jobs, "het", {.arrival = 1.3, .window = 10});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->placed + result->refused, result->arrived);
  EXPECT_EQ(result->in_parts_milli + result->in_wholes_milli, result->unallocated_milli);
}

TEST(Overload, ArrivalsAskForTheGivenMultiple) {
  const Trace trace = Small();
  for (const double multiple : {0.3, 1.0, 2.0}) {
    int64_t asked = 0;
    for (const int job : OverloadArrivals(trace.jobs.jobs, 24'000, multiple, 3))
      asked += trace.jobs.jobs[static_cast<size_t>(job)].spec.TotalMilli();
    EXPECT_NEAR(static_cast<double>(asked), multiple * 24'000, 1'000) << multiple;
  }
}

TEST(Overload, RefusesAFleetWithoutDevices) {
  Trace trace = Small();
  for (NodeSpec& node : trace.fleet.nodes) node.devices = 0;
  EXPECT_EQ(RunOverload(trace.fleet, trace.jobs.jobs, "het", {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Overload, AnInterruptedRunReportsWhatItHas) {
  const Trace trace = Small();
  int decisions = 0;
  const auto result = RunOverload(trace.fleet, trace.jobs.jobs, "het", {},
                                  [&decisions](bool) { return ++decisions < 5; });
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->placed + result->refused, 5);
}

}  // namespace
}  // namespace het::fleet
