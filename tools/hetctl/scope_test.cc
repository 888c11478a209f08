#include "tools/hetctl/scope.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace het::hetctl {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

Lease LeaseOf(Policy policy, bool time_shared) {
  Lease lease;
  lease.id = "11111111-2222-3333-4444-555555555555";
  lease.slice.share = Share::OfPercent(37);
  lease.slice.memory_bytes = uint64_t{1} << 30;
  lease.slice.policy = policy;
  lease.slice.cores = {0, 1};
  lease.slice.time_shared = time_shared;
  return lease;
}

const ServiceManager kSystem = {"/usr/bin/systemd-run", false};

TEST(Scope, ACapIsAQuotaOfAllItsCores) {
  const auto arguments = ScopeArguments(kSystem, LeaseOf(Policy::kCapped, true));
  EXPECT_EQ(arguments.front(), "/usr/bin/systemd-run");
  EXPECT_EQ(arguments.back(), "--");
  EXPECT_THAT(arguments, Contains("--scope"));
  EXPECT_THAT(arguments, Contains("--property=CPUQuota=74%"));
  EXPECT_THAT(arguments, Contains("--property=MemoryMax=1073741824"));
  EXPECT_THAT(arguments, Contains("--property=MemorySwapMax=0"));
  EXPECT_THAT(arguments, Contains("--property=AllowedCPUs=0,1"));
  EXPECT_THAT(arguments, Not(Contains("--user")));
}

TEST(Scope, AGuaranteeIsAWeightAndBestEffortIsIdle) {
  EXPECT_THAT(ScopeArguments(kSystem, LeaseOf(Policy::kGuaranteed, true)),
              Contains("--property=CPUWeight=3700"));
  EXPECT_THAT(ScopeArguments(kSystem, LeaseOf(Policy::kBestEffort, true)),
              Contains("--property=CPUWeight=idle"));
}

TEST(Scope, WholeCoresNeedNoShareOfTime) {
  EXPECT_THAT(ScopeArguments(kSystem, LeaseOf(Policy::kCapped, false)),
              Not(Contains(HasSubstr("CPUQuota"))));
}

TEST(Scope, AUsersOwnManagerIsAsked) {
  EXPECT_THAT(ScopeArguments({"/bin/systemd-run", true}, LeaseOf(Policy::kCapped, true)),
              Contains("--user"));
}

}  // namespace
}  // namespace het::hetctl
