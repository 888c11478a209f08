#include "runtime/gate.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace het::runtime {
namespace {

constexpr int64_t kLookNanos = 1'000'000;  // between two looks whether the gate is to stop
// Completions that are told late are charged later; a queue that was idle leaves no credit behind.
constexpr int64_t kMostUnchargedNanos = 2'000'000;

int64_t Now() { return Clock::Real().MonotonicNanos(); }

}  // namespace

Gate::~Gate() {
  std::thread thread;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    thread = std::move(thread_);
  }
  if (!thread.joinable()) return;
  // The last reference may go with a callback of the gate's own thread.
  if (thread.get_id() == std::this_thread::get_id()) {
    *gone_ = true;
    thread.detach();
  } else {
    thread.join();
  }
}

std::optional<Gate::Pass> Gate::Try(uint64_t estimate_ns) {
  {
    absl::MutexLock lock(&mutex_);
    if (!requests_.empty()) return std::nullopt;
  }
  const std::optional<Ticket> ticket = seat_->TryBegin(estimate_ns);
  if (!ticket) return std::nullopt;
  return Pass{*ticket, Now()};
}

void Gate::Ask(uint64_t estimate_ns, Granted granted) {
  absl::MutexLock lock(&mutex_);
  requests_.push_back({estimate_ns, std::move(granted)});
  if (!thread_.joinable()) thread_ = std::thread([this] { Serve(); });
}

absl::StatusOr<Gate::Pass> Gate::Wait(uint64_t estimate_ns) {
  absl::StatusOr<Ticket> ticket = seat_->Begin(estimate_ns);
  if (!ticket.ok()) return ticket.status();
  return Pass{*ticket, Now()};
}

uint64_t Gate::Done(const Pass& pass, int64_t device_ns) {
  int64_t busy = 0;
  {
    absl::MutexLock lock(&mutex_);
    const int64_t now = Now();
    const int64_t passed = std::max<int64_t>(0, now - std::max(last_done_ns_, pass.since_ns));
    last_done_ns_ = std::max(last_done_ns_, now);
    uncharged_ns_ += passed;
    busy = device_ns < 0 ? passed : device_ns;
    busy = std::clamp<int64_t>(busy, 1, std::max<int64_t>(1, uncharged_ns_));
    uncharged_ns_ = std::clamp<int64_t>(uncharged_ns_ - busy, 0, kMostUnchargedNanos);
  }
  seat_->End(pass.ticket, static_cast<uint64_t>(busy));
  return static_cast<uint64_t>(busy);
}

void Gate::Serve() {
  bool gone = false;
  gone_ = &gone;
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !requests_.empty();
  };
  while (true) {
    uint64_t estimate_ns = 0;
    {
      absl::MutexLock lock(&mutex_, absl::Condition(&ready));
      if (stopping_) return;
      estimate_ns = requests_.front().estimate_ns;
    }
    seat_->WaitTurn(estimate_ns, Now() + kLookNanos);
    absl::StatusOr<Pass> pass = absl::FailedPreconditionError("the lease has ended");
    if (!seat_->revoked()) {
      const std::optional<Ticket> ticket = seat_->TryBegin(estimate_ns);
      if (!ticket) continue;
      pass = Pass{*ticket, Now()};
    }
    Granted granted;
    {
      absl::MutexLock lock(&mutex_);
      granted = std::move(requests_.front().granted);
      requests_.pop_front();
    }
    granted(std::move(pass));
    granted = nullptr;  // may hold the last reference to this gate
    if (gone) return;
  }
}

}  // namespace het::runtime
