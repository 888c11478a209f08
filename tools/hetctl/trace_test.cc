#include "tools/hetctl/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace het::hetctl {
namespace {

constexpr char kRecords[] =
    R"({"pid":7,"pipeline":1,"stage":0,"name":"layers 0-3","device":"GPU","kind":"compute","item":0,"beginNs":5000,"endNs":9000}
{"pid":7,"pipeline":1,"stage":1,"name":"layers 4-7","device":"CPU","kind":"transfer","item":0,"beginNs":9000,"endNs":9500}
{"pid":7,"pipeline":1,"stage":1,"name":"layers 4-7","device":"CPU","kind":"compute","item":0,"beginNs":9500,"endNs":12000,"failed":true}
{"pid":7,"pipel)";

TEST(Trace, MakesARowPerStageAndASpanPerItem) {
  const auto timeline = TimelineOf(kRecords);
  ASSERT_TRUE(timeline.ok()) << timeline.status();
  const Json json = *ParseJson(*timeline);
  std::vector<Json> spans;
  int rows = 0;
  for (const Json& event : json["traceEvents"]) {
    if (event["ph"] == "X") spans.push_back(event);
    if (event["name"] == "thread_name") ++rows;
  }
  ASSERT_EQ(spans.size(), 3u);
  EXPECT_EQ(rows, 3);
  EXPECT_EQ(spans[0]["ts"], 0.0);
  EXPECT_EQ(spans[0]["dur"], 4.0);
  EXPECT_EQ(spans[1]["cat"], "transfer");
  EXPECT_EQ(spans[2]["ts"], 4.5);
  EXPECT_TRUE(spans[2].contains("cname"));
}

TEST(Trace, NamesTheLineThatIsNoRecord) {
  const auto bad = TimelineOf("{\"pid\":1}\n");
  EXPECT_THAT(std::string(bad.status().message()), testing::HasSubstr("line 1"));
  EXPECT_FALSE(TimelineOf("nonsense\n").ok());
  EXPECT_TRUE(TimelineOf("").ok());
}

}  // namespace
}  // namespace het::hetctl
