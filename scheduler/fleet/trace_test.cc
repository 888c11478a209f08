#include "scheduler/fleet/trace.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace het::fleet {
namespace {

using testing::HasSubstr;

constexpr char kJobsHeading[] =
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,"
    "deletion_time,scheduled_time\n";

std::string ErrorOfJobs(const std::string& csv) {
  Names models;
  return std::string(ParseJobs(csv, "jobs.csv", models).status().message());
}
std::string ErrorOfNodes(const std::string& csv) {
  return std::string(ParseNodes(csv, "nodes.csv").status().message());
}

TEST(Trace, ReadsOpenbNodes) {
  const auto fleet = ParseNodes(
      "sn,cpu_milli,memory_mib,gpu,model\r\na,64000,262144,2,P100\r\n\r\n"
      "b,96000,393216,8,G2\n",
      "nodes.csv");
  ASSERT_TRUE(fleet.ok()) << fleet.status();
  ASSERT_EQ(fleet->nodes.size(), 2u);
  EXPECT_EQ(fleet->nodes[1], (NodeSpec{96'000, 393'216, 8, 1, 0, kWholeDevice}));
  EXPECT_EQ(fleet->models[0], "P100");
}

TEST(Trace, RepeatsANodeByItsCount) {
  const auto fleet = ParseNodes(
      "name,cpu_milli,memory_mib,gpu,model,gpu_memory_mib,count,cost_per_hour\n"
      "x,8000,1024,4,L4,24576,3,2.5\n",
      "nodes.csv");
  ASSERT_TRUE(fleet.ok()) << fleet.status();
  EXPECT_EQ(fleet->nodes.size(), 3u);
  EXPECT_EQ(fleet->names[2], "x-2");
  EXPECT_EQ(fleet->nodes[2].device_memory_mib, 24'576);
  EXPECT_EQ(fleet->cost_per_hour[2], 2.5);
}

TEST(Trace, ReadsOpenbJobsWithTheirTimes) {
  Names models;
  models.Of("T4");
  const auto jobs = ParseJobs(std::string(kJobsHeading) +
                                  "a,12000,16384,1,460,T4|V100,LS,Running,100,1100,300\n"
                                  "b,4000,1000,0,0,,BE,Pending,200,,\n",
                              "jobs.csv", models);
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  EXPECT_EQ(jobs->jobs[0].spec, (JobSpec{12'000, 16'384, 1, 460, 0, 0b11}));
  EXPECT_EQ(jobs->jobs[0].duration_s, 800);
  EXPECT_EQ(jobs->jobs[1].spec.devices, 0);
  EXPECT_TRUE(std::isinf(jobs->jobs[1].duration_s));
  EXPECT_EQ(models[1], "V100");
}

TEST(Trace, ReadsTenantsAndClasses) {
  Names models;
  const auto jobs = ParseJobs(
      "name,cpu_milli,memory_mib,num_gpu,gpu_milli,tenant,class,priority,arrival_s,duration_s\n"
      "a,1,1,1,10,blue,reserved,5,10,20\nb,1,1,1,10,,,,0.5,\n",
      "jobs.csv", models);
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  EXPECT_EQ(jobs->tenants[jobs->jobs[0].tenant], "blue");
  EXPECT_EQ(jobs->jobs[0].job_class, JobClass::kReserved);
  EXPECT_EQ(jobs->tenants[jobs->jobs[1].tenant], "default");
  EXPECT_EQ(jobs->jobs[1].arrival_s, 0.5);
}

TEST(Trace, NamesFileLineColumnAndWhatWasExpected) {
  EXPECT_EQ(ErrorOfJobs(std::string(kJobsHeading) + "a,1,1,1,1001,,LS,Running,0,1,0\n"),
            "jobs.csv:2: gpu_milli: a whole number from 1 to 1000 expected, \"1001\" is there");
  EXPECT_THAT(ErrorOfJobs(std::string(kJobsHeading) + "a,1e3,1,1,100,,LS,Running,0,1,0\n"),
              HasSubstr("jobs.csv:2: cpu_milli: a whole number"));
  EXPECT_THAT(ErrorOfJobs(std::string(kJobsHeading) + "a,1\n"),
              HasSubstr("jobs.csv:2: 11 fields expected, 2 are there"));
  EXPECT_THAT(ErrorOfNodes("sn,cpu_milli,memory_mib,gpu,model\na,1,1,33,X\n"),
              HasSubstr("nodes.csv:2: gpu: a whole number from 0 to 32"));
}

TEST(Trace, RefusesTimeThatRunsBackwards) {
  EXPECT_THAT(ErrorOfJobs(std::string(kJobsHeading) + "a,1,1,1,100,,LS,Running,500,100,0\n"),
              HasSubstr("deletion_time: a time not before creation_time (500 s) expected"));
}

TEST(Trace, RefusesAbsurdNumbers) {
  EXPECT_THAT(ErrorOfJobs(std::string(kJobsHeading) + "a,-5,1,1,100,,LS,Running,0,1,0\n"),
              HasSubstr("cpu_milli"));
  EXPECT_THAT(ErrorOfJobs(std::string(kJobsHeading) + "a,5,99999999999,1,100,,LS,R,0,1,0\n"),
              HasSubstr("memory_mib"));
  EXPECT_THAT(ErrorOfJobs(std::string(kJobsHeading) + "a,5,9,1,100,,LS,Running,nan,1,0\n"),
              HasSubstr("creation_time"));
}

TEST(Trace, RefusesEmptyFilesAndMissingColumns) {
  EXPECT_THAT(ErrorOfNodes(""), HasSubstr("empty"));
  EXPECT_THAT(ErrorOfNodes("sn,cpu_milli,memory_mib,gpu,model\n"), HasSubstr("no nodes"));
  EXPECT_THAT(ErrorOfNodes("sn,cpu_milli,gpu,model\n"), HasSubstr("no column \"memory_mib\""));
  EXPECT_THAT(ErrorOfNodes("sn,sn,cpu_milli,memory_mib,gpu,model\n"), HasSubstr("twice"));
  EXPECT_THAT(ErrorOfNodes("sn,cpu_milli,memory_mib,gpu,model\na,1,1,1,X\na,1,1,1,X\n"),
              HasSubstr("nodes.csv:3: sn: a name that is there once"));
  EXPECT_THAT(ErrorOfJobs(kJobsHeading), HasSubstr("no jobs"));
}

}  // namespace
}  // namespace het::fleet
