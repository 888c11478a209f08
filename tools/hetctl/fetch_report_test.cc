#include "tools/hetctl/fetch_report.h"

#include <gtest/gtest.h>

namespace het::hetctl {
namespace {

Json PageOf(int64_t hour, int64_t device = 3) {
  return {{"node", "n"},
          {"ownRowsOnly", true},
          {"openHour", 7200},
          {"devices", {{3, {{"id", "d"}, {"name", "GPU"}, {"memoryKiB", 1024u}}}}},
          {"rows", {{hour, device, 0, "ana", 1000, "", "l1", 1,  2,  1000,
                     5,    4,      4, 6,     7,    8,  9,    -1, -1, -1}}}};
}

TEST(FetchReport, PutsPagesTogetherInOrder) {
  Json second = PageOf(3600);
  second["devices"] = Json::array();
  const auto report = ReportFromPages({PageOf(7200), second});
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->rows.size(), 2u);
  EXPECT_EQ(report->rows[0].hour, 3600);
  EXPECT_EQ(report->rows[1].tenant, "ana");
  EXPECT_EQ(report->rows[1].queue_wait_ms, 9);
  EXPECT_EQ(report->open_hour, 7200);
  EXPECT_TRUE(report->own_rows_only);
  EXPECT_EQ(report->devices[0].memory_kib, 1024u);
}

TEST(FetchReport, RefusesWhatHetdDoesNotSend) {
  EXPECT_FALSE(ReportFromPages({Json::object()}).ok());
  EXPECT_FALSE(ReportFromPages({PageOf(0, 9)}).ok()) << "a device that was not told";
  for (size_t field = 0; field < 20; ++field) {
    Json page = PageOf(0);
    page["rows"][0][field] = Json::object();
    EXPECT_FALSE(ReportFromPages({page}).ok()) << field;
  }
}

}  // namespace
}  // namespace het::hetctl
