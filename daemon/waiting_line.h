// WaitingLine: model requests that wait for others to release, first come, first served: only the
// first is tried, so that a large request is not starved by small ones behind it. (Plain Acquire
// calls do not wait and are not held back.)
//
// Plain data and order; the daemon tries and answers. Threads: one.
#ifndef HET_DAEMON_WAITING_LINE_H_
#define HET_DAEMON_WAITING_LINE_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "base/json.h"
#include "daemon/answers.h"
#include "daemon/process.h"
#include "protocol/messages.h"

namespace het::daemon {

inline constexpr size_t kMaxWaiting = 1024;

struct Waiting {
  ConnectionId connection = 0;
  Caller caller;
  protocol::ModelRequest request;
  Json parameters;                 // as they came, for the record of answered requests
  int64_t deadline_monotonic = 0;  // nanoseconds
  absl::Status refusal;            // why it did not fit when it was tried last
};

class WaitingLine {
 public:
  explicit WaitingLine(size_t per_user = kMaxWaiting) : per_user_(per_user) {}

  // ResourceExhausted when the line is full, or its user has too many in it already.
  absl::Status Join(Waiting waiting);
  // Null when nobody waits. Valid until the line changes.
  Waiting* first() { return line_.empty() ? nullptr : &line_.front(); }
  Waiting TakeFirst();
  // Takes out those whose time is over.
  std::vector<Waiting> TakeOverdue(int64_t now_monotonic);
  void Leave(ConnectionId connection);
  size_t size() const { return line_.size(); }
  // 0: nobody waits.
  int64_t NextDeadline() const;

 private:
  const size_t per_user_;  // of a user who is no administrator
  std::deque<Waiting> line_;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_WAITING_LINE_H_
