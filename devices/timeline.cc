#include "devices/timeline.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace het {

absl::Status Timeline::status() const {
  if (!failed()) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  return failure_;
}

void Timeline::Signal(uint64_t value) {
  std::vector<Callback> ready;
  {
    absl::MutexLock lock(&mutex_);
    if (failed_.load(std::memory_order_relaxed) || value <= value_.load(std::memory_order_relaxed))
      return;
    value_.store(value, std::memory_order_release);
    const auto end = callbacks_.upper_bound(value);
    for (auto it = callbacks_.begin(); it != end; ++it) ready.push_back(std::move(it->second));
    callbacks_.erase(callbacks_.begin(), end);
  }
  for (Callback& callback : ready) callback(absl::OkStatus());
}

void Timeline::Fail(absl::Status status) {
  if (status.ok()) status = absl::InternalError("a timeline was failed without a reason");
  std::multimap<uint64_t, Callback> waiting;
  {
    absl::MutexLock lock(&mutex_);
    if (failed_.load(std::memory_order_relaxed)) return;
    failure_ = status;
    // release: whoever sees `failed_` may take the lock and read the failure.
    failed_.store(true, std::memory_order_release);
    waiting.swap(callbacks_);
  }
  for (auto& [value, callback] : waiting) callback(status);
}

void Timeline::OnReach(uint64_t value, Callback callback) {
  absl::Status outcome;
  {
    absl::MutexLock lock(&mutex_);
    const bool reached = value_.load(std::memory_order_relaxed) >= value;
    if (!reached && !failed_.load(std::memory_order_relaxed)) {
      callbacks_.emplace(value, std::move(callback));
      return;
    }
    if (!reached) outcome = failure_;
  }
  callback(outcome);
}

absl::Status Timeline::Wait(uint64_t value, absl::Duration timeout) {
  if (value_.load(std::memory_order_acquire) >= value) return absl::OkStatus();
  DoDrive(value);
  const auto done = [this, value]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return value_.load(std::memory_order_relaxed) >= value ||
           failed_.load(std::memory_order_relaxed);
  };
  absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithTimeout(absl::Condition(&done), timeout)) {
    return absl::DeadlineExceededError(
        absl::StrCat("waited ", absl::FormatDuration(timeout), " for value ", value,
                     " of a timeline that is at ", value_.load(std::memory_order_relaxed)));
  }
  return value_.load(std::memory_order_relaxed) >= value ? absl::OkStatus() : failure_;
}

absl::StatusOr<int> Timeline::EventFd(uint64_t value) {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return ErrnoStatus(errno, "cannot make an eventfd");
  const int writer = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (writer < 0) {
    const int error = errno;
    close(fd);
    return ErrnoStatus(error, "cannot duplicate an eventfd");
  }
  OnReach(value, [writer](const absl::Status&) {
    eventfd_write(writer, 1);
    close(writer);
  });
  return fd;
}

}  // namespace het
