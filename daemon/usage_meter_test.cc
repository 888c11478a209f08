#include "daemon/usage_meter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "base/uuid.h"
#include "daemon/store.h"
#include "daemon/test_directory.h"
#include "partition/refusal.h"

namespace het::daemon {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kHour = 3600;

class TwoClocks : public Clock {
 public:
  int64_t MonotonicNanos() const override { return monotonic; }
  int64_t BoottimeNanos() const override { return monotonic; }
  int64_t WallNanos() const override { return wall; }
  int64_t monotonic = 5 * kSecond;
  int64_t wall = 1000 * kHour * kSecond;
};

DeviceInfo Gpu(const std::string& id) {
  DeviceInfo device;
  device.uuid = id;
  device.name = "test gpu";
  device.vendor = "Acme";
  device.backend = "fake";
  device.kind = DeviceKind::kGpu;
  device.memory_bytes = 16 * kGiB;
  device.compute_units = 8;
  return device;
}

const Caller kRoot = {0, {}, true};

class UsageMeterTest : public testing::Test {
 protected:
  UsageMeterTest() {
    store_ = *Store::Open(directory_.path(), clock_);
    ledger_.SetInventory({Gpu("gpu-a"), Gpu("gpu-b")});
    LeaseBook::Rules rules;
    rules.isolation_at_least = Isolation::kCooperative;
    book_ = std::make_unique<LeaseBook>(ledger_, *store_, clock_, "boot", rules);
    Open();
  }

  void Open() {
    meter_.reset();
    history_.reset();
    history_ = *UsageStore::Open(directory_.path());
    meter_ = std::make_unique<UsageMeter>(
        UsageMeter::Parts{ledger_, *book_,
                          [this](const Lease& lease) {
                            const auto usage = usage_.find(lease.id);
                            return usage == usage_.end() ? protocol::SliceUsage() : usage->second;
                          },
                          [this] { return always_look_ || !usage_.empty(); }, clock_,
                          history_.get(), "node-1", [this] { return processor_times_; },
                          [this](const std::string& device) -> std::optional<double> {
                            if (device != "gpu-a") return std::nullopt;
                            return watts_;
                          }});
    meter_->Restore();
  }

  Lease Acquire(const std::string& device, uint32_t percent, uint64_t bytes, uid_t uid = 1000) {
    protocol::LeaseTerms terms;
    terms.tenant = absl::StrCat("user-", uid);
    terms.holder = Holder::kManual;
    terms.confirm = true;
    SliceRequest slice;
    slice.device = device;
    slice.share = Share::OfPercent(percent);
    slice.memory_bytes = bytes;
    const Caller caller = {uid, {}, false};
    const auto leases = book_->Acquire(caller, terms, {&slice, 1});
    EXPECT_TRUE(leases.ok()) << leases.status();
    return leases->front();
  }

  void Run(int64_t seconds) {
    for (int64_t i = 0; i < seconds; ++i) {
      clock_.monotonic += kSecond;
      clock_.wall += kSecond;
      meter_->Tick();
    }
  }

  // Rows as Report sends them.
  std::vector<Json> Rows(const Caller& caller = kRoot) {
    auto stream = meter_->Report(caller, {{"from", 0}, {"to", 1e10}});
    EXPECT_TRUE(stream.ok()) << stream.status();
    std::vector<Json> rows;
    for (bool more = true; more;) {
      Page page = (*stream)();
      EXPECT_LT(PrintJson(page.parameters).size(), size_t{60} << 10);
      for (Json& row : page.parameters["rows"]) rows.push_back(std::move(row));
      more = page.continues;
    }
    return rows;
  }
  static double Of(const std::vector<Json>& rows, report::State state, int field,
                   int64_t hour = -1) {
    double sum = 0;
    for (const Json& row : rows) {
      if (row[2] == static_cast<int>(state) && (hour < 0 || row[0] == hour)) {
        sum += row[static_cast<size_t>(field)].get<double>();
      }
    }
    return sum / report::kWhole;
  }

  TestDirectory directory_;
  TwoClocks clock_;
  Ledger ledger_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<LeaseBook> book_;
  std::unique_ptr<UsageStore> history_;
  std::unique_ptr<UsageMeter> meter_;
  std::map<std::string, protocol::SliceUsage> usage_;
  std::string processor_times_;
  bool always_look_ = false;
  std::optional<double> watts_;
};

constexpr int kMemoryShare = 7, kComputeShare = 8, kCovered = 9, kDenied = 18;

// A device of 100 W for half an hour, used to a quarter by a job's lease.
TEST_F(UsageMeterTest, GivesEnergyToWhoUsedTheDevice) {
  watts_ = 100;
  const Lease lease = Acquire("gpu-a", 50, 4 * kGiB);
  usage_[lease.id].processes = 1;
  for (int second = 0; second <= 1800; ++second) {
    Run(1);
    usage_[lease.id].used_ns += kSecond / 4;
  }
  const size_t energy = 17;
  double used = 0, free = 0;
  int unknown = 0;
  for (const Json& row : Rows()) {
    const int64_t mwh = row[energy].get<int64_t>();
    if (mwh < 0) ++unknown;
    if (mwh >= 0 && row[2] == static_cast<int>(report::State::kUsed)) used += mwh;
    if (mwh >= 0 && row[2] == static_cast<int>(report::State::kFree)) free += mwh;
  }
  EXPECT_NEAR(used, 12'500, 15);
  EXPECT_NEAR(free, 37'500, 15);
  EXPECT_GT(unknown, 0) << "the device without a meter, and what is held idle";
}

// What does not change is added up once: the rows are those of a sample each second.
TEST_F(UsageMeterTest, AddsUpAQuietNodeAsIfItLookedEachSecond) {
  std::vector<std::vector<Json>> seen;
  for (const bool always : {true, false}) {
    always_look_ = always;
    watts_ = 100;
    Open();
    std::mt19937 random(9);
    std::vector<Lease> held;
    bool draining = false;
    const int64_t begin = clock_.wall;
    for (int step = 0; step < 60; ++step) {
      switch (random() % 4) {
        case 0:
          held.push_back(Acquire(random() % 2 == 0 && !draining ? "gpu-a" : "gpu-b", 1, kGiB / 8));
          break;
        case 1:
          if (!held.empty()) {
            ASSERT_TRUE(book_->Release(kRoot, {"", {{held.back().id, 0}}}).ok());
            held.pop_back();
          }
          break;
        case 2:
          draining = random() % 2 == 0;
          ASSERT_TRUE(ledger_.SetDraining("gpu-a", draining).ok());
          break;
        default:
          meter_->Refused(NoCapacity("no", [] {
            Shortage shortage;
            shortage.device = "gpu-a";
            return shortage;
          }()));
      }
      Run(static_cast<int64_t>(random() % 200));
      if (step % 7 == 0) meter_->Save();
    }
    for (const Lease& lease : held) (void)book_->Release(kRoot, {"", {{lease.id, 0}}});
    (void)ledger_.SetDraining("gpu-a", false);
    std::vector<Json> rows;
    for (Json& row : Rows()) {
      // The second time is later, and its leases are others.
      if (row[0].get<int64_t>() < begin / kSecond - 3600) continue;
      row[0] = row[0].get<int64_t>() - begin / kSecond;
      for (Json& field : row) {
        if (field.is_string() && IsUuid(field.get<std::string>())) field = "";
      }
      rows.push_back(std::move(row));
    }
    std::sort(rows.begin(), rows.end());
    seen.push_back(std::move(rows));
    clock_.wall += 100 * 3600 * kSecond - (clock_.wall - begin);
  }
  EXPECT_GT(seen[0].size(), 10u);
  EXPECT_EQ(seen[0], seen[1]);
}

TEST_F(UsageMeterTest, SplitsADeviceByWhatIsHeldAndUsed) {
  const Lease lease = Acquire("gpu-a", 50, 8 * kGiB);
  protocol::SliceUsage& usage = usage_[lease.id];
  usage.memory_bytes = 4 * kGiB;
  usage.processes = 1;
  Run(1);
  for (int i = 0; i < 10; ++i) {
    usage.used_ns += kSecond / 4;
    Run(1);
  }
  const auto rows = Rows();
  EXPECT_NEAR(Of(rows, report::State::kUsed, kComputeShare), 0.25, 1e-9);
  EXPECT_NEAR(Of(rows, report::State::kHeldIdle, kComputeShare), 0.25, 1e-9);
  EXPECT_NEAR(Of(rows, report::State::kUsed, kMemoryShare), 0.25, 1e-9);
  EXPECT_NEAR(Of(rows, report::State::kFree, kMemoryShare), 0.5 + 1, 1e-9) << "and all of gpu-b";
  EXPECT_EQ(rows.front()[kCovered], 10'000);
}

TEST_F(UsageMeterTest, GoesOnWithTheHourAfterARestart) {
  Acquire("gpu-a", 50, 8 * kGiB);
  Run(100);
  meter_->Save();
  Open();
  Run(101);
  EXPECT_EQ(Rows().front()[kCovered], 99'000 + 100'000) << "the second between is not covered";
}

TEST_F(UsageMeterTest, ClosesAnHourThatThenStaysAsItIs) {
  Acquire("gpu-a", 50, 8 * kGiB);
  Run(kHour + 10);
  const auto before = history_->IsClosed(1000 * kHour);
  ASSERT_TRUE(before.ok() && *before);
  const auto closed = [this] {
    std::string text;
    for (const Json& row : Rows()) {
      if (row[0] == 1000 * kHour) text += PrintJson(row);
    }
    return text;
  };
  const std::string first = closed();
  EXPECT_FALSE(first.empty());
  Run(10);
  Open();
  Run(10);
  EXPECT_EQ(closed(), first);
}

TEST_F(UsageMeterTest, HoldsTheInvariantWhileTheClockJumps) {
  Acquire("gpu-a", 37, 5 * kGiB);
  for (const int64_t jump : {int64_t{0}, kHour, -kHour, 365 * 24 * kHour, -365 * 24 * kHour,
                             -30 * kHour, int64_t{1800}}) {
    clock_.wall += jump * kSecond;
    Run(700);
  }
  Run(kHour);
  std::map<std::pair<int64_t, int64_t>, std::pair<uint64_t, uint64_t>> sums;
  for (const Json& row : Rows()) {
    auto& [memory, compute] = sums[{row[0].get<int64_t>(), row[1].get<int64_t>()}];
    memory += row[kMemoryShare].get<uint64_t>();
    compute += row[kComputeShare].get<uint64_t>();
    EXPECT_LE(row[kCovered].get<int64_t>(), report::kHourMs);
  }
  EXPECT_GE(sums.size(), 10u);
  for (const auto& [key, sum] : sums) {
    EXPECT_EQ(sum.first, report::kWhole);
    EXPECT_EQ(sum.second, report::kWhole);
  }
}

TEST_F(UsageMeterTest, DoesNotCoverTimeInWhichNobodyLooked) {
  Run(10);
  clock_.monotonic += 600 * kSecond;
  clock_.wall += 600 * kSecond;
  Run(10);
  EXPECT_EQ(Rows().front()[kCovered], 9'000 + 9'000);
}

TEST_F(UsageMeterTest, CountsRefusedRequestsOnceAtTheirDevice) {
  Run(2);
  Shortage shortage;
  shortage.device = "gpu-b";
  meter_->Refused(NoCapacity("full", shortage));
  meter_->Refused(absl::NotFoundError("no"));
  meter_->Refused(NoCapacity("a model over all devices", Shortage()));
  Run(2);
  int64_t denied = 0;
  for (const Json& row : Rows()) denied += std::max<int64_t>(0, row[kDenied].get<int64_t>());
  EXPECT_EQ(denied, 1);
}

TEST_F(UsageMeterTest, ShowsAUserNoLeaseOfAnother) {
  Acquire("gpu-a", 20, kGiB, 1000);
  Acquire("gpu-a", 20, kGiB, 1001);
  Run(kHour + 5);
  const Caller caller = {1000, {}, false};
  for (const Json& row : Rows(caller)) {
    EXPECT_THAT(row[4], testing::AnyOf(-1, 1000));
    EXPECT_NE(row[3], "user-1001");
  }
}

TEST_F(UsageMeterTest, TimesProcessorsThatASliceHasAlone) {
  DeviceInfo cpu = Gpu("cpu");
  cpu.cores = {0, 1};
  ledger_.SetInventory({cpu});
  Acquire("cpu", 50, kGiB);  // a core of its own
  const auto slice = ledger_.slices().begin()->second;
  ASSERT_FALSE(slice.time_shared);
  const uint32_t core = slice.cores.front();
  for (int i = 0; i < 11; ++i) {
    // 50 of 100 ticks a second.
    processor_times_ =
        absl::StrCat("cpu 1 2 3 4\ncpu", core, " ", 50 * i, " 0 0 ", 50 * i, " 0 0 0 0 0 0\n");
    Run(1);
  }
  EXPECT_NEAR(Of(Rows(), report::State::kUsed, kComputeShare), 0.25, 1e-6);
  EXPECT_NEAR(Of(Rows(), report::State::kHeldIdle, kComputeShare), 0.25, 1e-6);
}

TEST_F(UsageMeterTest, RefusesATimeThatIsNone) {
  for (const Json& parameters :
       {Json{{"from", 5}, {"to", 5}}, Json{{"from", -1}, {"to", 5}},
        Json{{"from", 0}, {"to", 1e300}}, Json{{"from", "x"}}, Json::object()}) {
    EXPECT_EQ(meter_->Report(kRoot, parameters).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace het::daemon
