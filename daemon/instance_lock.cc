#include "daemon/instance_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace het::daemon {

absl::StatusOr<InstanceLock> InstanceLock::Take(const std::string& directory) {
  const std::string path = directory + "/hetd.lock";
  InstanceLock lock(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.fd_ < 0) return ErrnoStatus(errno, absl::StrCat("cannot open ", path));
  struct flock all = {};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  if (fcntl(lock.fd_, F_SETLK, &all) != 0) {
    if (errno != EACCES && errno != EAGAIN) {
      return ErrnoStatus(errno, absl::StrCat("cannot lock ", path));
    }
    struct flock owner = all;
    const bool known = fcntl(lock.fd_, F_GETLK, &owner) == 0 && owner.l_type != F_UNLCK;
    return absl::FailedPreconditionError(
        absl::StrCat("another hetd", known ? absl::StrCat(" (process ", owner.l_pid, ")") : "",
                     " serves ", directory, "; stop it or use another --runtime-dir"));
  }
  // For people; the lock holds without it (a full disk).
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(lock.fd_, 0) == 0 && pwrite(lock.fd_, pid.data(), pid.size(), 0) < 0) errno = 0;
  return lock;
}

InstanceLock::InstanceLock(InstanceLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

InstanceLock::~InstanceLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace het::daemon
