#include "scheduler/fleet/simulator.h"

#include <cmath>
#include <limits>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/fleet/what_if.h"

namespace het::fleet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr JobSpec kOne{.cpu_milli = 1'000, .memory_mib = 1'000, .devices = 1, .milli = 1000};
constexpr JobSpec kTwo{.cpu_milli = 1'000, .memory_mib = 1'000, .devices = 2, .milli = 1000};
constexpr double kForever = std::numeric_limits<double>::infinity();

Fleet Pairs(int nodes) {
  Fleet fleet;
  for (int i = 0; i < nodes; ++i) {
    fleet.nodes.push_back({.cpu_milli = 8'000, .memory_mib = 64'000, .devices = 2});
    fleet.names.push_back("n" + std::to_string(i));
    fleet.cost_per_hour.push_back(1);
  }
  fleet.models.Of("X");
  return fleet;
}

Job Make(std::string name, JobSpec spec, double at, double lasts, JobClass job_class,
         int tenant = 0, int priority = 0) {
  return {std::move(name), spec, at, lasts, tenant, job_class, priority};
}

Jobs Of(std::vector<Job> jobs, int tenants = 1) {
  Jobs all{std::move(jobs), {}};
  for (int i = 0; i < tenants; ++i) all.tenants.Of("t" + std::to_string(i));
  return all;
}

SimulatorResult Simulated(const Fleet& fleet, const Jobs& jobs, SimulatorOptions options = {}) {
  auto result = Simulate(fleet, jobs, options, true);
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

TEST(Simulator, JobsWaitForOneAnotherAndLeave) {
  const auto r = Simulated(Pairs(1), Of({Make("a", kTwo, 0, 100, JobClass::kOnDemand),
                                         Make("b", kTwo, 10, 50, JobClass::kOnDemand)}));
  EXPECT_EQ(r.all.completed, 2);
  EXPECT_EQ(r.all.wait.max_s, 90);
  EXPECT_EQ(r.end_s, 150);
  EXPECT_NEAR(r.Utilisation(), 1, 1e-9);
}

TEST(Simulator, ASmallJobPassesOneThatDoesNotFit) {
  const auto r = Simulated(Pairs(1), Of({Make("a", kOne, 0, 100, JobClass::kOnDemand),
                                         Make("big", kTwo, 1, 10, JobClass::kOnDemand),
                                         Make("small", kOne, 2, 10, JobClass::kOnDemand)}));
  EXPECT_EQ(r.all.completed, 3);
  EXPECT_EQ(r.all.wait.p50_s, 0);
  EXPECT_EQ(r.all.wait.max_s, 99);
}

TEST(Simulator, ReservedGoesBeforeOnDemandBeforeBatch) {
  SimulatorOptions options;
  options.preempt = false;
  const auto r = Simulated(Pairs(1),
                           Of({Make("first", kTwo, 0, 10, JobClass::kReserved),
                               Make("batch", kTwo, 1, 10, JobClass::kBatch),
                               Make("demand", kTwo, 2, 10, JobClass::kOnDemand),
                               Make("reserved", kTwo, 3, 10, JobClass::kReserved)}),
                           options);
  EXPECT_EQ(r.by_class[0].wait.max_s, 7);
  EXPECT_EQ(r.by_class[1].wait.max_s, 18);
  EXPECT_EQ(r.by_class[2].wait.max_s, 29);
}

TEST(Simulator, AnImpossibleJobIsReportedAndDoesNotWait) {
  JobSpec three = kOne;
  three.devices = 3;
  const auto r = Simulated(Pairs(4), Of({Make("huge", three, 0, 1, JobClass::kReserved),
                                         Make("a", kOne, 0, 1, JobClass::kReserved)}));
  EXPECT_THAT(r.impossible, ElementsAre("huge"));
  EXPECT_EQ(r.all.waiting, 0);
  EXPECT_EQ(r.all.completed, 1);
}

TEST(Simulator, BatchIsDisplacedAndGoesOnFromWhereItWas) {
  const auto r = Simulated(Pairs(1), Of({Make("batch", kTwo, 0, 100, JobClass::kBatch),
                                         Make("urgent", kTwo, 40, 30, JobClass::kReserved)}));
  EXPECT_EQ(r.by_class[2].displaced, 1);
  EXPECT_EQ(r.by_class[0].wait.max_s, 0);
  EXPECT_EQ(r.end_s, 130);  // 40 + 30 + the 60 that were left
  EXPECT_EQ(r.all.completed, 2);
}

TEST(Simulator, DisplacesNoMoreThanItNeeds) {
  const auto r = Simulated(Pairs(2), Of({Make("a", kOne, 0, 100, JobClass::kBatch),
                                         Make("b", kOne, 0, 100, JobClass::kBatch),
                                         Make("c", kTwo, 0, 100, JobClass::kBatch),
                                         Make("urgent", kOne, 10, 10, JobClass::kOnDemand)}));
  EXPECT_EQ(r.by_class[2].displaced, 1);
}

TEST(Simulator, LentDevicesAreTakenBackWithinTheQuota) {
  // Tenant 0 owns two devices, tenant 1 two; tenant 1 takes all four, tenant 0 comes for its own.
  SimulatorOptions options;
  options.quota_milli = {2000, 2000};
  const auto r = Simulated(Pairs(2),
                           Of({Make("own", kTwo, 0, 100, JobClass::kOnDemand, 1),
                               Make("borrowed", kTwo, 0, 100, JobClass::kOnDemand, 1),
                               Make("owner", kTwo, 50, 10, JobClass::kOnDemand, 0)},
                              2),
                           options);
  EXPECT_EQ(r.by_class[1].displaced, 1);
  EXPECT_GT(r.by_tenant[1].borrowed_device_hours, 0);
  EXPECT_EQ(r.by_tenant[0].borrowed_device_hours, 0);
  EXPECT_EQ(r.by_tenant[0].mean_wait_s, 0);
  EXPECT_EQ(r.all.completed, 3);
}

TEST(Simulator, ReservedStaysWithinTheQuota) {
  SimulatorOptions options;
  options.quota_milli = {2000};
  const auto r = Simulated(Pairs(2),
                           Of({Make("a", kTwo, 0, 10, JobClass::kReserved),
                               Make("b", kTwo, 0, 10, JobClass::kReserved)}),
                           options);
  EXPECT_EQ(r.all.wait.max_s, 10);
}

TEST(Simulator, FailedDevicesLoseTheirJobsAndComeBack) {
  std::vector<Job> jobs;
  for (int i = 0; i < 40; ++i)
    jobs.push_back(Make("j" + std::to_string(i), kOne, i * 100, 5'000, JobClass::kBatch));
  SimulatorOptions options;
  options.device_mtbf_s = 20'000;
  options.repair_s = 500;
  const auto r = Simulated(Pairs(8), Of(jobs), options);
  EXPECT_GT(r.device_failures, 0);
  EXPECT_GT(r.all.failed, 0);
  EXPECT_EQ(r.all.completed, 40);
}

// Books: every stay lies in time, and no device is given out twice.
TEST(Simulator, NoDeviceIsGivenOutTwice) {
  std::vector<Job> jobs;
  for (int i = 0; i < 400; ++i) {
    JobSpec spec = kOne;
    spec.milli = 100 + (i * 37) % 900;
    jobs.push_back(Make("j" + std::to_string(i), spec, i * 10, 50 + (i * 53) % 900,
                        static_cast<JobClass>(i % 3), i % 2, i % 5));
  }
  SimulatorOptions options;
  options.quota_milli = {4000, 2000};
  options.device_mtbf_s = 30'000;
  const auto r = Simulated(Pairs(4), Of(jobs, 2), options);
  std::map<std::pair<int, int>, std::map<double, int>> changes;
  double hours = 0;
  for (const Stay& stay : r.stays) {
    ASSERT_LE(stay.begin_s, stay.end_s);
    const JobSpec& spec = r.jobs[static_cast<size_t>(stay.job)].spec;
    hours += static_cast<double>(spec.TotalMilli()) / 1000 * (stay.end_s - stay.begin_s) / 3600;
    for (int d = 0; d < 2; ++d) {
      if ((stay.devices >> d & 1) == 0) continue;
      changes[{stay.node, d}][stay.begin_s] += spec.milli;
      changes[{stay.node, d}][stay.end_s] -= spec.milli;
    }
  }
  for (const auto& [device, at] : changes) {
    int used = 0;
    for (const auto& [time, change] : at) {
      used += change;
      ASSERT_LE(used, 1000);
      ASSERT_GE(used, 0);
    }
  }
  EXPECT_NEAR(hours, r.allocated_device_hours, 1e-6 * hours);
  EXPECT_EQ(r.all.completed + r.all.running + r.all.waiting + r.all.impossible, r.all.arrived);
}

TEST(Simulator, TheSameSeedGivesTheSameRun) {
  std::vector<Job> jobs;
  for (int i = 0; i < 100; ++i)
    jobs.push_back(
        Make("j" + std::to_string(i), i % 3 ? kOne : kTwo, i * 7, 300, JobClass::kBatch));
  SimulatorOptions options;
  options.device_mtbf_s = 5'000;
  options.load = 1.5;
  const auto a = Simulated(Pairs(3), Of(jobs), options);
  const auto b = Simulated(Pairs(3), Of(jobs), options);
  ASSERT_EQ(a.stays.size(), b.stays.size());
  for (size_t i = 0; i < a.stays.size(); ++i) {
    EXPECT_EQ(a.stays[i].node, b.stays[i].node);
    EXPECT_EQ(a.stays[i].end_s, b.stays[i].end_s);
  }
  options.seed = 43;
  const auto c = Simulated(Pairs(3), Of(jobs), options);
  EXPECT_NE(a.end_s, c.end_s);
}

TEST(Simulator, LoadMultipliesArrivals) {
  std::vector<Job> jobs;
  for (int i = 0; i < 1000; ++i)
    jobs.push_back(Make("j" + std::to_string(i), kOne, i, 1, JobClass::kBatch));
  SimulatorOptions options;
  options.load = 2.5;
  EXPECT_NEAR(static_cast<double>(Simulated(Pairs(4), Of(jobs), options).all.arrived), 2500, 100);
  options.load = 0.5;
  EXPECT_NEAR(static_cast<double>(Simulated(Pairs(4), Of(jobs), options).all.arrived), 500, 100);
}

TEST(Simulator, JobsWithoutAnEndRunOn) {
  const auto r = Simulated(Pairs(1), Of({Make("a", kTwo, 0, kForever, JobClass::kOnDemand),
                                         Make("b", kOne, 5, 1, JobClass::kOnDemand)}));
  EXPECT_EQ(r.all.running, 1);
  EXPECT_EQ(r.all.waiting, 1);
}

TEST(Simulator, RefusesAbsurdOptions) {
  const Jobs jobs = Of({Make("a", kOne, 0, 1, JobClass::kBatch)});
  SimulatorOptions options;
  options.load = std::nan("");
  EXPECT_FALSE(Simulate(Pairs(1), jobs, options).ok());
  options = {};
  options.device_mtbf_s = -1;
  EXPECT_FALSE(Simulate(Pairs(1), jobs, options).ok());
  EXPECT_FALSE(Simulate(Fleet(), jobs, {}).ok());
}

TEST(WhatIf, AddsRemovesAndCuts) {
  Fleet fleet = Pairs(3);
  ASSERT_TRUE(AddNodes(fleet, {"X", 2}).ok());
  EXPECT_EQ(fleet.nodes.size(), 5u);
  EXPECT_EQ(fleet.names.back(), "added-X-1");
  ASSERT_TRUE(RemoveNodes(fleet, {"X", 4}).ok());
  EXPECT_THAT(fleet.names, ElementsAre("n0"));
  ASSERT_TRUE(CutDevices(fleet, {"X", 4}).ok());
  EXPECT_EQ(fleet.nodes[0].devices, 8);
  EXPECT_EQ(fleet.nodes[0].device_milli, 250);
  // A whole device is no more to be had.
  const auto r = Simulated(fleet, Of({Make("a", kOne, 0, 1, JobClass::kBatch)}));
  EXPECT_EQ(r.all.impossible, 1);
}

TEST(WhatIf, SaysWhatWouldWork) {
  Fleet fleet = Pairs(3);
  EXPECT_THAT(std::string(AddNodes(fleet, {"Y", 1}).message()), HasSubstr("there are: X"));
  EXPECT_THAT(std::string(RemoveNodes(fleet, {"X", 9}).message()), HasSubstr("3 are there"));
  EXPECT_THAT(std::string(CutDevices(fleet, {"X", 64}).message()), HasSubstr("at most 32"));
  for (const char* text : {"", "G2", "G2=", "=3", "G2=0", "G2=-1", "G2=1e3", "G2=1=2"})
    EXPECT_FALSE(ParseModelCount(text).ok()) << text;
  EXPECT_EQ(ParseModelCount("G2=20")->count, 20);
}

}  // namespace
}  // namespace het::fleet
