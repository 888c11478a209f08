#include "daemon/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/uuid.h"
#include "daemon/store.h"
#include "daemon/test_directory.h"

namespace het::daemon {
namespace {

using ::testing::HasSubstr;

// Of the steps that were released, in order. A new one is added at the end; none is ever changed.
constexpr const char* kFingerprints[] = {
    "4166edc4-1993-87d0-b533-c6fde0540f58",
    "ed6d3205-775b-8899-a767-942431d9c769",
    "f5be26ff-c4bd-8bcf-b65a-cc64edbdbdef",
};

TEST(Schema, ReleasedStepsNeverChange) {
  ASSERT_EQ(SchemaSteps().size(), std::size(kFingerprints));
  for (size_t i = 0; i < SchemaSteps().size(); ++i) {
    EXPECT_EQ(UuidFromName(SchemaSteps()[i].sql), kFingerprints[i]) << "step " << i + 1;
  }
}

void Execute(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
      << sqlite3_errmsg(db);
  sqlite3_close(db);
}

// A lease as the first version wrote it.
constexpr char kOldLease[] = R"(INSERT INTO leases VALUES
  ('l1', 7, 42, 99, 'confirmed', 5, 0,
   '{"id":"l1","slice":"s1","device":"gpu","sharePercent":30,"memoryBytes":1073741824,"policy":"capped",
     "tenant":"ana","uid":7,"pid":42,"startTime":99,"holder":"manual","state":"confirmed","generation":5}');
  INSERT INTO replies (uid, request_id, method, digest, body) VALUES (7, 'r', 'm', 'd', 'body');
  INSERT INTO meta VALUES ('generation', '5'), ('boot_id', 'boot');)";
constexpr char kOldDecision[] =
    "INSERT INTO decisions (uid, id, decision) VALUES (7, 'old', 'cancelled');";

TEST(Schema, BringsTheFileOfEveryEarlierVersionUpToDate) {
  for (int64_t version = 1; version < SchemaVersion(); ++version) {
    TestDirectory directory;
    const std::string path = directory.path() + "/hetd.db";
    for (int64_t step = 0; step < version; ++step) Execute(path, SchemaSteps()[step].sql);
    Execute(path, absl::StrCat(kOldLease, version > 1 ? kOldDecision : "", "PRAGMA application_id=",
                               0x48455444, "; PRAGMA user_version=", version));
    auto store = Store::Open(directory.path());
    ASSERT_TRUE(store.ok()) << store.status();
    const auto contents = (*store)->Load();
    ASSERT_TRUE(contents.ok()) << contents.status();
    ASSERT_EQ(contents->leases.size(), 1u);
    EXPECT_EQ(contents->leases[0].tenant, "ana");
    EXPECT_EQ(contents->leases[0].transaction, "");
    EXPECT_EQ(contents->generation, 5u);
    EXPECT_EQ((*(*store)->FindReply(7, "r"))->body, "body");
    if (version > 1) {
      EXPECT_EQ(**(*store)->FindDecision(7, "old"), "cancelled");
    }
    ASSERT_TRUE((*store)->PutDecision(7, "t", "confirmed").ok());
    ASSERT_TRUE((*store)->Commit(6, "boot").ok());
    EXPECT_EQ(**(*store)->FindDecision(7, "t"), "confirmed");
  }
}

TEST(Store, SaysThatAPageIsDamaged) {
  TestDirectory directory;
  {
    auto store = Store::Open(directory.path());
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(
          (*store)->PutReply(1, absl::StrCat("r", i), {"m", "d", std::string(900, 'x')}).ok());
    }
    ASSERT_TRUE((*store)->Commit(1, "").ok());
  }
  std::fstream file(directory.path() + "/hetd.db", std::ios::in | std::ios::out | std::ios::binary);
  for (int page = 8; page < 30; ++page) {
    file.seekp(page * 4096);
    file << std::string(256, '\x5a');
  }
  file.close();
  const auto store = Store::Open(directory.path());
  EXPECT_EQ(store.status().code(), absl::StatusCode::kDataLoss) << store.status();
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("move the file away"));
}

TEST(Store, SaysThatItCannotWriteThere) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  TestDirectory directory;
  ASSERT_TRUE(Store::Open(directory.path() + "/state").ok());
  int report[2];
  ASSERT_EQ(pipe(report), 0);
  const pid_t child = fork();
  if (child == 0) {
    // The directory may be searched, its file read, and nothing written.
    std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
    std::filesystem::permissions(directory.path() + "/state", std::filesystem::perms(0755));
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    const absl::Status status = Store::Open(directory.path() + "/state").status();
    const std::string text = status.ToString();
    _exit(write(report[1], text.data(), text.size()) > 0 ? 0 : 3);
  }
  close(report[1]);
  char text[1024] = {};
  EXPECT_GT(read(report[0], text, sizeof(text) - 1), 0);
  close(report[0]);
  waitpid(child, nullptr, 0);
  EXPECT_THAT(std::string(text), HasSubstr("UNAVAILABLE"));
  EXPECT_THAT(std::string(text), HasSubstr("hetd must be able to write there"));
}

}  // namespace
}  // namespace het::daemon
