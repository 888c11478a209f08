#include "report/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace het::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Report ReportOf(const std::string& tenant) {
  Report report;
  report.node = "node-1";
  report.generator = "test";
  report.from = 3600;
  report.to = 3 * 3600;
  report.devices = {{"d0", "GPU", "Acme", "gpu", "none", 16 << 20, false}};
  Row row;
  row.hour = 3600;
  row.covered_ms = kHourMs;
  row.state = State::kUsed;
  row.tenant = tenant;
  row.owner = 1000;
  row.compute_share = kWhole / 4;
  row.memory_share = kWhole / 2;
  report.rows.push_back(row);
  row.state = State::kFree;
  row.tenant.clear();
  row.compute_share = kWhole - kWhole / 4;
  row.denied_requests = 3;
  report.rows.push_back(row);
  return report;
}

TEST(Page, IsOneFileThatAsksForNothing) {
  const auto page = WritePage(ReportOf("ana"));
  ASSERT_TRUE(page.ok());
  EXPECT_THAT(*page, HasSubstr("default-src 'none'"));
  for (const char* outside : {"<link", "src=", "@import", "url(", "fetch(", "https://"}) {
    EXPECT_THAT(*page, Not(HasSubstr(outside)));
  }
  EXPECT_THAT(*page, Not(HasSubstr("@DATA@")));
}

TEST(Page, TakesTenantsByAnyName) {
  const auto page = WritePage(ReportOf("</script><script>alert(1)</script>@DATA@"));
  ASSERT_TRUE(page.ok());
  EXPECT_THAT(*page, Not(HasSubstr("<script>alert")));
}

TEST(Page, DrawsTheSharesOfTheRows) {
  const auto data = PageData(ReportOf("ana"));
  ASSERT_TRUE(data.ok());
  const Json& cells = (*data)["devices"][0]["cells"];
  ASSERT_EQ(cells.size(), 15u);
  EXPECT_EQ(cells[0], 10'000);
  EXPECT_EQ(cells[1], 3);
  EXPECT_EQ(cells[3], 2500) << "compute used";
  EXPECT_EQ(cells[9], 5000) << "memory used";
  EXPECT_EQ((*data)["tenants"][0]["compute"][0], 2500);
  EXPECT_EQ((*data)["tenants"][0]["memory"][0], 80'000) << "8 GiB for an hour";
}

TEST(Page, PutsTheTenantsWithTheLeastTogether) {
  Report report = ReportOf("t0");
  for (int i = 1; i < 20; ++i) {
    Row row = report.rows[0];
    row.tenant = absl::StrCat("t", i);
    row.compute_share = kWhole / 1000 / static_cast<uint64_t>(i);
    report.rows.push_back(row);
  }
  const auto data = PageData(report);
  ASSERT_TRUE(data.ok());
  EXPECT_EQ((*data)["tenants"].size(), 8u);
  EXPECT_EQ((*data)["tenants"][0]["name"], "t0");
  EXPECT_EQ((*data)["tenants"][7]["name"], "13 other tenants");
}

}  // namespace
}  // namespace het::report
