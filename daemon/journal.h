// Journal: events that an operator looks for, with fields to look for them by. Under systemd they
// go to the journal in its own protocol, with MESSAGE_ID and HET_* fields (journalctl -t hetd
// HET_LEASE_ID=..); elsewhere they are a line of the log. packaging/hetd.catalog explains each.
// Functions only; any thread.
#ifndef HET_DAEMON_JOURNAL_H_
#define HET_DAEMON_JOURNAL_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace het::daemon {

enum class Event {
  kStarted,
  kLeaseEnded,
  kDeviceUnhealthy,
  kDeviceHealthy,
  kStoreFailed,
  kStoreHealed
};

// Field names are the journal's: capitals, digits and '_'.
using Fields = std::vector<std::pair<std::string, std::string>>;
void LogEvent(Event event, const std::string& message, const Fields& fields = {});

// The 128-bit id of an event as the journal writes it. Never changes.
absl::string_view MessageId(Event event);
// The datagram of the journal's native protocol. Public for tests.
std::string EncodeForJournal(Event event, const std::string& message, const Fields& fields);

}  // namespace het::daemon

#endif  // HET_DAEMON_JOURNAL_H_
