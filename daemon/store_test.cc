#include "daemon/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "daemon/test_directory.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

Lease SampleLease(const std::string& id) {
  Lease lease;
  lease.id = id;
  lease.tenant = "ana";
  lease.uid = 7;
  lease.pid = 42;
  lease.start_time = 99;
  lease.slice.id = "slice-" + id;
  lease.slice.device = "device";
  lease.slice.share = Share::OfPercent(30);
  lease.slice.memory_bytes = kGiB;
  lease.slice.policy = Policy::kCapped;
  lease.slice.priority = Priority::kHigh;
  lease.slice.cores = {1};
  lease.slice.time_shared = true;
  lease.state = LeaseState::kConfirmed;
  lease.generation = 5;
  lease.expiry_boottime = 123'456'789'012;
  return lease;
}

TEST(Store, KeepsLeasesRepliesAndMeasurementsOverAReopening) {
  TestDirectory directory;
  {
    auto store = Store::Open(directory.path());
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->PutLease(SampleLease("a")).ok());
    ASSERT_TRUE((*store)->PutLease(SampleLease("b")).ok());
    ASSERT_TRUE((*store)->RemoveLease("b").ok());
    ASSERT_TRUE((*store)->PutReply(7, "r", {"m", "d", "body"}).ok());
    ASSERT_TRUE((*store)->PutMeasurement("cpu/1", {2e10, 3e11}).ok());
    ASSERT_TRUE((*store)->Commit(9, "boot").ok());
  }
  auto store = Store::Open(directory.path());
  ASSERT_TRUE(store.ok()) << store.status();
  const auto contents = (*store)->Load();
  ASSERT_TRUE(contents.ok()) << contents.status();
  ASSERT_EQ(contents->leases.size(), 1u);
  EXPECT_EQ(PrintJson(ToJson(contents->leases[0], 0)), PrintJson(ToJson(SampleLease("a"), 0)));
  EXPECT_EQ(contents->generation, 9u);
  EXPECT_EQ(contents->boot_id, "boot");
  EXPECT_GT(contents->last_boottime, 0);
  EXPECT_EQ((*(*store)->FindReply(7, "r"))->body, "body");
  EXPECT_FALSE((*store)->FindReply(8, "r")->has_value()) << "another user's request";
  EXPECT_EQ((*(*store)->FindMeasurement("cpu/1"))->flops_per_s, 3e11);
}

TEST(Store, ForgetsABatchThatWasNotCommitted) {
  TestDirectory directory;
  {
    auto store = Store::Open(directory.path());
    ASSERT_TRUE((*store)->PutLease(SampleLease("a")).ok());
    (*store)->Rollback();
    ASSERT_TRUE((*store)->PutLease(SampleLease("b")).ok());
  }
  auto store = Store::Open(directory.path());
  EXPECT_TRUE((*store)->Load()->leases.empty());
}

TEST(Store, IsOneProcessesAlone) {
  TestDirectory directory;
  auto first = Store::Open(directory.path());
  ASSERT_TRUE(first.ok());
  const auto second = Store::Open(directory.path());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("another hetd has it"));
}

void Execute(const std::string& path, const char* sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
}

TEST(Store, RefusesTheFileOfANewerVersion) {
  TestDirectory directory;
  ASSERT_TRUE(Store::Open(directory.path()).ok());
  Execute(directory.path() + "/hetd.db", "PRAGMA user_version=99");
  const auto store = Store::Open(directory.path());
  EXPECT_EQ(store.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("newer hetd (schema 99"));
}

TEST(Store, LeavesAnotherProgramsDatabaseAlone) {
  TestDirectory directory;
  Execute(directory.path() + "/hetd.db", "PRAGMA application_id=77; CREATE TABLE t (x)");
  EXPECT_THAT(std::string(Store::Open(directory.path()).status().message()),
              HasSubstr("another program's database"));
}

TEST(Store, SaysThatAFileIsNoDatabase) {
  TestDirectory directory;
  directory.Write("hetd.db", std::string(8192, 'x'));
  const auto store = Store::Open(directory.path());
  EXPECT_EQ(store.status().code(), absl::StatusCode::kDataLoss) << store.status();
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("move the file away"));
}

TEST(Store, KeepsABoundedNumberOfReplies) {
  TestDirectory directory;
  auto store = Store::Open(directory.path());
  for (int64_t i = 0; i < kKeptReplies + 10; ++i) {
    ASSERT_TRUE((*store)->PutReply(1, absl::StrCat("r", i), {"m", "d", ""}).ok());
  }
  ASSERT_TRUE((*store)->Commit(1, "").ok());
  EXPECT_FALSE((*store)->FindReply(1, "r0")->has_value());
  EXPECT_TRUE((*store)->FindReply(1, absl::StrCat("r", kKeptReplies + 9))->has_value());
}

// ---- killed at a random moment ----

// Writes leases in batches until it is killed. Reports each batch as lines "+id" and "-id" before
// it is committed, and "=" after.
[[noreturn]] void WriteUntilKilled(const std::string& directory, int report, uint32_t seed) {
  std::mt19937 random(seed);
  auto store = Store::Open(directory);
  if (!store.ok()) _exit(3);
  const auto tell = [report](const std::string& text) {
    if (write(report, text.data(), text.size()) != static_cast<ssize_t>(text.size())) _exit(6);
  };
  std::set<std::string> live;
  const auto contents = (*store)->Load();
  for (const Lease& lease : contents->leases) live.insert(lease.id);
  for (uint64_t generation = 1;; ++generation) {
    std::string batch;
    for (uint32_t i = 0, n = 1 + random() % 8; i < n; ++i) {
      if (!live.empty() && random() % 3 == 0) {
        const std::string id = *live.begin();
        live.erase(id);
        if (!(*store)->RemoveLease(id).ok()) _exit(4);
        absl::StrAppend(&batch, "-", id, "\n");
      } else {
        const std::string id = absl::StrCat(seed, ".", generation, ".", i);
        live.insert(id);
        if (!(*store)->PutLease(SampleLease(id)).ok()) _exit(4);
        absl::StrAppend(&batch, "+", id, "\n");
      }
    }
    tell(batch);
    if (!(*store)->Commit(generation, "").ok()) _exit(5);
    tell("=\n");
  }
}

struct Told {
  std::set<std::string> acknowledged;  // what the last acknowledged batch left
  std::set<std::string> next;          // and with the batch that was under way
};

Told Replay(const std::string& report, const std::set<std::string>& before) {
  Told told = {before, before};
  size_t begin = 0;
  for (size_t end; (end = report.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string id = report.substr(begin + 1, end - begin - 1);
    switch (report[begin]) {
      case '+':
        told.next.insert(id);
        break;
      case '-':
        told.next.erase(id);
        break;
      default:
        told.acknowledged = told.next;
    }
  }
  return told;
}

std::string RunUntilKilled(const std::string& directory, uint32_t seed, int lifetime_us) {
  int report[2];
  if (pipe(report) != 0) return "";
  const pid_t child = fork();
  if (child == 0) WriteUntilKilled(directory, report[1], seed);
  close(report[1]);
  // It may not live before it has begun, however busy the machine is.
  std::string told(4096, '\0');
  told.resize(static_cast<size_t>(std::max<ssize_t>(0, read(report[0], told.data(), told.size()))));
  usleep(static_cast<useconds_t>(lifetime_us));
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);
  char block[4096];
  for (ssize_t got; (got = read(report[0], block, sizeof(block))) > 0;) told.append(block, got);
  close(report[0]);
  return told;
}

TEST(Store, KilledAtAnyMomentHasEveryAcknowledgedBatchAndNoHalfOfOne) {
  TestDirectory directory;
  std::mt19937 random(11);
  std::set<std::string> found;
  for (uint32_t round = 1; round <= 25; ++round) {
    const Told told =
        Replay(RunUntilKilled(directory.path(), round, static_cast<int>(random() % 20'000)), found);
    auto store = Store::Open(directory.path());
    ASSERT_TRUE(store.ok()) << store.status();
    const auto contents = (*store)->Load();
    ASSERT_TRUE(contents.ok()) << contents.status();
    found.clear();
    for (const Lease& lease : contents->leases) {
      EXPECT_TRUE(found.insert(lease.id).second) << lease.id << " is there twice";
    }
    EXPECT_TRUE(found == told.acknowledged || found == told.next)
        << "round " << round << ": " << found.size() << " leases, acknowledged were "
        << told.acknowledged.size() << ", with the last batch " << told.next.size();
  }
}

}  // namespace
}  // namespace het::daemon
