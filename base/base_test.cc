#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/json.h"
#include "base/ref.h"
#include "base/status.h"
#include "base/units.h"
#include "base/uuid.h"

namespace het {
namespace {

TEST(Bytes, ReadsWhatPeopleWrite) {
  EXPECT_EQ(*ParseBytes("1536"), 1536u);
  EXPECT_EQ(*ParseBytes("1.5GiB"), 3 * kGiB / 2);
  EXPECT_EQ(*ParseBytes("64 KiB"), 64 * kKiB);
  EXPECT_EQ(*ParseBytes("2GB"), 2000000000u);
  EXPECT_EQ(*ParseBytes("512M"), 512 * kMiB);
}

TEST(Bytes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "-1", "GiB", "1 furlong", "99999999999TiB", "1e3x", "nan"}) {
    EXPECT_EQ(ParseBytes(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(Bytes, PrintsShortForms) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(7 * kGiB), "7 GiB");
  EXPECT_EQ(FormatBytes(kMiB + kMiB / 4), "1.25 MiB");
}

TEST(Shares, AreMoreThanNothingAndAtMostAll) {
  EXPECT_EQ(ParseShare("30")->parts(), 3000u);
  EXPECT_EQ(ParseShare("12.5%")->parts(), 1250u);
  for (const char* text : {"0", "-5", "101", "half", ""})
    EXPECT_FALSE(ParseShare(text).ok()) << text;
  EXPECT_EQ(FormatShare(Share::OfPercent(30)), "30%");
}

TEST(Durations, ReadUnits) {
  EXPECT_EQ(*ParseDurationMillis("250ms"), 250);
  EXPECT_EQ(*ParseDurationMillis("1h"), 3600000);
  EXPECT_EQ(*ParseDurationMillis("3"), 3000);
  EXPECT_FALSE(ParseDurationMillis("soon").ok());
}

TEST(Uuids, AreStableForANameAndFreshOtherwise) {
  EXPECT_EQ(UuidFromName("a"), UuidFromName("a"));
  EXPECT_NE(UuidFromName("a"), UuidFromName("b"));
  EXPECT_NE(NewUuid(), NewUuid());
  EXPECT_TRUE(IsUuid(NewUuid()));
  EXPECT_TRUE(IsUuid(UuidFromName("")));
  EXPECT_FALSE(IsUuid("not-a-uuid"));
}

TEST(Jsons, RefuseDepthAndGarbageWithThePlace) {
  EXPECT_TRUE(ParseJson("{\"a\":[1,2]}").ok());
  EXPECT_THAT(ParseJson("{\"a\":").status().ToString(), testing::HasSubstr("byte"));
  EXPECT_THAT(ParseJson(std::string(100, '[')).status().ToString(),
              testing::HasSubstr("deeper than 64"));
}

TEST(Jsons, FieldErrorsNameTheField) {
  const Json json = *ParseJson(R"({"n":-3,"s":"x","f":4.0})");
  EXPECT_THAT(JsonUint(json, "n").status().ToString(), testing::HasSubstr("\"n\""));
  EXPECT_EQ(*JsonUint(json, "f"), 4u);
  EXPECT_EQ(*JsonString(json, "s"), "x");
  EXPECT_EQ(*JsonString(json, "missing", "default"), "default");
}

TEST(Files, WriteIsAllOrNothing) {
  char directory[] = "/tmp/het-files-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string path = std::string(directory) + "/a/b/file";
  EXPECT_EQ(WriteFileAtomically(path, "x").code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(MakeDirectories(std::string(directory) + "/a/b").ok());
  ASSERT_TRUE(WriteFileAtomically(path, "x").ok());
  ASSERT_TRUE(WriteFileAtomically(path, "yy").ok());
  EXPECT_EQ(*ReadFile(path), "yy");
  EXPECT_EQ(ReadFile(path, 1).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(path + "z").status().code(), absl::StatusCode::kNotFound);
}

struct Counted : RefCounted {
  explicit Counted(int* alive) : alive(alive) { ++*alive; }
  ~Counted() override { --*alive; }
  int* alive;
};

TEST(Refs, DeleteWithTheLastOwner) {
  int alive = 0;
  {
    Ref<Counted> a = MakeRef<Counted>(&alive);
    Ref<Counted> b = a;
    a = nullptr;
    EXPECT_EQ(alive, 1);
    Ref<Counted> c = Ref<Counted>::Adopt(b.Detach());
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace het
