#include "runtime/work_account.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het::runtime {

absl::StatusOr<uint64_t> WorkAccount::Begin(uint64_t estimate_nanos, const Clock& clock) {
  std::optional<Gate::Pass> pass;
  if (gate_) {
    HET_ASSIGN_OR_RETURN(pass, gate_->Wait(estimate_nanos));
  }
  absl::MutexLock lock(&mutex_);
  if (pass) passes_.emplace(next_ticket_, *pass);
  if (open_.empty() && ending_.empty()) busy_since_ = clock.MonotonicNanos();
  open_.insert(next_ticket_);
  return next_ticket_++;
}

absl::Status WorkAccount::End(uint64_t ticket, const Ref<Timeline>& timeline, uint64_t value,
                              const Clock& clock) {
  {
    absl::MutexLock lock(&mutex_);
    if (open_.erase(ticket) == 0) {
      return absl::NotFoundError(absl::StrCat("no work with ticket ", ticket,
                                              " was begun on this lease, or it has ended"));
    }
    ending_.insert(ticket);
  }
  if (!timeline) {
    Close(ticket, clock);
  } else {
    timeline->OnReach(value, [self = Ref<WorkAccount>(this), ticket, &clock](const absl::Status&) {
      self->Close(ticket, clock);
    });
  }
  return absl::OkStatus();
}

void WorkAccount::Close(uint64_t ticket, const Clock& clock) {
  absl::MutexLock lock(&mutex_);
  const auto pass = passes_.find(ticket);
  if (pass != passes_.end()) {
    gate_->Done(pass->second);
    passes_.erase(pass);
  }
  ending_.erase(ticket);
  if (open_.empty() && ending_.empty()) busy_nanos_ += clock.MonotonicNanos() - busy_since_;
}

int64_t WorkAccount::busy_nanos() const {
  absl::MutexLock lock(&mutex_);
  return busy_nanos_;
}

uint64_t WorkAccount::open() const {
  absl::MutexLock lock(&mutex_);
  return open_.size() + ending_.size();
}

}  // namespace het::runtime
