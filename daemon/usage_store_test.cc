#include "daemon/usage_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "daemon/test_directory.h"

namespace het::daemon {
namespace {

using report::Device;
using report::Row;

const std::vector<Device> kDevices = {{"d0", "GPU 0", "Acme", "gpu", "none", 1 << 20, false},
                                      {"d1", "GPU 1", "Acme", "gpu", "none", 1 << 20, true}};

std::vector<Row> RowsOf(int64_t hour) {
  std::vector<Row> rows;
  for (uint32_t device = 0; device < 2; ++device) {
    for (int i = 0; i < 3; ++i) {
      Row row;
      row.hour = hour;
      row.device = device;
      row.state = i == 2 ? report::State::kFree : report::State::kUsed;
      if (i < 2) {
        row.tenant = absl::StrCat("t", i);
        row.owner = 1000 + i;
        row.lease = absl::StrCat("l", i);
      }
      row.memory_share = report::kWhole / 3;
      row.compute_share = report::kWhole / 4;
      row.covered_ms = 1000;
      row.memory_limit_kib = 5;
      row.largest_free_kib = i == 2 ? 9 : report::kUnknown;
      rows.push_back(row);
    }
  }
  return rows;
}

std::vector<Row> ReadAll(UsageStore& store, std::optional<uid_t> owner = {}, int limit = 2) {
  UsageStore::Place place;
  std::vector<Row> rows;
  while (true) {
    auto page = store.Read(place, INT64_MAX, owner, limit);
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page.ok() || page->empty()) return rows;
    for (auto& entry : *page) {
      const auto device = store.FindDevice(entry.device);
      EXPECT_TRUE(device.ok());
      entry.row.device = *device == kDevices[0] ? 0 : 1;
      rows.push_back(std::move(entry.row));
    }
  }
}

TEST(UsageStore, GivesBackTheRowsOfAClosedHour) {
  TestDirectory directory;
  {
    auto store = *UsageStore::Open(directory.path());
    ASSERT_TRUE(store->Close(3600, kDevices, RowsOf(3600)).ok());
  }
  auto store = *UsageStore::Open(directory.path());
  EXPECT_TRUE(ReadAll(*store) == RowsOf(3600));
  EXPECT_EQ(*store->CountRows(), 6);
}

TEST(UsageStore, NeverChangesAClosedHour) {
  TestDirectory directory;
  auto store = *UsageStore::Open(directory.path());
  ASSERT_TRUE(store->Close(3600, kDevices, RowsOf(3600)).ok());
  EXPECT_EQ(store->Close(3600, kDevices, {}).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(*store->IsClosed(3600));
  EXPECT_FALSE(*store->IsClosed(7200));
  EXPECT_EQ(ReadAll(*store).size(), 6u);
}

TEST(UsageStore, ShowsAUserTheirOwnRowsAndThoseOfNobody) {
  TestDirectory directory;
  auto store = *UsageStore::Open(directory.path());
  ASSERT_TRUE(store->Close(3600, kDevices, RowsOf(3600)).ok());
  const auto rows = ReadAll(*store, 1001);
  ASSERT_EQ(rows.size(), 4u);
  for (const Row& row : rows) EXPECT_TRUE(row.owner == 1001 || row.state == report::State::kFree);
}

TEST(UsageStore, KeepsTheOpenHourOverARestart) {
  TestDirectory directory;
  { ASSERT_TRUE((*UsageStore::Open(directory.path()))->Save(7200, {{"a", 1}}).ok()); }
  auto store = *UsageStore::Open(directory.path());
  const auto open = store->Load();
  ASSERT_TRUE(open.ok() && open->has_value());
  EXPECT_EQ((*open)->hour, 7200);
  EXPECT_EQ((*open)->body["a"], 1);
  ASSERT_TRUE(store->Close(7200, kDevices, RowsOf(7200)).ok());
  EXPECT_FALSE(store->Load()->has_value());
}

TEST(UsageStore, KeepsTheLatest400Days) {
  TestDirectory directory;
  auto store = *UsageStore::Open(directory.path());
  const int64_t first = 3600;
  for (int64_t hour = 0; hour < kKeptUsageHours + 30; ++hour) {
    ASSERT_TRUE(store->Close(first + hour * 3600, {}, {}).ok());
  }
  EXPECT_FALSE(*store->IsClosed(first + 29 * 3600));
  EXPECT_TRUE(*store->IsClosed(first + 30 * 3600));
}

TEST(UsageStore, DoesNotLoseTheHistoryToAClockThatJumpsAhead) {
  TestDirectory directory;
  auto store = *UsageStore::Open(directory.path());
  ASSERT_TRUE(store->Close(3600, kDevices, RowsOf(3600)).ok());
  const int64_t ten_years = int64_t{3600} * 24 * 3650;
  ASSERT_TRUE(store->Close(ten_years, kDevices, RowsOf(ten_years)).ok());
  EXPECT_TRUE(*store->IsClosed(3600));
}

TEST(UsageStore, PutsADamagedFileAsideAndBeginsAnew) {
  TestDirectory directory;
  directory.Write("usage.db", std::string(8192, 'x'));
  auto store = UsageStore::Open(directory.path());
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE((*store)->Close(3600, kDevices, RowsOf(3600)).ok());
  int aside = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    aside += entry.path().filename().string().find(".damaged-") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(aside, 1);
}

}  // namespace
}  // namespace het::daemon
