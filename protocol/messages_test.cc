#include "protocol/messages.h"

#include <gtest/gtest.h>

#include "protocol/errors.h"

namespace het::protocol {
namespace {

AcquireRequest SampleAcquire() {
  AcquireRequest request;
  request.terms.request_id = "r1";
  request.terms.tenant = "ana";
  request.terms.holder = Holder::kManual;
  request.terms.ttl_ms = 3'600'000;
  request.terms.confirm = true;
  request.slices = {{"d1", Share::OfParts(1250), kGiB, Policy::kCapped},
                    {"d2", Share::Whole(), kMiB, Policy::kBestEffort}};
  return request;
}

ModelRequest SampleModel() {
  ModelRequest request;
  request.terms.request_id = "r2";
  request.model.name = "m";
  request.model.activation_bytes = 8192;
  request.model.layers = {{100, 0, 0, 1}, {200, 20, 1e6, 22}};
  request.objective = "latency";
  request.max_share = Share::OfPercent(50);
  request.wait_ms = 30'000;
  return request;
}

TEST(Messages, AcquireKeepsEveryMember) {
  const Json json = ToJson(SampleAcquire());
  const auto back = AcquireRequestFromJson(json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), json);
  EXPECT_EQ(back->slices[0].share, Share::OfParts(1250));
  EXPECT_EQ(back->terms.ttl_ms, 3'600'000);
}

TEST(Messages, ModelRequestKeepsEveryMember) {
  const Json json = ToJson(SampleModel());
  const auto back = ModelRequestFromJson(json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), json);
  EXPECT_EQ(back->model.layers[1].count, 22u);
}

TEST(Messages, PlanKeepsEveryMember) {
  ModelPlan plan;
  plan.stages = {{"d", "l", Share::OfPercent(50), kGiB, 3, 22, 1.5}};
  plan.bottleneck_ms = 1.5;
  plan.latency_ms = 2.5;
  plan.optimal = true;
  plan.in_flight = 3;
  const auto back = ModelPlanFromJson(ToJson(plan));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), ToJson(plan));
}

TEST(Messages, RowsKeepEveryMember) {
  DeviceRow device;
  device.info.uuid = "d";
  device.info.name = "n";
  device.free = {Share::OfPercent(40), 7 * kGiB};
  const auto device_back = DeviceRowFromJson(ToJson(device));
  ASSERT_TRUE(device_back.ok());
  EXPECT_EQ(device_back->free, device.free);

  SliceRow slice;
  slice.slice.id = "s";
  slice.slice.device = "d";
  slice.slice.share = Share::OfPercent(30);
  slice.slice.memory_bytes = kGiB;
  slice.slice.policy = Policy::kCapped;
  slice.slice.isolation = Isolation::kDriver;
  slice.slice.cores = {1};
  slice.enforcement = {"affinity", "reservation"};
  slice.usage.used_ns = 5;
  slice.usage.throttled_ns = {{"cap", 7}};
  slice.usage.waiting_for = "cap";
  slice.lease = "l";
  slice.tenant = "ana";
  slice.state = LeaseState::kConfirmed;
  const auto slice_back = SliceRowFromJson(ToJson(slice));
  ASSERT_TRUE(slice_back.ok());
  EXPECT_EQ(ToJson(*slice_back), ToJson(slice));
}

std::string FieldOfAcquire(const char* text) {
  return FieldOf(AcquireRequestFromJson(*ParseJson(text)).status());
}

TEST(Messages, NameTheFieldThatIsWrong) {
  EXPECT_EQ(FieldOfAcquire(R"({})"), "slices");
  EXPECT_EQ(FieldOfAcquire(R"({"slices":{}})"), "slices");
  EXPECT_EQ(FieldOfAcquire(R"({"slices":[7]})"), "slices[0]");
  EXPECT_EQ(FieldOfAcquire(R"({"slices":[{"device":"d","sharePercent":5}]})"),
            "slices[0].memoryBytes");
  EXPECT_EQ(FieldOfAcquire(R"({"holder":"me"})"), "holder");
  EXPECT_EQ(FieldOfAcquire(R"({"ttlMs":5})"), "ttlMs");
  EXPECT_EQ(FieldOfAcquire(R"({"requestId":5})"), "requestId");
  const auto model = [](const char* text) {
    return FieldOf(ModelRequestFromJson(*ParseJson(text)).status());
  };
  EXPECT_EQ(model(R"({})"), "model");
  EXPECT_EQ(model(R"({"model":{}})"), "model.layers");
  EXPECT_EQ(model(R"({"model":{"layers":[{"count":4097}]}})"), "model.layers[0].count");
  EXPECT_EQ(model(R"({"model":{"layers":[{"weightBytes":1}]},"objective":"fast"})"), "objective");
  const auto change = [](const char* text) {
    return FieldOf(LeaseChangeFromJson(*ParseJson(text)).status());
  };
  EXPECT_EQ(change(R"({"leases":[]})"), "leases");
  EXPECT_EQ(change(R"({"leases":[{"id":"a"},{"id":"a"}]})"), "leases[1].id");
}

TEST(Errors, KeepCodeMessageFieldAndNumbers) {
  Shortage shortage;
  shortage.device = "d";
  shortage.free = {Share::OfPercent(40), 7 * kGiB};
  shortage.never_fits = true;
  const absl::Status cases[] = {
      NoCapacity("full", shortage),
      InvalidField("slices[0].device", "is odd"),
      absl::NotFoundError("no lease"),
      absl::PermissionDeniedError("not yours"),
      absl::AbortedError("it changed"),
      absl::FailedPreconditionError("degraded"),
      absl::UnavailableError("disk full"),
      absl::DeadlineExceededError("waited"),
      absl::ResourceExhaustedError("too many connections"),
      absl::InternalError("bug"),
      absl::UnimplementedError("no method Fly"),
  };
  for (const absl::Status& status : cases) {
    const absl::Status back = StatusOfReply(ErrorReply(status));
    EXPECT_EQ(back.code(), status.code());
    EXPECT_EQ(back.message(), status.message());
    EXPECT_EQ(FieldOf(back), FieldOf(status));
    EXPECT_EQ(ShortageOf(back).has_value(), ShortageOf(status).has_value());
  }
  EXPECT_TRUE(ShortageOf(StatusOfReply(ErrorReply(cases[0])))->never_fits);
}

TEST(Errors, OfAnotherServiceAreStillErrors) {
  EXPECT_EQ(StatusOfReply({{"error", "com.example.Odd"}}).code(), absl::StatusCode::kUnknown);
  EXPECT_FALSE(StatusOfReply({{"error", 7}}).ok());
  EXPECT_TRUE(StatusOfReply({{"parameters", Json::object()}}).ok());
}

}  // namespace
}  // namespace het::protocol
