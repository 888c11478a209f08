// Schema: the tables of hetd.db as the list of steps that lead to them. A file says how many steps
// it has behind it (PRAGMA user_version); Store::Open takes the rest, all in one transaction, and
// refuses a file that has taken more.
//
// To change the tables append a step. A step that was released never changes: schema_test.cc has
// its fingerprint, and opens a file of every earlier version. Plain data; any thread.
#ifndef HET_DAEMON_SCHEMA_H_
#define HET_DAEMON_SCHEMA_H_

#include <cstdint>

#include "absl/types/span.h"

namespace het::daemon {

struct SchemaStep {
  const char* what;  // for people
  const char* sql;
};

// Version n has taken the first n steps.
absl::Span<const SchemaStep> SchemaSteps();
inline int64_t SchemaVersion() { return static_cast<int64_t>(SchemaSteps().size()); }

}  // namespace het::daemon

#endif  // HET_DAEMON_SCHEMA_H_
