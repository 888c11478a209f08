#include "scheduler/instance_json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/random_instance_test_util.h"

namespace het::scheduler {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kTwoSlices[] = R"({
  "layers": [{"weight_bytes": 100}, {"weight_bytes": 200, "kv_bytes": 7}],
  "slices": [{"name": "a", "type": "t1", "memory_bytes": 1e9, "ms_per_layer": [1.5, 2]},
             {"name": "b", "type": "t2", "memory_bytes": 500, "ms_per_layer": 3}],
  "links": [[null, {"latency_ms": 0.1, "ms_per_transfer": 0.4}], [{"latency_ms": 1, "ms_per_transfer": 2}, 0]],
  "objective": "latency"})";

std::string Fault(const std::string& json) {
  const absl::StatusOr<Instance> instance = ParseInstance(json);
  if (instance.ok()) return "no fault";
  EXPECT_EQ(instance.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(instance.status().message());
}

// kTwoSlices with one text replaced.
std::string With(const std::string& from, const std::string& to) {
  std::string json = kTwoSlices;
  const size_t at = json.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return json.replace(at, from.size(), to);
}

TEST(ParseInstance, ReadsEveryField) {
  const absl::StatusOr<Instance> instance = ParseInstance(kTwoSlices);
  ASSERT_TRUE(instance.ok()) << instance.status();
  EXPECT_THAT(instance->layers, ElementsAre(Layer{100, 0}, Layer{200, 7}));
  EXPECT_EQ(instance->slices[0], (SliceSpec{"a", "t1", 1'000'000'000, 0, {1.5, 2}}));
  EXPECT_EQ(instance->slices[1], (SliceSpec{"b", "t2", 500, 0, {3, 3}}));
  EXPECT_EQ(instance->LinkMs(0, 1), 0.5);
  EXPECT_EQ(instance->LinkMs(1, 0), 3);
  EXPECT_EQ(instance->LinkMs(1, 1), 0);
  EXPECT_EQ(instance->objective, Objective::kLatency);
}

TEST(ParseInstance, HasDefaultsForLinksTypeAndObjective) {
  const absl::StatusOr<Instance> instance = ParseInstance(
      R"({"layers":[{"weight_bytes":1}],"slices":[{"name":"a","memory_bytes":1,"ms_per_layer":1}]})");
  ASSERT_TRUE(instance.ok()) << instance.status();
  EXPECT_EQ(instance->objective, Objective::kThroughput);
  EXPECT_TRUE(instance->links.empty());
  for (const char* free : {"null", "[]"}) {
    std::string json = kTwoSlices;
    const size_t at = json.find("[[null");
    json.replace(at, json.find(",\n  \"objective") - at, free);
    EXPECT_EQ(Fault(json), "no fault");
  }
}

TEST(ParseInstance, ReadsBackWhatItWrites) {
  RandomInstances random(61);
  for (int n = 0; n < 100; ++n) {
    const Instance before = random.Small();
    const absl::StatusOr<Instance> after = ParseInstance(InstanceToJson(before));
    ASSERT_TRUE(after.ok()) << after.status();
    EXPECT_EQ(after->layers, before.layers);
    EXPECT_EQ(after->slices, before.slices);
    EXPECT_EQ(after->objective, before.objective);
    for (int u = 0; u < before.SliceCount(); ++u) {
      for (int v = 0; v < before.SliceCount(); ++v)
        EXPECT_EQ(after->LinkMs(u, v), before.LinkMs(u, v));
    }
  }
}

TEST(ParseInstance, NamesThePathOfAFault) {
  EXPECT_EQ(Fault(With("[1.5, 2]", "[1.5, 2, 3]")),
            "slices[0].ms_per_layer has 3 entries, 2 layers");
  EXPECT_EQ(Fault(With("[1.5, 2]", "[1.5, \"x\"]")), "slices[0].ms_per_layer[1] is not a number");
  EXPECT_THAT(Fault(With("[1.5, 2]", "[1.5, -2]")), HasSubstr("slices[0].ms_per_layer[1] is -2"));
  EXPECT_EQ(Fault(With("\"ms_per_layer\": 3", "\"ms\": 3")), "slices[1].ms_per_layer is missing");
  EXPECT_EQ(Fault(With("\"memory_bytes\": 500, ", "")), "slices[1].memory_bytes is missing");
  EXPECT_THAT(Fault(With("500", "0.5")), HasSubstr("slices[1].memory_bytes is 0.5"));
  EXPECT_THAT(Fault(With("500", "-500")), HasSubstr("slices[1].memory_bytes is -500"));
  EXPECT_THAT(Fault(With("500", "1e300")), HasSubstr("slices[1].memory_bytes is 1e+300"));
  EXPECT_EQ(Fault(With("500", "\"500\"")), "slices[1].memory_bytes is not a number");
  EXPECT_EQ(Fault(With("\"name\": \"b\"", "\"name\": 7")), "slices[1].name is not a string");
  EXPECT_THAT(Fault(With("\"name\": \"b\"", "\"name\": \"a\"")),
              HasSubstr("slices[1].name \"a\" is taken"));
  EXPECT_EQ(Fault(With("\"name\": \"b\"", "\"name\": \"\"")), "slices[1].name is empty");
  EXPECT_EQ(Fault(With("{\"weight_bytes\": 100}", "{}")), "layers[0].weight_bytes is missing");
  EXPECT_EQ(Fault(With("{\"weight_bytes\": 100}", "7")), "layers[0] is not an object");
  EXPECT_THAT(
      Fault(With("[{\"weight_bytes\": 100}, {\"weight_bytes\": 200, \"kv_bytes\": 7}]", "[]")),
      HasSubstr("layers has 0 entries"));
  EXPECT_EQ(Fault(With("[null, ", "[")), "links[0] has 1 entries, 2 slices");
  EXPECT_EQ(Fault(With("{\"latency_ms\": 1, \"ms_per_transfer\": 2}", "null")),
            "links[1][0] is not an object");
  EXPECT_EQ(Fault(With("\"latency_ms\": 1, ", "")), "links[1][0].latency_ms is missing");
  EXPECT_EQ(Fault(With("\"latency\"", "\"speed\"")),
            "objective is \"speed\"; it is throughput or latency");
}

TEST(ParseInstance, RefusesTextThatIsNoInstance) {
  for (const char* text :
       {"", "{", "[]", "7", "null", "{\"layers\":1e999}", "\xff\xfe", "{\"layers\":[}"}) {
    EXPECT_NE(Fault(text), "no fault") << text;
  }
  EXPECT_NE(Fault(std::string(100'000, '[')), "no fault");
}

TEST(ParseInstance, RefusesMoreThanItCanPlan) {
  std::string json =
      R"({"slices":[{"name":"a","memory_bytes":1,"ms_per_layer":1}],"layers":[{"weight_bytes":1})";
  for (int i = 0; i < kMaxLayers; ++i) json += R"(,{"weight_bytes":1})";
  EXPECT_THAT(Fault(json + "]}"), HasSubstr("layers has 4097 entries; 1 to 4096 can be planned"));
}

TEST(ParseInstance, ReportsKeysThatItDoesNotKnow) {
  std::vector<std::string> ignored;
  ASSERT_TRUE(ParseInstance(With("\"kv_bytes\"", "\"kv_byte\""), &ignored).ok());
  EXPECT_THAT(ignored, ElementsAre("layers[1].kv_byte"));
}

// Every prefix and many one-byte changes of a good text: an instance or a refusal, nothing else.
TEST(ParseInstance, SurvivesDamagedText) {
  const std::string good = kTwoSlices;
  for (size_t n = 0; n < good.size(); ++n) EXPECT_FALSE(ParseInstance(good.substr(0, n)).ok());
  RandomInstances random(62);
  for (int n = 0; n < 5000; ++n) {
    std::string bad = good;
    bad[random.Whole(0, static_cast<int>(bad.size()) - 1)] =
        static_cast<char>(random.Whole(0, 255));
    const absl::StatusOr<Instance> instance = ParseInstance(bad);
    if (instance.ok()) {
      EXPECT_TRUE(Validate(*instance).ok());
    }
  }
}

}  // namespace
}  // namespace het::scheduler
