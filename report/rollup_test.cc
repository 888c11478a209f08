#include "report/rollup.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"

namespace het::report {
namespace {

constexpr uint64_t kGib = uint64_t{1} << 20;  // in KiB

DeviceSample SampleOf(std::vector<HolderSample> holders, int64_t ms = 1000) {
  DeviceSample sample;
  sample.interval_ms = ms;
  sample.memory_kib = 16 * kGib;
  sample.free_parts = kWholeParts;
  sample.free_kib = 16 * kGib;
  for (const HolderSample& holder : holders) {
    sample.free_parts -= std::min(sample.free_parts, holder.share_parts);
    sample.free_kib -= std::min(sample.free_kib, holder.memory_limit_kib);
  }
  sample.holders = std::move(holders);
  return sample;
}

HolderSample Holder(const std::string& lease, uint32_t parts, uint64_t limit_gib,
                    uint64_t used_gib = 0, uint64_t used_ms = 0) {
  HolderSample holder;
  holder.lease = lease;
  holder.tenant = absl::StrCat("tenant of ", lease);
  holder.owner = 1000;
  holder.share_parts = parts;
  holder.memory_limit_kib = limit_gib * kGib;
  holder.memory_used_kib = used_gib * kGib;
  holder.used_ns = used_ms * 1'000'000;
  return holder;
}

std::vector<Row> RowsOf(const std::vector<DeviceSample>& samples) {
  DeviceHour hour;
  for (const DeviceSample& sample : samples) hour.Add(sample);
  return hour.Rows(3600, 0);
}

const Row* FindRow(const std::vector<Row>& rows, State state, const std::string& lease = "") {
  for (const Row& row : rows) {
    if (row.state == state && row.lease == lease) return &row;
  }
  return nullptr;
}

double Memory(const std::vector<Row>& rows, State state, const std::string& lease = "") {
  const Row* row = FindRow(rows, state, lease);
  return row == nullptr ? 0 : static_cast<double>(row->memory_share) / kWhole;
}
double Compute(const std::vector<Row>& rows, State state, const std::string& lease = "") {
  const Row* row = FindRow(rows, state, lease);
  return row == nullptr ? 0 : static_cast<double>(row->compute_share) / kWhole;
}

void ExpectSumsToOne(const std::vector<Row>& rows) {
  uint64_t memory = 0, compute = 0;
  for (const Row& row : rows) {
    memory += row.memory_share;
    compute += row.compute_share;
  }
  EXPECT_EQ(memory, kWhole);
  EXPECT_EQ(compute, kWhole);
}

TEST(Rollup, TellsUsedFromHeldIdleFromFree) {
  const auto rows = RowsOf({SampleOf({Holder("a", 5000, 8, 4, 250)})});
  EXPECT_DOUBLE_EQ(Memory(rows, State::kUsed, "a"), 0.25);
  EXPECT_DOUBLE_EQ(Memory(rows, State::kHeldIdle, "a"), 0.25);
  EXPECT_DOUBLE_EQ(Memory(rows, State::kFree), 0.5);
  EXPECT_DOUBLE_EQ(Compute(rows, State::kUsed, "a"), 0.25);
  EXPECT_DOUBLE_EQ(Compute(rows, State::kHeldIdle, "a"), 0.25);
  EXPECT_DOUBLE_EQ(Compute(rows, State::kFree), 0.5);
  ExpectSumsToOne(rows);
}

TEST(Rollup, CallsMemoryWithoutComputeStranded) {
  const auto rows = RowsOf({SampleOf({Holder("a", 10'000, 4)})});
  EXPECT_DOUBLE_EQ(Memory(rows, State::kStranded), 0.75);
  EXPECT_DOUBLE_EQ(Memory(rows, State::kFree), 0);
  EXPECT_EQ(FindRow(rows, State::kFree)->largest_free_kib, 0);
}

TEST(Rollup, CallsPiecesThatNoSliceCanHaveStranded) {
  DeviceSample sample = SampleOf({});
  sample.free_kib = 10 * kGib;
  sample.free_parts = 4000;
  const auto rows = RowsOf({sample});
  EXPECT_DOUBLE_EQ(Memory(rows, State::kFree), 0.625);
  EXPECT_DOUBLE_EQ(Memory(rows, State::kStranded), 0.375);
  EXPECT_DOUBLE_EQ(Compute(rows, State::kFree), 0.4);
  EXPECT_DOUBLE_EQ(Compute(rows, State::kStranded), 0.6);
}

TEST(Rollup, DoesNotCallIdleWhatAnotherLeaseUses) {
  // a may run on what b leaves idle: 90 % used by a, and only 10 % is left to be idle.
  const auto rows = RowsOf({SampleOf({Holder("a", 5000, 8, 8, 900), Holder("b", 5000, 8)})});
  EXPECT_DOUBLE_EQ(Compute(rows, State::kUsed, "a"), 0.9);
  EXPECT_DOUBLE_EQ(Compute(rows, State::kHeldIdle, "b"), 0.1);
  EXPECT_EQ(FindRow(rows, State::kHeldIdle, "b")->compute_limit, 500'000);
  ExpectSumsToOne(rows);
}

TEST(Rollup, CountsNamedSlicesThatNobodyHasAndDrainingDevicesAsReserved) {
  HolderSample named = Holder("", 2500, 4);
  named.reserved = true;
  DeviceSample draining = SampleOf({named});
  draining.draining = true;
  const auto rows = RowsOf({SampleOf({named}), draining});
  EXPECT_DOUBLE_EQ(Memory(rows, State::kReserved), (0.25 + 1.0) / 2);
  EXPECT_DOUBLE_EQ(Compute(rows, State::kReserved), (0.25 + 1.0) / 2);
  ExpectSumsToOne(rows);
}

TEST(Rollup, CountsAnUnhealthyDeviceAsNothingElse) {
  DeviceSample sick = SampleOf({Holder("a", 5000, 8, 4, 250)});
  sick.healthy = false;
  const auto rows = RowsOf({sick, SampleOf({})});
  EXPECT_DOUBLE_EQ(Memory(rows, State::kUnhealthy), 0.5);
  EXPECT_DOUBLE_EQ(Compute(rows, State::kUnhealthy), 0.5);
  EXPECT_EQ(FindRow(rows, State::kUsed, "a"), nullptr);
}

TEST(Rollup, CountsWhatNobodyCanMeterAsUsedAndSaysSo) {
  HolderSample opaque = Holder("a", 4000, 8, 8);
  opaque.metered = false;
  const auto rows = RowsOf({SampleOf({opaque})});
  EXPECT_DOUBLE_EQ(Compute(rows, State::kUsed, "a"), 0.4);
  EXPECT_EQ(FindRow(rows, State::kUsed, "a")->compute_used, kUnknown);
}

TEST(Rollup, GivesMeanMaximumAndPercentileOfALease) {
  std::vector<DeviceSample> samples(95, SampleOf({Holder("a", 5000, 8, 2, 100)}));
  samples.insert(samples.end(), 5, SampleOf({Holder("a", 5000, 8, 6, 500)}));
  const auto rows = RowsOf(samples);
  const Row& used = *FindRow(rows, State::kUsed, "a");
  EXPECT_EQ(used.memory_used_kib, static_cast<int64_t>(22 * kGib / 10));
  EXPECT_EQ(used.memory_used_max_kib, static_cast<int64_t>(6 * kGib));
  EXPECT_EQ(used.compute_used, 120'000);
  EXPECT_EQ(used.compute_used_p95, 100'000);
  EXPECT_EQ(used.covered_ms, 100'000);
}

TEST(Rollup, PutsShortLeasesTogetherByTenantBeyondABound) {
  DeviceHour hour;
  for (int i = 0; i < 1000; ++i) {
    HolderSample holder = Holder(absl::StrCat("lease-", i), 1000, 1, 1, 50);
    holder.tenant = absl::StrCat("t", i % 200);
    hour.Add(SampleOf({holder}));
  }
  const auto rows = hour.Rows(0, 0);
  EXPECT_LE(rows.size(), 2 * (kMostLeases + kMostTenants + 1) + 4);
  EXPECT_GT(rows.size(), 2 * kMostLeases);
  ExpectSumsToOne(rows);
}

TEST(Rollup, NeverCoversMoreThanTheHour) {
  DeviceHour hour;
  for (int i = 0; i < 5000; ++i) hour.Add(SampleOf({Holder("a", 5000, 8, 4, 250)}));
  EXPECT_EQ(hour.covered_ms(), kHourMs);
  ExpectSumsToOne(hour.Rows(0, 0));
}

TEST(Rollup, GivesNoRowsForAnHourNobodyLookedAt) { EXPECT_TRUE(DeviceHour().Rows(0, 0).empty()); }

// Whatever is sampled, however inconsistent: shares sum to exactly one, and a restart in the middle
// of the hour changes nothing.
TEST(Rollup, SumsToOneForAnySamplesAndOverRestarts) {
  std::mt19937_64 random(20251125);
  const auto below = [&](uint64_t n) {
    return std::uniform_int_distribution<uint64_t>(0, n)(random);
  };
  for (int run = 0; run < 150; ++run) {
    DeviceHour through, restarted;
    const uint64_t memory = below(3) == 0 ? below(5) : below(uint64_t{8} << 30);
    const int samples = 1 + static_cast<int>(below(60));
    for (int i = 0; i < samples; ++i) {
      DeviceSample sample;
      sample.interval_ms = static_cast<int64_t>(below(below(4) == 0 ? 600'000 : 1500));
      sample.memory_kib = memory;
      sample.healthy = below(9) != 0;
      sample.draining = below(9) == 0;
      sample.free_kib = below(3) == 0 ? UINT64_MAX : below(memory);
      sample.free_parts = static_cast<uint32_t>(below(12'000));
      const uint64_t holders = below(9);
      for (uint64_t h = 0; h < holders; ++h) {
        HolderSample holder = Holder(absl::StrCat("l", 10 * below(20) + h), 0, 0);
        holder.share_parts = static_cast<uint32_t>(below(12'000));
        holder.memory_limit_kib = below(7) == 0 ? UINT64_MAX : below(memory);
        holder.memory_used_kib = below(7) == 0 ? UINT64_MAX : below(memory);
        holder.used_ns = below(7) == 0 ? UINT64_MAX : below(2'000'000'000);
        holder.metered = below(3) != 0;
        holder.reserved = below(5) == 0;
        sample.holders.push_back(holder);
      }
      through.Add(sample);
      const auto back = ParseJson(PrintJson(restarted.ToJson()));
      ASSERT_TRUE(back.ok());
      auto read = DeviceHour::FromJson(*back);
      ASSERT_TRUE(read.ok()) << read.status();
      restarted = *std::move(read);
      restarted.Add(sample);
    }
    const auto rows = through.Rows(0, 0);
    EXPECT_TRUE(rows == restarted.Rows(0, 0)) << "run " << run;
    if (through.covered_ms() > 0) ExpectSumsToOne(rows);
  }
}

TEST(Rollup, RefusesACheckpointThatItDidNotWrite) {
  for (const char* text :
       {"{}", R"({"coveredMs":9999999999})", "[]", R"({"coveredMs":1,"free":[1]})"}) {
    EXPECT_FALSE(DeviceHour::FromJson(*ParseJson(text)).ok()) << text;
  }
}

}  // namespace
}  // namespace het::report
