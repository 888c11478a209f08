#include "report/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"
#include "report/timestamp.h"

namespace het::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Report SmallReport() {
  Report report;
  report.node = "node-1";
  report.generator = "test";
  report.from = 1'764'082'800;  // 2025-11-25T15:00:00Z
  report.to = report.from + kHourSeconds;
  report.devices = {{"6f0c0000-0000-4000-8000-000000000000", "A, \"quoted\" GPU", "Acme", "gpu",
                     "none", 16 << 20, false}};
  Row used;
  used.hour = report.from;
  used.state = State::kUsed;
  used.tenant = "ana\nx";
  used.owner = 1000;
  used.lease = "l1";
  used.memory_share = kWhole / 3;
  used.compute_share = kWhole / 4;
  used.covered_ms = kHourMs / 2;
  used.memory_limit_kib = 8 << 20;
  used.memory_used_kib = (16 << 20) / 3;
  used.memory_used_max_kib = 6 << 20;
  used.compute_limit = 500'000;
  used.compute_used = 250'000;
  used.compute_used_p95 = 310'000;
  used.queue_wait_ms = 1500;
  Row free;
  free.hour = report.from;
  free.state = State::kFree;
  free.memory_share = kWhole - used.memory_share;
  free.compute_share = kWhole - used.compute_share;
  free.covered_ms = kHourMs / 2;
  free.denied_requests = 7;
  free.largest_free_kib = 4 << 20;
  report.rows = {used, free};
  return report;
}

TEST(Table, WritesCsvThatQuotesWhatMustBe) {
  const auto csv = WriteTable(SmallReport(), Format::kNative, Encoding::kCsv);
  ASSERT_TRUE(csv.ok());
  EXPECT_EQ(
      *csv,
      "periodStart,periodEnd,node,deviceId,deviceName,vendor,deviceKind,partitionMode,state,tenant,"
      "owner,jobId,leaseId,memoryShare,computeShare,deviceHours,memoryGiBHours,memoryLimitGiB,"
      "memoryUsedAvgGiB,memoryUsedMaxGiB,computeLimit,computeUsedAvg,computeUsedP95,energyWh,"
      "queueWaitSeconds,deniedRequests,largestFreeGiB,sampleCoverage\r\n"
      "2025-11-25T15:00:00Z,2025-11-25T16:00:00Z,node-1,6f0c0000-0000-4000-8000-000000000000,"
      "\"A, \"\"quoted\"\" GPU\",Acme,gpu,none,Used,\"ana\nx\",1000,,l1,0.333333333333,"
      "0.250000000000,0.125000000,2.666667,8.000000,5.333333,6.000000,0.500000,0.250000,0.310000,,"
      "1.500,,,0.500000\r\n"
      "2025-11-25T15:00:00Z,2025-11-25T16:00:00Z,node-1,6f0c0000-0000-4000-8000-000000000000,"
      "\"A, \"\"quoted\"\" GPU\",Acme,gpu,none,Free,,,,,0.666666666667,0.750000000000,0.375000000,"
      "5.333333,,,,,,,,,7,4.000000,0.500000\r\n");
}

TEST(Table, WritesJsonLinesThatParse) {
  const auto text = WriteTable(SmallReport(), Format::kNative, Encoding::kJsonLines);
  ASSERT_TRUE(text.ok());
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 2u);
  const auto used = ParseJson(lines[0]);
  ASSERT_TRUE(used.ok()) << used.status();
  EXPECT_EQ((*used)["tenant"], "ana\nx");
  EXPECT_DOUBLE_EQ((*used)["computeShare"].get<double>(), 0.25);
  EXPECT_FALSE(used->contains("energyWh")) << "what nobody measured is left out";
}

TEST(Table, WritesTwoFocusLinesPerRow) {
  const auto text = WriteTable(SmallReport(), Format::kFocus13, Encoding::kJsonLines);
  ASSERT_TRUE(text.ok());
  const std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 4u);
  const Json compute = *ParseJson(lines[0]), memory = *ParseJson(lines[1]);
  EXPECT_EQ(compute["ConsumedUnit"], "GPU-Hours");
  EXPECT_DOUBLE_EQ(compute["ConsumedQuantity"].get<double>(), 0.125);
  EXPECT_EQ(memory["ConsumedUnit"], "GiB-Hours");
  EXPECT_NEAR(memory["ConsumedQuantity"].get<double>(), 16.0 / 3 / 2, 1e-6);
  EXPECT_EQ(compute["BillingPeriodStart"], "2025-11-01T00:00:00Z");
  EXPECT_EQ(compute["BillingPeriodEnd"], "2025-12-01T00:00:00Z");
  EXPECT_EQ(compute["ChargeCategory"], "Usage");
  EXPECT_EQ(compute["x_State"], "Used");
  EXPECT_EQ(compute["AllocatedResourceId"], "l1");
}

TEST(Table, HasNoCostColumnsWithoutPrices) {
  for (const std::string& name : ColumnNames(Format::kFocus13))
    EXPECT_THAT(name, Not(HasSubstr("Cost")));
}

TEST(Table, SaysSimulatedOfSimulatedDevices) {
  Report report = SmallReport();
  report.devices[0].simulated = true;
  EXPECT_THAT(*WriteTable(report, Format::kNative, Encoding::kCsv), HasSubstr("(simulated)"));
}

TEST(Table, RefusesARowOfADeviceThatIsNotThere) {
  Report report = SmallReport();
  report.rows[0].device = 1;
  EXPECT_EQ(WriteTable(report, Format::kNative, Encoding::kCsv).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Table, SidecarNamesWhatIsInTheFile) {
  const Json sidecar = Sidecar(SmallReport(), "native", "csv", 2, "abc");
  EXPECT_EQ(sidecar["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sidecar["rows"], 2);
  EXPECT_EQ(sidecar["from"], "2025-11-25T15:00:00Z");
  EXPECT_EQ(sidecar["schemaVersion"], 1);
  EXPECT_FALSE(sidecar.contains("openHour"));
}

TEST(Timestamp, ReadsWhatPeopleWriteAndRefusesTheRest) {
  constexpr int64_t kNow = 1'764'082'800;
  EXPECT_EQ(*ParseTime("2025-11-25T15:00:00Z", 0), kNow);
  EXPECT_EQ(*ParseTime("2025-11-25T15:00", 0), kNow);
  EXPECT_EQ(*ParseTime("2025-11-25", 0), kNow - 15 * 3600);
  EXPECT_EQ(*ParseTime("@1764082800", 0), kNow);
  EXPECT_EQ(*ParseTime("-24h", kNow), kNow - 86'400);
  EXPECT_EQ(*ParseTime("now", kNow), kNow);
  for (const char* text : {"", "yesterday", "2025-13-01", "2025-02-30", "2025-11-25T25:00",
                           "2025-11-25 15:00", "@", "-x", "2025-11-25T15:00:00+01:00"}) {
    EXPECT_FALSE(ParseTime(text, kNow).ok()) << text;
  }
  EXPECT_EQ(FormatTime(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(FormatTime(-1), "1969-12-31T23:59:59Z");
  EXPECT_EQ(FormatTime(INT64_MAX), "9999-12-31T23:59:59Z");
  EXPECT_EQ(FormatTime(MonthOf(kNow, 2)), "2026-01-01T00:00:00Z");
}

}  // namespace
}  // namespace het::report
