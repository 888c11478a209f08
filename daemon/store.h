// Store: the leases of the node on disk, in one SQLite file, so that hetd can be killed at any
// moment. Writes are staged and become durable together with Commit; an answer to a client leaves
// only after it.
//
// SQLite in WAL mode with synchronous=FULL, one connection, exclusive: nobody else opens the file.
// Ownership: the daemon owns it. Threads: one. Failures: after a failed write or Commit nothing of
// the batch is on disk; the next batch starts anew (a full disk heals by itself). Opening:
// FailedPrecondition when another process has the file or a newer hetd made it, DataLoss when it is
// no database.
#ifndef HET_DAEMON_STORE_H_
#define HET_DAEMON_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "daemon/recent_rows.h"
#include "partition/slice.h"

struct sqlite3;
struct sqlite3_stmt;

namespace het::daemon {

class Statement;

inline constexpr int64_t kKeptReplies = 20'000;
inline constexpr int64_t kKeptDecisions = 20'000;

class Store {
 public:
  struct Contents {
    std::vector<Lease> leases;
    uint64_t generation = 0;    // the highest that was handed out
    std::string boot_id;        // of the boot in which it was written last
    int64_t last_boottime = 0;  // CLOCK_BOOTTIME of the last commit
  };
  // What a request was answered.
  struct Reply {
    std::string method;
    std::string digest;  // of the parameters
    std::string body;    // JSON
  };
  struct Measurement {
    double memory_bytes_per_s = 0;
    double flops_per_s = 0;
  };

  // Makes `directory`/hetd.db, or opens it and brings its schema up to date. `vfs`: the SQLite VFS
  // that has the file (null: the system's); one of a test's own knows no directories.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& directory,
                                                     const Clock& clock = Clock::Real(),
                                                     const char* vfs = nullptr);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  absl::StatusOr<Contents> Load();

  // Staged until Commit; a failure fails the whole batch.
  absl::Status PutLease(const Lease& lease);
  absl::Status RemoveLease(const std::string& id);
  absl::Status PutReply(uid_t uid, const std::string& request_id, const Reply& reply);
  // How a transaction was decided; the latest 20,000 are kept.
  absl::Status PutDecision(uid_t uid, const std::string& id, absl::string_view decision);
  absl::Status PutMeasurement(const std::string& key, const Measurement& measurement);

  // Of this batch or an earlier one; the latest 20,000 are kept.
  absl::StatusOr<std::optional<Reply>> FindReply(uid_t uid, const std::string& request_id);
  absl::StatusOr<std::optional<std::string>> FindDecision(uid_t uid, const std::string& id);
  absl::StatusOr<std::optional<Measurement>> FindMeasurement(const std::string& key);

  // Makes the batch durable, with `generation`, the boot and the time. Nothing staged: OK, and no
  // write. Unavailable, with the reason, when the disk is full or read-only.
  absl::Status Commit(uint64_t generation, const std::string& boot_id);
  void Rollback();
  bool HasBatch() const { return in_batch_; }
  // A commit of nothing but the time: whether the store can be written at all.
  absl::Status Heartbeat(uint64_t generation, const std::string& boot_id);

 private:
  Store(std::string path, const Clock& clock) : path_(std::move(path)), clock_(clock) {}

  absl::Status Configure();
  absl::Status Migrate();
  absl::Status CheckIntegrity();
  absl::Status Begin();
  absl::Status Drop(sqlite3_stmt*& slot, const char* sql, int64_t cutoff);
  absl::Status Run(const char* sql);
  absl::StatusOr<int64_t> QueryInt(const char* sql);
  absl::StatusOr<std::string> Meta(const char* key);
  absl::Status PutMeta(uint64_t generation, const std::string& boot_id);
  // Reads where the rows of a table stand.
  absl::Status Restore(const char* sql, RecentRows& rows);
  absl::Status Failure(int code, absl::string_view what) const;
  // A prepared statement, kept for the next use.
  absl::StatusOr<Statement> Prepare(sqlite3_stmt*& slot, const char* sql);

  const std::string path_;
  const Clock& clock_;
  sqlite3* db_ = nullptr;
  bool in_batch_ = false;
  RecentRows replies_{kKeptReplies};
  RecentRows decisions_{kKeptDecisions};
  sqlite3_stmt* begin_ = nullptr;
  sqlite3_stmt* commit_ = nullptr;
  sqlite3_stmt* put_lease_ = nullptr;
  sqlite3_stmt* remove_lease_ = nullptr;
  sqlite3_stmt* put_reply_ = nullptr;
  sqlite3_stmt* drop_replies_ = nullptr;
  sqlite3_stmt* find_reply_ = nullptr;
  sqlite3_stmt* put_decision_ = nullptr;
  sqlite3_stmt* drop_decisions_ = nullptr;
  sqlite3_stmt* find_decision_ = nullptr;
  sqlite3_stmt* check_ = nullptr;
  sqlite3_stmt* put_meta_ = nullptr;
  sqlite3_stmt* get_meta_ = nullptr;
  sqlite3_stmt* put_measurement_ = nullptr;
  sqlite3_stmt* find_measurement_ = nullptr;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_STORE_H_
