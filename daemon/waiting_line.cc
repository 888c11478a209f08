#include "daemon/waiting_line.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace het::daemon {

absl::Status WaitingLine::Join(Waiting waiting) {
  if (line_.size() >= kMaxWaiting) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kMaxWaiting, " requests wait already; try again later"));
  }
  const auto own = std::count_if(line_.begin(), line_.end(), [&](const Waiting& other) {
    return other.caller.uid == waiting.caller.uid;
  });
  if (!waiting.caller.admin && static_cast<size_t>(own) >= per_user_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("user ", waiting.caller.uid, " has ", own,
                     " requests waiting, which is what hetd.toml allows; try again later"));
  }
  line_.push_back(std::move(waiting));
  return absl::OkStatus();
}

Waiting WaitingLine::TakeFirst() {
  Waiting first = std::move(line_.front());
  line_.pop_front();
  return first;
}

std::vector<Waiting> WaitingLine::TakeOverdue(int64_t now_monotonic) {
  std::vector<Waiting> overdue;
  for (auto it = line_.begin(); it != line_.end();) {
    if (it->deadline_monotonic > now_monotonic) {
      ++it;
      continue;
    }
    overdue.push_back(std::move(*it));
    it = line_.erase(it);
  }
  return overdue;
}

void WaitingLine::Leave(ConnectionId connection) {
  std::erase_if(line_, [=](const Waiting& waiting) { return waiting.connection == connection; });
}

int64_t WaitingLine::NextDeadline() const {
  int64_t next = 0;
  for (const Waiting& waiting : line_) {
    if (next == 0 || waiting.deadline_monotonic < next) next = waiting.deadline_monotonic;
  }
  return next;
}

}  // namespace het::daemon
