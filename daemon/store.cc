#include "daemon/store.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/files.h"
#include "base/status.h"
#include "daemon/schema.h"
#include "daemon/statement.h"

namespace het::daemon {
namespace {

// "HETD": other programs' databases are not touched.
constexpr int kApplicationId = 0x48455444;

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& directory, const Clock& clock,
                                                   const char* vfs) {
  if (vfs == nullptr) HET_RETURN_IF_ERROR(MakeDirectories(directory, 0750));
  std::unique_ptr<Store> store(new Store(directory + "/hetd.db", clock));
  const int code = sqlite3_open_v2(
      store->path_.c_str(), &store->db_,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
      vfs);
  if (code != SQLITE_OK) return store->Failure(code, "open");
  if (sqlite3_db_readonly(store->db_, "main") == 1) {
    return absl::UnavailableError(absl::StrCat("the store ", store->path_,
                                               " is read-only; hetd must be able to write there"));
  }
  HET_RETURN_IF_ERROR(store->Configure());
  HET_RETURN_IF_ERROR(store->CheckIntegrity());
  HET_RETURN_IF_ERROR(store->Migrate());
  HET_RETURN_IF_ERROR(store->Restore("SELECT number, uid, request_id FROM replies ORDER BY number",
                                     store->replies_));
  HET_RETURN_IF_ERROR(
      store->Restore("SELECT number, uid, id FROM decisions ORDER BY number", store->decisions_));
  return store;
}

Store::~Store() {
  for (sqlite3_stmt* statement :
       {begin_, commit_, put_lease_, remove_lease_, put_reply_, drop_replies_, find_reply_,
        put_decision_, drop_decisions_, find_decision_, put_meta_, get_meta_, check_,
        put_measurement_, find_measurement_}) {
    sqlite3_finalize(statement);
  }
  sqlite3_close(db_);
}

absl::Status Store::Failure(int code, absl::string_view what) const {
  const std::string message = absl::StrCat("cannot ", what, " the store ", path_, ": ",
                                           db_ ? sqlite3_errmsg(db_) : sqlite3_errstr(code));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::FailedPreconditionError(
          absl::StrCat(message, "; another hetd has it (use another --state-dir)"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(
          absl::StrCat(message, "; move the file away to start without leases"));
    case SQLITE_FULL:
      return absl::UnavailableError(absl::StrCat(message, "; free space on that file system"));
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return absl::UnavailableError(absl::StrCat(message, "; hetd must be able to write there"));
    case SQLITE_IOERR:
      return absl::UnavailableError(absl::StrCat(message, "; is the disk full or failing?"));
    default:
      return absl::InternalError(message);
  }
}

absl::Status Store::Run(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Failure(code, "use");
}

absl::StatusOr<int64_t> Store::QueryInt(const char* sql) {
  sqlite3_stmt* handle = nullptr;
  int code = sqlite3_prepare_v2(db_, sql, -1, &handle, nullptr);
  if (code == SQLITE_OK) code = sqlite3_step(handle);
  const int64_t value = code == SQLITE_ROW ? sqlite3_column_int64(handle, 0) : 0;
  absl::Status status;
  if (code != SQLITE_ROW && code != SQLITE_DONE) status = Failure(code, "read");
  sqlite3_finalize(handle);
  if (!status.ok()) return status;
  return value;
}

absl::Status Store::Configure() {
  sqlite3_busy_timeout(db_, 100);
  // The lock must be taken before the journal mode is set, so that WAL never makes a shared-memory
  // file.
  return Run(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
      "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-1024;"
      "PRAGMA journal_size_limit=16777216;");
}

// What is damaged is better found now than when an answer depends on it.
absl::Status Store::CheckIntegrity() {
  HET_ASSIGN_OR_RETURN(Statement check, Prepare(check_, "PRAGMA quick_check(1)"));
  HET_ASSIGN_OR_RETURN(const bool row, check.Step());
  const std::string found = row ? check.TextAt(0) : "nothing";
  if (found == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("the store ", path_, " is damaged: ", found,
                                          "; move the file away to start without leases"));
}

absl::Status Store::Migrate() {
  HET_ASSIGN_OR_RETURN(const int64_t application, QueryInt("PRAGMA application_id"));
  HET_ASSIGN_OR_RETURN(const int64_t version, QueryInt("PRAGMA user_version"));
  if (application != 0 && application != kApplicationId) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " is another program's database; use another --state-dir"));
  }
  if (version > SchemaVersion()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " was written by a newer hetd (schema ", version, ", this one knows ",
                     SchemaVersion(), "); install that one or use another --state-dir"));
  }
  if (version == SchemaVersion()) return absl::OkStatus();
  Failpoint("migrate.begin");
  HET_RETURN_IF_ERROR(Run("BEGIN EXCLUSIVE"));
  absl::Status status;
  for (int64_t next = version; status.ok() && next < SchemaVersion(); ++next) {
    status = Annotate(Run(SchemaSteps()[next].sql),
                      absl::StrCat("step ", next + 1, " (", SchemaSteps()[next].what, ")"));
  }
  if (status.ok()) {
    status = Run(absl::StrCat("PRAGMA application_id=", kApplicationId,
                              "; PRAGMA user_version=", SchemaVersion())
                     .c_str());
  }
  Failpoint("migrate.staged");
  if (status.ok()) status = Run("COMMIT");
  Failpoint("migrate.done");
  if (!status.ok() && sqlite3_get_autocommit(db_) == 0) (void)Run("ROLLBACK");
  return status;
}

absl::StatusOr<Statement> Store::Prepare(sqlite3_stmt*& slot, const char* sql) {
  if (slot == nullptr) {
    const int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &slot, nullptr);
    if (code != SQLITE_OK) return Failure(code, "use");
  }
  return Statement(slot, [this](int code) { return Failure(code, "use"); });
}

absl::StatusOr<std::string> Store::Meta(const char* key) {
  HET_ASSIGN_OR_RETURN(Statement get, Prepare(get_meta_, "SELECT value FROM meta WHERE key=?"));
  const std::string name = key;
  HET_ASSIGN_OR_RETURN(const bool found, get.Text(name).Step());
  return found ? get.TextAt(0) : std::string();
}

absl::Status Store::PutMeta(uint64_t generation, const std::string& boot_id) {
  HET_ASSIGN_OR_RETURN(Statement put,
                       Prepare(put_meta_,
                               "INSERT OR REPLACE INTO meta VALUES ('generation', ?), "
                               "('boottime', ?), ('boot_id', ?)"));
  const std::string number = absl::StrCat(generation), now = absl::StrCat(clock_.BoottimeNanos());
  return put.Text(number).Text(now).Text(boot_id).Run();
}

absl::Status Store::Restore(const char* sql, RecentRows& rows) {
  sqlite3_stmt* handle = nullptr;
  absl::Status status;
  {
    HET_ASSIGN_OR_RETURN(Statement select, Prepare(handle, sql));
    absl::StatusOr<bool> more = select.Step();
    for (; more.ok() && *more; more = select.Step()) {
      rows.Restore(select.IntAt(0), {static_cast<uid_t>(select.IntAt(1)), select.TextAt(2)});
    }
    status = more.status();
  }
  sqlite3_finalize(handle);
  return status;
}

absl::StatusOr<Store::Contents> Store::Load() {
  Contents contents;
  HET_ASSIGN_OR_RETURN(const std::string generation, Meta("generation"));
  HET_ASSIGN_OR_RETURN(const std::string boottime, Meta("boottime"));
  HET_ASSIGN_OR_RETURN(contents.boot_id, Meta("boot_id"));
  if (!generation.empty() && !absl::SimpleAtoi(generation, &contents.generation)) {
    return absl::DataLossError(absl::StrCat(path_, ": generation is \"", generation, "\""));
  }
  if (!boottime.empty() && !absl::SimpleAtoi(boottime, &contents.last_boottime)) {
    return absl::DataLossError(absl::StrCat(path_, ": boottime is \"", boottime, "\""));
  }
  sqlite3_stmt* handle = nullptr;
  absl::Status status;
  {
    HET_ASSIGN_OR_RETURN(Statement rows,
                         Prepare(handle, "SELECT expiry_boottime, body FROM leases ORDER BY id"));
    absl::StatusOr<bool> more = rows.Step();
    for (; more.ok() && *more && status.ok(); more = rows.Step()) {
      const auto json = ParseJson(rows.TextAt(1));
      auto lease = json.ok() ? LeaseFromJson(*json, 0) : absl::StatusOr<Lease>(json.status());
      if (!lease.ok()) {
        status = absl::DataLossError(absl::StrCat(path_, ": ", lease.status().message()));
        break;
      }
      lease->expiry_boottime = rows.IntAt(0);
      contents.leases.push_back(*std::move(lease));
    }
    if (!more.ok()) status = more.status();
  }
  sqlite3_finalize(handle);
  HET_RETURN_IF_ERROR(status);
  return contents;
}

absl::Status Store::Begin() {
  if (in_batch_ && sqlite3_get_autocommit(db_) == 0) return absl::OkStatus();
  if (in_batch_) {
    // SQLite gave the batch up when an earlier write of it failed, which whoever made that write
    // took lightly. What came with it is not there, so nothing more may be added.
    Rollback();
    return absl::UnavailableError(absl::StrCat("an earlier write to the store ", path_, " failed"));
  }
  HET_ASSIGN_OR_RETURN(Statement begin, Prepare(begin_, "BEGIN IMMEDIATE"));
  HET_RETURN_IF_ERROR(begin.Run());
  in_batch_ = true;
  return absl::OkStatus();
}

absl::Status Store::PutLease(const Lease& lease) {
  HET_RETURN_IF_ERROR(Begin());
  HET_ASSIGN_OR_RETURN(
      Statement put, Prepare(put_lease_, "INSERT OR REPLACE INTO leases VALUES (?,?,?,?,?,?,?,?)"));
  const std::string state(LeaseStateName(lease.state));
  // The expiry has a column of its own: in the body it would be relative to a moment.
  Lease without_expiry = lease;
  without_expiry.expiry_boottime = 0;
  const std::string body = PrintJson(ToJson(without_expiry, 0));
  return put.Text(lease.id)
      .Int(lease.uid)
      .Int(lease.pid)
      .Int(static_cast<int64_t>(lease.start_time))
      .Text(state)
      .Int(static_cast<int64_t>(lease.generation))
      .Int(lease.expiry_boottime)
      .Text(body)
      .Run();
}

absl::Status Store::RemoveLease(const std::string& id) {
  HET_RETURN_IF_ERROR(Begin());
  HET_ASSIGN_OR_RETURN(Statement remove, Prepare(remove_lease_, "DELETE FROM leases WHERE id=?"));
  return remove.Text(id).Run();
}

absl::Status Store::PutReply(uid_t uid, const std::string& request_id, const Reply& reply) {
  HET_RETURN_IF_ERROR(Begin());
  HET_ASSIGN_OR_RETURN(Statement put,
                       Prepare(put_reply_, "INSERT INTO replies VALUES (?,?,?,?,?,?)"));
  return put.Int(replies_.Add({uid, request_id}))
      .Int(uid)
      .Text(request_id)
      .Text(reply.method)
      .Text(reply.digest)
      .Text(reply.body)
      .Run();
}

absl::Status Store::PutDecision(uid_t uid, const std::string& id, absl::string_view decision) {
  HET_RETURN_IF_ERROR(Begin());
  HET_ASSIGN_OR_RETURN(Statement put,
                       Prepare(put_decision_, "INSERT INTO decisions VALUES (?,?,?,?)"));
  const std::string text(decision);
  return put.Int(decisions_.Add({uid, id})).Int(uid).Text(id).Text(text).Run();
}

absl::Status Store::PutMeasurement(const std::string& key, const Measurement& measurement) {
  HET_RETURN_IF_ERROR(Begin());
  HET_ASSIGN_OR_RETURN(
      Statement put,
      Prepare(put_measurement_, "INSERT OR REPLACE INTO measurements VALUES (?,?,?)"));
  return put.Text(key).Real(measurement.memory_bytes_per_s).Real(measurement.flops_per_s).Run();
}

absl::StatusOr<std::optional<Store::Reply>> Store::FindReply(uid_t uid,
                                                             const std::string& request_id) {
  const std::optional<int64_t> number = replies_.Find({uid, request_id});
  if (!number) return std::nullopt;
  HET_ASSIGN_OR_RETURN(
      Statement find,
      Prepare(find_reply_, "SELECT method, digest, body FROM replies WHERE number=?"));
  HET_ASSIGN_OR_RETURN(const bool found, find.Int(*number).Step());
  if (!found) return absl::DataLossError(absl::StrCat(path_, " has no answer ", *number));
  return std::optional<Reply>(Reply{find.TextAt(0), find.TextAt(1), find.TextAt(2)});
}

absl::StatusOr<std::optional<std::string>> Store::FindDecision(uid_t uid, const std::string& id) {
  const std::optional<int64_t> number = decisions_.Find({uid, id});
  if (!number) return std::nullopt;
  HET_ASSIGN_OR_RETURN(Statement find,
                       Prepare(find_decision_, "SELECT decision FROM decisions WHERE number=?"));
  HET_ASSIGN_OR_RETURN(const bool found, find.Int(*number).Step());
  if (!found) return absl::DataLossError(absl::StrCat(path_, " has no decision ", *number));
  return std::optional<std::string>(find.TextAt(0));
}

absl::StatusOr<std::optional<Store::Measurement>> Store::FindMeasurement(const std::string& key) {
  HET_ASSIGN_OR_RETURN(
      Statement find,
      Prepare(find_measurement_,
              "SELECT memory_bytes_per_s, flops_per_s FROM measurements WHERE key=?"));
  HET_ASSIGN_OR_RETURN(const bool found, find.Text(key).Step());
  if (!found) return std::nullopt;
  return std::optional<Measurement>(Measurement{find.RealAt(0), find.RealAt(1)});
}

absl::Status Store::Commit(uint64_t generation, const std::string& boot_id) {
  if (!in_batch_) return absl::OkStatus();
  const absl::Status status = [&]() -> absl::Status {
    HET_RETURN_IF_ERROR(
        Drop(drop_replies_, "DELETE FROM replies WHERE number <= ?", replies_.Cutoff()));
    HET_RETURN_IF_ERROR(
        Drop(drop_decisions_, "DELETE FROM decisions WHERE number <= ?", decisions_.Cutoff()));
    HET_RETURN_IF_ERROR(PutMeta(generation, boot_id));
    Failpoint("commit.staged");
    HET_ASSIGN_OR_RETURN(Statement commit, Prepare(commit_, "COMMIT"));
    return commit.Run();
  }();
  Failpoint("commit.done");
  if (!status.ok()) {
    Rollback();
    return status;
  }
  replies_.Commit();
  decisions_.Commit();
  in_batch_ = false;
  return absl::OkStatus();
}

absl::Status Store::Drop(sqlite3_stmt*& slot, const char* sql, int64_t cutoff) {
  if (cutoff == 0) return absl::OkStatus();
  HET_ASSIGN_OR_RETURN(Statement drop, Prepare(slot, sql));
  return drop.Int(cutoff).Run();
}

absl::Status Store::Heartbeat(uint64_t generation, const std::string& boot_id) {
  HET_RETURN_IF_ERROR(Begin());
  return Commit(generation, boot_id);
}

void Store::Rollback() {
  // Some failures have rolled back already.
  if (in_batch_ && sqlite3_get_autocommit(db_) == 0) (void)Run("ROLLBACK");
  in_batch_ = false;
  replies_.Rollback();
  decisions_.Rollback();
}

}  // namespace het::daemon
