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
};

}  // namespace

absl::Span<const SchemaStep> SchemaSteps() { return kSteps; }

}  // namespace het::daemon
