#include "devices/simulated/virtual_clock.h"

#include <algorithm>

namespace het::simulated {

void VirtualClock::At(int64_t nanos, Event event, bool background) {
  absl::MutexLock lock(&mutex_);
  const int64_t when = std::max(nanos, now_.load(std::memory_order_relaxed));
  events_.emplace(std::make_pair(when, added_++), Entry{std::move(event), background});
  if (!background) ++foreground_;
}

bool VirtualClock::Enter(absl::FunctionRef<bool()> done) {
  const auto free = [this, done]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return driver_ == std::thread::id() || done();
  };
  mutex_.Await(absl::Condition(&free));
  if (driver_ != std::thread::id()) return false;  // another has done it for us
  driver_ = std::this_thread::get_id();
  return true;
}

void VirtualClock::Drive(absl::FunctionRef<bool()> done, absl::FunctionRef<bool(int64_t)> due) {
  while (!done() && !events_.empty() && due(events_.begin()->first.first)) {
    auto first = events_.begin();
    now_.store(first->first.first, std::memory_order_release);
    {
      Entry entry = std::move(first->second);
      events_.erase(first);
      if (!entry.background) --foreground_;
      mutex_.Unlock();
      entry.event();
      entry.event = nullptr;  // what it holds goes outside the lock too
      mutex_.Lock();
    }
  }
}

bool VirtualClock::RunUntil(absl::FunctionRef<bool()> done) {
  absl::MutexLock lock(&mutex_);
  const bool nested = driver_ == std::this_thread::get_id();  // from within an event
  if (!nested && !Enter(done)) return true;
  Drive(done, [this](int64_t) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return foreground_ > 0; });
  if (!nested) driver_ = std::thread::id();
  return done();
}

void VirtualClock::RunUntilIdle() {
  RunUntil([] { return false; });
}

void VirtualClock::AdvanceTo(int64_t nanos) {
  const auto never = [] { return false; };
  absl::MutexLock lock(&mutex_);
  const bool nested = driver_ == std::this_thread::get_id();
  if (!nested) Enter(never);
  Drive(never, [nanos](int64_t next) { return next <= nanos; });
  if (now_.load(std::memory_order_relaxed) < nanos) now_.store(nanos, std::memory_order_release);
  if (!nested) driver_ = std::thread::id();
}

}  // namespace het::simulated
