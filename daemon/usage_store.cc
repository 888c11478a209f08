#include "daemon/usage_store.h"

#include <sqlite3.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/statement.h"
#include "report/wire.h"

namespace het::daemon {
namespace {

using report::Device;
using report::Row;
using report::State;

constexpr int kApplicationId = 0x48455455;  // "HETU"
constexpr int kSchemaVersion = 1;
// One entry per schema version, applied in order. Released entries never change.
constexpr const char* kMigrations[kSchemaVersion] = {
    R"(
    CREATE TABLE open (one INTEGER PRIMARY KEY CHECK (one = 1), hour INTEGER NOT NULL,
      body TEXT NOT NULL);
    CREATE TABLE hours (hour INTEGER PRIMARY KEY, rows INTEGER NOT NULL);
    CREATE TABLE devices (number INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE);
    CREATE TABLE rows (
      hour INTEGER NOT NULL, device INTEGER NOT NULL, number INTEGER NOT NULL,
      state INTEGER NOT NULL, tenant TEXT NOT NULL, owner INTEGER NOT NULL, job TEXT NOT NULL,
      lease TEXT NOT NULL, memory_share INTEGER NOT NULL, compute_share INTEGER NOT NULL,
      covered_ms INTEGER NOT NULL, memory_limit_kib INTEGER NOT NULL,
      memory_used_kib INTEGER NOT NULL, memory_used_max_kib INTEGER NOT NULL,
      compute_limit INTEGER NOT NULL, compute_used INTEGER NOT NULL,
      compute_used_p95 INTEGER NOT NULL, queue_wait_ms INTEGER NOT NULL,
      energy_mwh INTEGER NOT NULL, denied_requests INTEGER NOT NULL,
      largest_free_kib INTEGER NOT NULL,
      PRIMARY KEY (hour, device, number)
    ) WITHOUT ROWID;
    )",
};

bool IsDamage(int code) {
  return (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
}

}  // namespace

absl::Status UsageStore::Failure(int code) const {
  const std::string message = absl::StrCat("cannot use ", path_, ": ", sqlite3_errstr(code), " (",
                                           sqlite3_errmsg(db_), ")");
  return IsDamage(code) ? absl::DataLossError(message) : absl::UnavailableError(message);
}

absl::Status UsageStore::Run(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Failure(code);
}

absl::StatusOr<Statement> UsageStore::Prepare(const char* sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    sqlite3_stmt* handle = nullptr;
    const int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
    if (code != SQLITE_OK) return Failure(code);
    found = statements_.emplace(sql, handle).first;
  }
  return Statement(found->second, [this](int code) { return Failure(code); });
}

absl::StatusOr<int64_t> UsageStore::QueryInt(const char* sql) {
  HET_ASSIGN_OR_RETURN(Statement query, Prepare(sql));
  HET_RETURN_IF_ERROR(query.Step().status());
  return query.IntAt(0);
}

absl::StatusOr<std::unique_ptr<UsageStore>> UsageStore::OpenFile(const std::string& path) {
  std::unique_ptr<UsageStore> store(new UsageStore(path));
  const int code = sqlite3_open_v2(
      path.c_str(), &store->db_,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
      nullptr);
  if (code != SQLITE_OK) return store->Failure(code);
  // NORMAL: a power cut may lose the last minutes, never the file. One connection (see Store).
  HET_RETURN_IF_ERROR(store->Run(
      "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
      "PRAGMA mmap_size=0; PRAGMA cache_size=-2048; PRAGMA journal_size_limit=16777216;"));
  HET_ASSIGN_OR_RETURN(const int64_t application, store->QueryInt("PRAGMA application_id"));
  HET_ASSIGN_OR_RETURN(const int64_t version, store->QueryInt("PRAGMA user_version"));
  if ((application != 0 && application != kApplicationId) || version > kSchemaVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " was written by a newer hetd or another program"));
  }
  if (version == kSchemaVersion) return store;
  std::string script = "BEGIN EXCLUSIVE;";
  for (int64_t next = version; next < kSchemaVersion; ++next) script += kMigrations[next];
  absl::StrAppend(&script, "PRAGMA application_id=", kApplicationId,
                  ";PRAGMA user_version=", kSchemaVersion, ";COMMIT");
  HET_RETURN_IF_ERROR(store->Run(script.c_str()));
  return store;
}

absl::StatusOr<std::unique_ptr<UsageStore>> UsageStore::Open(const std::string& directory) {
  HET_RETURN_IF_ERROR(MakeDirectories(directory, 0750));
  const std::string path = directory + "/usage.db";
  absl::StatusOr<std::unique_ptr<UsageStore>> store = OpenFile(path);
  if (store.ok() || !absl::IsDataLoss(store.status())) return store;
  const std::string aside =
      absl::StrCat(path, ".damaged-", Clock::Real().WallNanos() / 1'000'000'000);
  Log().error("{}; it is put aside as {} and the history begins anew", store.status().ToString(),
              aside);
  for (const char* suffix : {"", "-wal", "-shm"}) {
    (void)std::rename(absl::StrCat(path, suffix).c_str(), absl::StrCat(aside, suffix).c_str());
  }
  return OpenFile(path);
}

UsageStore::~UsageStore() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

absl::StatusOr<std::optional<UsageStore::OpenHour>> UsageStore::Load() {
  HET_ASSIGN_OR_RETURN(Statement query, Prepare("SELECT hour, body FROM open"));
  HET_ASSIGN_OR_RETURN(const bool found, query.Step());
  if (!found) return std::nullopt;
  absl::StatusOr<Json> body = ParseJson(query.TextAt(1));
  if (!body.ok()) return body.status();
  return OpenHour{query.IntAt(0), *std::move(body)};
}

absl::Status UsageStore::Save(int64_t hour, const Json& body) {
  HET_ASSIGN_OR_RETURN(Statement save, Prepare("INSERT OR REPLACE INTO open VALUES (1,?,?)"));
  const std::string text = PrintJson(body);
  return save.Int(hour).Text(text).Run();
}

absl::StatusOr<bool> UsageStore::IsClosed(int64_t hour) {
  HET_ASSIGN_OR_RETURN(Statement query, Prepare("SELECT 1 FROM hours WHERE hour=?"));
  return query.Int(hour).Step();
}

absl::StatusOr<int64_t> UsageStore::NumberOf(const Device& device) {
  const std::string body = PrintJson(report::ToJson(device));
  {
    HET_ASSIGN_OR_RETURN(Statement add, Prepare("INSERT OR IGNORE INTO devices (body) VALUES (?)"));
    HET_RETURN_IF_ERROR(add.Text(body).Run());
  }
  HET_ASSIGN_OR_RETURN(Statement find, Prepare("SELECT number FROM devices WHERE body=?"));
  HET_RETURN_IF_ERROR(find.Text(body).Step().status());
  return find.IntAt(0);
}

absl::StatusOr<Device> UsageStore::FindDevice(int64_t number) {
  const auto known = devices_.find(number);
  if (known != devices_.end()) return known->second;
  HET_ASSIGN_OR_RETURN(Statement find, Prepare("SELECT body FROM devices WHERE number=?"));
  HET_ASSIGN_OR_RETURN(const bool found, find.Int(number).Step());
  if (!found) return absl::NotFoundError(absl::StrCat("no device ", number, " in ", path_));
  HET_ASSIGN_OR_RETURN(const Json body, ParseJson(find.TextAt(0)));
  HET_ASSIGN_OR_RETURN(Device device, report::DeviceFromJson(body));
  devices_.emplace(number, device);
  return device;
}

absl::Status UsageStore::WriteRows(int64_t hour, const std::vector<Device>& devices,
                                   const std::vector<Row>& rows) {
  {
    HET_ASSIGN_OR_RETURN(Statement close, Prepare("INSERT INTO hours VALUES (?,?)"));
    HET_RETURN_IF_ERROR(close.Int(hour).Int(static_cast<int64_t>(rows.size())).Run());
  }
  std::vector<int64_t> numbers;
  for (const Device& device : devices) {
    HET_ASSIGN_OR_RETURN(const int64_t number, NumberOf(device));
    numbers.push_back(number);
  }
  int64_t number = 0;
  for (const Row& row : rows) {
    if (row.device >= numbers.size()) return absl::InvalidArgumentError("a row of no device");
    HET_ASSIGN_OR_RETURN(
        Statement add,
        Prepare("INSERT INTO rows VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
    HET_RETURN_IF_ERROR(add.Int(hour)
                            .Int(numbers[row.device])
                            .Int(number++)
                            .Int(static_cast<int64_t>(row.state))
                            .Text(row.tenant)
                            .Int(row.owner)
                            .Text(row.job)
                            .Text(row.lease)
                            .Int(static_cast<int64_t>(row.memory_share))
                            .Int(static_cast<int64_t>(row.compute_share))
                            .Int(row.covered_ms)
                            .Int(row.memory_limit_kib)
                            .Int(row.memory_used_kib)
                            .Int(row.memory_used_max_kib)
                            .Int(row.compute_limit)
                            .Int(row.compute_used)
                            .Int(row.compute_used_p95)
                            .Int(row.queue_wait_ms)
                            .Int(row.energy_mwh)
                            .Int(row.denied_requests)
                            .Int(row.largest_free_kib)
                            .Run());
  }
  HET_RETURN_IF_ERROR(Run("DELETE FROM open"));
  return Prune();
}

// By what is recorded, not by the clock: one that jumps ahead must not cost the history. A few
// hours at a time, so that no commit takes long.
absl::Status UsageStore::Prune() {
  constexpr int kMostAtOnce = 48;
  for (int dropped = 0; dropped < kMostAtOnce; ++dropped) {
    HET_ASSIGN_OR_RETURN(const int64_t hours, QueryInt("SELECT count(*) FROM hours"));
    HET_ASSIGN_OR_RETURN(const int64_t rows, CountRows());
    if (hours <= kKeptUsageHours && rows <= kMostUsageRows) break;
    HET_ASSIGN_OR_RETURN(const int64_t oldest, QueryInt("SELECT min(hour) FROM hours"));
    for (const char* sql :
         {"DELETE FROM rows WHERE hour = ?", "DELETE FROM hours WHERE hour = ?"}) {
      HET_ASSIGN_OR_RETURN(Statement drop, Prepare(sql));
      HET_RETURN_IF_ERROR(drop.Int(oldest).Run());
    }
  }
  return absl::OkStatus();
}

absl::Status UsageStore::Close(int64_t hour, const std::vector<Device>& devices,
                               const std::vector<Row>& rows) {
  HET_ASSIGN_OR_RETURN(const bool closed, IsClosed(hour));
  if (closed) return absl::AlreadyExistsError(absl::StrCat("hour ", hour, " is closed"));
  HET_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
  absl::Status status = WriteRows(hour, devices, rows);
  if (status.ok()) status = Run("COMMIT");
  if (!status.ok() && sqlite3_get_autocommit(db_) == 0) (void)Run("ROLLBACK");
  return status;
}

absl::StatusOr<int64_t> UsageStore::CountRows() {
  return QueryInt("SELECT coalesce(sum(rows), 0) FROM hours");
}

absl::StatusOr<std::vector<UsageStore::Entry>> UsageStore::Read(Place& place, int64_t to,
                                                                std::optional<uid_t> owner,
                                                                int limit) {
  HET_ASSIGN_OR_RETURN(
      Statement query,
      Prepare("SELECT * FROM rows WHERE (hour, device, number) > (?,?,?) AND hour < ?"
              " AND (? OR owner = ? OR owner < 0 AND lease = '' AND tenant = '') LIMIT ?"));
  query.Int(place.hour)
      .Int(place.device)
      .Int(place.number)
      .Int(to)
      .Int(owner ? 0 : 1)
      .Int(owner ? static_cast<int64_t>(*owner) : 0)
      .Int(limit);
  std::vector<Entry> entries;
  while (true) {
    HET_ASSIGN_OR_RETURN(const bool more, query.Step());
    if (!more) return entries;
    Entry entry;
    Row& row = entry.row;
    int at = 0;
    const auto next = [&] { return query.IntAt(at++); };
    row.hour = next();
    entry.device = next();
    place = {row.hour, entry.device, next()};
    row.state = static_cast<State>(next() % report::kStates);
    row.tenant = query.TextAt(at++);
    row.owner = next();
    row.job = query.TextAt(at++);
    row.lease = query.TextAt(at++);
    row.memory_share = static_cast<uint64_t>(next());
    row.compute_share = static_cast<uint64_t>(next());
    for (int64_t* field :
         {&row.covered_ms, &row.memory_limit_kib, &row.memory_used_kib, &row.memory_used_max_kib,
          &row.compute_limit, &row.compute_used, &row.compute_used_p95, &row.queue_wait_ms,
          &row.energy_mwh, &row.denied_requests, &row.largest_free_kib}) {
      *field = next();
    }
    entries.push_back(std::move(entry));
  }
}

}  // namespace het::daemon
