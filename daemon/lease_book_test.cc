#include "daemon/lease_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include "daemon/test_directory.h"

namespace het::daemon {
namespace {

using protocol::LeaseChange;
using protocol::LeaseTerms;

constexpr int64_t kSecond = 1'000'000'000;

DeviceInfo Gpu() {
  DeviceInfo device;
  device.uuid = "gpu";
  device.name = "test gpu";
  device.backend = "fake";
  device.memory_bytes = 16 * kGiB;
  device.compute_units = 8;
  return device;
}

// While it lives, no file of this process can grow beyond `bytes`: a disk that is full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

class LeaseBookTest : public testing::Test {
 protected:
  LeaseBookTest() { Open(); }

  // As after a kill: nothing but the store survives.
  void Open() {
    book_.reset();
    store_.reset();
    store_ = *Store::Open(directory_.path(), clock_);
    ledger_ = Ledger();
    ledger_.SetInventory({Gpu()});
    book_ = std::make_unique<LeaseBook>(ledger_, *store_, clock_, "boot");
    ASSERT_TRUE(book_->Restore([this](const ProcessId&) { return process_lives_; }).ok());
    ASSERT_TRUE(book_->Commit().ok());
  }

  static LeaseTerms Manual(int64_t ttl_ms = 0) {
    return {.request_id = "",
            .tenant = "ana",
            .holder = Holder::kManual,
            .ttl_ms = ttl_ms,
            .confirm = true};
  }
  static LeaseTerms OfProcess(bool confirm = true) {
    return {.request_id = "",
            .tenant = "ana",
            .holder = Holder::kProcess,
            .ttl_ms = 0,
            .confirm = confirm};
  }

  absl::StatusOr<Lease> Acquire(const LeaseTerms& terms, uint32_t percent) {
    const SliceRequest request = {"gpu", Share::OfPercent(percent), kGiB, Policy::kGuaranteed};
    auto leases = book_->Acquire(ana_, terms, {request});
    if (!leases.ok()) return leases.status();
    return leases->front();
  }
  static LeaseChange Of(const Lease& lease, uint64_t generation = 0) {
    return {"", {{lease.id, generation}}, 0};
  }
  uint32_t FreePercent() const { return ledger_.FreeOf(ledger_.devices()[0]).share.parts() / 100; }

  TestDirectory directory_;
  ManualClock clock_;
  std::unique_ptr<Store> store_;
  Ledger ledger_;
  std::unique_ptr<LeaseBook> book_;
  bool process_lives_ = true;
  const Caller ana_ = {1000, {42, 7}, false};
  const Caller bob_ = {1001, {43, 8}, false};
  const Caller root_ = {0, {1, 1}, true};
};

TEST_F(LeaseBookTest, GivesBackWhatWasReleased) {
  const auto lease = Acquire(Manual(), 60);
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_EQ(FreePercent(), 40u);
  EXPECT_TRUE(book_->Release(ana_, Of(*lease)).ok());
  EXPECT_EQ(FreePercent(), 100u);
  EXPECT_EQ(book_->Release(ana_, Of(*lease)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(LeaseBookTest, RestoresLeasesAsTheyWere) {
  const auto kept = Acquire(Manual(), 60);
  const auto gone = Acquire(Manual(), 10);
  ASSERT_TRUE(book_->Commit().ok());
  ASSERT_TRUE(book_->Release(ana_, Of(*gone)).ok());
  ASSERT_TRUE(book_->Commit().ok());
  Open();
  EXPECT_EQ(FreePercent(), 40u);
  ASSERT_EQ(book_->leases().size(), 1u);
  EXPECT_EQ(PrintJson(ToJson(book_->leases().at(kept->id), 0)), PrintJson(ToJson(*kept, 0)));
  EXPECT_GT(Acquire(Manual(), 1)->generation, gone->generation) << "generations never go back";
}

TEST_F(LeaseBookTest, ReclaimsTheLeasesOfAProcessThatEnded) {
  ASSERT_TRUE(Acquire(OfProcess(), 30).ok());
  ASSERT_TRUE(Acquire(Manual(), 20).ok());
  EXPECT_TRUE(book_->HasLeases(ana_.process));
  EXPECT_EQ(book_->ReclaimProcess({42, 9999}), 0u) << "another process of that number";
  EXPECT_EQ(book_->ReclaimProcess(ana_.process), 1u);
  EXPECT_EQ(FreePercent(), 80u);
  EXPECT_FALSE(book_->HasLeases(ana_.process));
}

TEST_F(LeaseBookTest, EndsALeaseOfAProcessThatDiedWhileNobodyLooked) {
  ASSERT_TRUE(Acquire(OfProcess(), 30).ok());
  ASSERT_TRUE(book_->Commit().ok());
  process_lives_ = false;
  Open();
  EXPECT_EQ(FreePercent(), 100u);
  EXPECT_TRUE(store_->Load()->leases.empty());
}

TEST_F(LeaseBookTest, EndsATriedLeaseThatNobodyConfirms) {
  const auto tried = Acquire(OfProcess(/*confirm=*/false), 30);
  const auto confirmed = Acquire(OfProcess(/*confirm=*/false), 20);
  EXPECT_EQ(tried->state, LeaseState::kTried);
  ASSERT_TRUE(book_->Confirm(ana_, Of(*confirmed)).ok());
  clock_.AdvanceNanos(kTryMillis * 1'000'000 - 1);
  EXPECT_EQ(book_->ReclaimExpired(), 0u);
  clock_.AdvanceNanos(1);
  EXPECT_EQ(book_->ReclaimExpired(), 1u);
  EXPECT_EQ(FreePercent(), 80u);
}

TEST_F(LeaseBookTest, CountsTheTimeOfAManualLeaseFromItsConfirmation) {
  LeaseTerms terms = Manual(/*ttl_ms=*/60'000);
  terms.confirm = false;
  const auto lease = Acquire(terms, 30);
  clock_.AdvanceNanos(20 * kSecond);
  ASSERT_TRUE(book_->Confirm(ana_, Of(*lease)).ok());
  EXPECT_EQ(book_->NextExpiry(), 80 * kSecond);
  clock_.AdvanceNanos(50 * kSecond);
  LeaseChange renewal = Of(*lease);
  renewal.ttl_ms = 60'000;
  ASSERT_TRUE(book_->Renew(ana_, renewal).ok());
  EXPECT_EQ(book_->NextExpiry(), 130 * kSecond);
}

TEST_F(LeaseBookTest, CancelsOnlyWhatIsTried) {
  const auto tried = Acquire(OfProcess(/*confirm=*/false), 30);
  const auto confirmed = Acquire(OfProcess(), 20);
  EXPECT_EQ(book_->Cancel(ana_, Of(*tried))->front().state, LeaseState::kCancelled);
  EXPECT_EQ(book_->Cancel(ana_, Of(*confirmed)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(FreePercent(), 80u);
}

TEST_F(LeaseBookTest, ChangesALeaseOnlyForItsOwnerAndForAdmins) {
  const auto lease = Acquire(Manual(), 30);
  EXPECT_EQ(book_->Release(bob_, Of(*lease)).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(book_->Release(root_, Of(*lease)).ok());
}

TEST_F(LeaseBookTest, RefusesAStaleGeneration) {
  const auto lease = Acquire(Manual(60'000), 30);
  LeaseChange renewal = Of(*lease, lease->generation);
  renewal.ttl_ms = 120'000;
  const auto renewed = book_->Renew(ana_, renewal);
  ASSERT_TRUE(renewed.ok());
  EXPECT_EQ(book_->Release(ana_, Of(*lease, lease->generation)).status().code(),
            absl::StatusCode::kAborted);
  EXPECT_TRUE(book_->Release(ana_, Of(*lease, renewed->front().generation)).ok());
}

TEST_F(LeaseBookTest, ChangesAllLeasesOfACallOrNone) {
  const auto mine = Acquire(Manual(), 30);
  LeaseChange both = Of(*mine);
  both.leases.push_back({"no-such-lease", 0});
  EXPECT_FALSE(book_->Release(ana_, both).ok());
  EXPECT_EQ(FreePercent(), 70u);
}

TEST_F(LeaseBookTest, NeedsToSeeTheProcessOfAProcessLease) {
  const Caller hidden = {1000, {0, 0}, false};
  const SliceRequest request = {"gpu", Share::OfPercent(5), kGiB, Policy::kGuaranteed};
  EXPECT_EQ(book_->Acquire(hidden, OfProcess(), {request}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(book_->Acquire(hidden, Manual(), {request}).ok());
}

TEST_F(LeaseBookTest, UndoesWhatAFullDiskDidNotTake) {
  const auto old = Acquire(Manual(), 30);
  const auto released = Acquire(Manual(), 10);
  ASSERT_TRUE(book_->Commit().ok());
  {
    const FullDisk full(1);
    ASSERT_TRUE(book_->Release(ana_, Of(*released)).ok());
    ASSERT_TRUE(Acquire(Manual(), 70).ok()) << "takes what was released in the same turn";
    book_->KeepReply(1000, "r", {"m", "d", "b"});
    const absl::Status written = book_->Commit();
    EXPECT_EQ(written.code(), absl::StatusCode::kUnavailable) << written;
    EXPECT_EQ(book_->leases().size(), 2u);
    EXPECT_EQ(FreePercent(), 60u);
    EXPECT_FALSE(book_->FindReply(1000, "r")->has_value());
    EXPECT_FALSE(book_->store_status().ok());
  }
  book_->Probe();
  EXPECT_TRUE(book_->store_status().ok());
  ASSERT_TRUE(Acquire(Manual(), 60).ok());
  ASSERT_TRUE(book_->Commit().ok());
  Open();
  EXPECT_EQ(FreePercent(), 0u);
  EXPECT_TRUE(book_->leases().contains(old->id));
}

TEST_F(LeaseBookTest, ReclaimsOnAFullDiskAndRecordsItLater) {
  ASSERT_TRUE(Acquire(OfProcess(), 30).ok());
  ASSERT_TRUE(book_->Commit().ok());
  {
    const FullDisk full(1);
    EXPECT_EQ(book_->ReclaimProcess(ana_.process), 1u);
    EXPECT_FALSE(book_->Commit().ok());
    EXPECT_EQ(FreePercent(), 100u) << "a dead process holds nothing";
    EXPECT_TRUE(book_->HasUncommitted());
  }
  EXPECT_TRUE(book_->Commit().ok());
  EXPECT_TRUE(store_->Load()->leases.empty());
}

}  // namespace
}  // namespace het::daemon
