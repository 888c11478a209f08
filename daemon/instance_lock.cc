#include "daemon/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace het::daemon {

absl::StatusOr<InstanceLock> InstanceLock::Take(const std::string& directory) {
  const std::string path = directory + "/hetd.lock";
  InstanceLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.fd_ < 0) return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  if (flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("cannot lock ", path));
    const auto owner = ReadFile(path, 64);
    return absl::FailedPreconditionError(absl::StrCat(
        "another hetd",
        owner.ok() ? absl::StrCat(" (process ", absl::StripAsciiWhitespace(*owner), ")") : "",
        " serves ", directory, "; stop it or use another --runtime-dir"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(lock.fd_, 0) != 0 || pwrite(lock.fd_, pid.data(), pid.size(), 0) < 0) {
    // Only what the message above names; the lock itself holds (a full disk).
  }
  return lock;
}

InstanceLock::InstanceLock(InstanceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

InstanceLock::~InstanceLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace het::daemon
