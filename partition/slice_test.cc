#include "partition/slice.h"

#include <gtest/gtest.h>

#include "partition/refusal.h"

namespace het {
namespace {

Lease SampleLease() {
  Lease lease;
  lease.id = "11111111-1111-4111-8111-111111111111";
  lease.tenant = "ana";
  lease.uid = 1000;
  lease.pid = 42;
  lease.start_time = 987654321;
  lease.holder = Holder::kManual;
  lease.slice.id = "22222222-2222-4222-8222-222222222222";
  lease.slice.device = "33333333-3333-4333-8333-333333333333";
  lease.slice.share = Share::OfParts(1250);
  lease.slice.memory_bytes = 7 * kMiB;
  lease.slice.policy = Policy::kCapped;
  lease.slice.cores = {2, 5};
  lease.slice.time_shared = true;
  lease.slice.priority = Priority::kBatch;
  lease.state = LeaseState::kConfirmed;
  lease.generation = 9;
  lease.ttl_ms = 3'600'000;
  lease.expiry_boottime = 60'000'000'000;
  return lease;
}

TEST(Lease, KeepsEveryMemberThroughJson) {
  const Lease lease = SampleLease();
  const Json json = ToJson(lease, 10'000'000'000);
  EXPECT_EQ(json["expiresInSeconds"], 50.0);
  EXPECT_EQ(json["sharePercent"], 12.5);
  const auto back = LeaseFromJson(json, 10'000'000'000);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(PrintJson(ToJson(*back, 0)), PrintJson(ToJson(lease, 0)));
  EXPECT_EQ(back->expiry_boottime, lease.expiry_boottime);
  EXPECT_EQ(back->slice.cores, lease.slice.cores);
  EXPECT_TRUE(back->slice.time_shared);
  EXPECT_EQ(back->slice.priority, Priority::kBatch);
}

TEST(Lease, PrintsAWholePercentAsAWholeNumber) {
  Lease lease = SampleLease();
  lease.slice.share = Share::OfPercent(30);
  EXPECT_EQ(PrintJson(ToJson(lease, 0)["sharePercent"]), "30");
}

struct BadField {
  const char* text;
  const char* field;
};

class SliceRequestRefuses : public testing::TestWithParam<BadField> {};

TEST_P(SliceRequestRefuses, AndNamesTheField) {
  const auto request = SliceRequestFromJson(*ParseJson(GetParam().text));
  ASSERT_FALSE(request.ok());
  EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(request.status()), GetParam().field) << request.status();
}

INSTANTIATE_TEST_SUITE_P(
    Bad, SliceRequestRefuses,
    testing::Values(
        BadField{R"([1])", "slice"}, BadField{R"({"sharePercent":30,"memoryBytes":1})", "device"},
        BadField{R"({"device":7,"sharePercent":30,"memoryBytes":1})", "device"},
        BadField{R"({"device":"d","memoryBytes":1})", "sharePercent"},
        BadField{R"({"device":"d","sharePercent":0.5,"memoryBytes":1})", "sharePercent"},
        BadField{R"({"device":"d","sharePercent":101,"memoryBytes":1})", "sharePercent"},
        BadField{R"({"device":"d","sharePercent":"30","memoryBytes":1})", "sharePercent"},
        BadField{R"({"device":"d","sharePercent":30})", "memoryBytes"},
        BadField{R"({"device":"d","sharePercent":30,"memoryBytes":-1})", "memoryBytes"},
        BadField{R"({"device":"d","sharePercent":30,"memoryBytes":1,"policy":"all"})", "policy"}));

TEST(Refusal, CarriesItsNumbersInTheStatus) {
  Shortage shortage;
  shortage.device = "d";
  shortage.requested = {Share::OfPercent(60), 12 * kGiB};
  shortage.free = {Share::OfPercent(40), 7 * kGiB};
  shortage.largest_free = {Share::OfParts(3950), 6 * kGiB};
  shortage.never_fits = true;
  const auto back = ShortageOf(NoCapacity("full", shortage));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->device, "d");
  EXPECT_EQ(back->requested, shortage.requested);
  EXPECT_EQ(back->free, shortage.free);
  EXPECT_EQ(back->largest_free, shortage.largest_free);
  EXPECT_TRUE(back->never_fits);
  EXPECT_FALSE(ShortageOf(absl::ResourceExhaustedError("memory")).has_value());
}

TEST(Refusal, PutsThePathBeforeTheField) {
  const absl::Status status = WithFieldPrefix(InvalidField("policy", "is odd"), "slices[1]");
  EXPECT_EQ(FieldOf(status), "slices[1].policy");
  EXPECT_EQ(status.message(), "slices[1].policy: is odd");
}

}  // namespace
}  // namespace het
