#include "daemon/schema.h"

namespace het::daemon {
namespace {

constexpr SchemaStep kSteps[] = {
    {"leases, answers that were given, measurements",
     R"(
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE leases (
      id TEXT PRIMARY KEY,
      uid INTEGER NOT NULL,
      pid INTEGER NOT NULL,
      start_time INTEGER NOT NULL,
      state TEXT NOT NULL,
      generation INTEGER NOT NULL,
      expiry_boottime INTEGER NOT NULL,
      body TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE replies (
      number INTEGER PRIMARY KEY,
      uid INTEGER NOT NULL,
      request_id TEXT NOT NULL,
      method TEXT NOT NULL,
      digest TEXT NOT NULL,
      body TEXT NOT NULL,
      UNIQUE (uid, request_id)
    );
    CREATE TABLE measurements (
      key TEXT PRIMARY KEY,
      memory_bytes_per_s REAL NOT NULL,
      flops_per_s REAL NOT NULL
    ) WITHOUT ROWID;
    )"},
    {"decisions of transactions",
     R"(
    CREATE TABLE decisions (
      number INTEGER PRIMARY KEY,
      uid INTEGER NOT NULL,
      id TEXT NOT NULL,
      decision TEXT NOT NULL,
      UNIQUE (uid, id)
    );
    )"},
    {"answers and decisions without an index: where they stand is kept in memory",
     R"(
    CREATE TABLE recent_replies (
      number INTEGER PRIMARY KEY,
      uid INTEGER NOT NULL,
      request_id TEXT NOT NULL,
      method TEXT NOT NULL,
      digest TEXT NOT NULL,
      body TEXT NOT NULL
    );
    INSERT INTO recent_replies SELECT number, uid, request_id, method, digest, body FROM replies
      ORDER BY number;
    DROP TABLE replies;
    ALTER TABLE recent_replies RENAME TO replies;
    CREATE TABLE recent_decisions (
      number INTEGER PRIMARY KEY,
      uid INTEGER NOT NULL,
      id TEXT NOT NULL,
      decision TEXT NOT NULL
    );
    INSERT INTO recent_decisions SELECT number, uid, id, decision FROM decisions ORDER BY number;
    DROP TABLE decisions;
    ALTER TABLE recent_decisions RENAME TO decisions;
    )"},
};

}  // namespace

absl::Span<const SchemaStep> SchemaSteps() { return kSteps; }

}  // namespace het::daemon
