// InstanceLock: at most one hetd per runtime directory. An advisory lock on <directory>/hetd.lock
// that the kernel drops when the process ends, however it ends; so whoever has it may replace a
// socket that was left behind.
#ifndef HET_DAEMON_INSTANCE_LOCK_H_
#define HET_DAEMON_INSTANCE_LOCK_H_

#include <string>

#include "absl/status/statusor.h"

namespace het::daemon {

class InstanceLock {
 public:
  // FailedPrecondition names the process that has it.
  static absl::StatusOr<InstanceLock> Take(const std::string& directory);
  InstanceLock(InstanceLock&& other) noexcept;
  InstanceLock& operator=(InstanceLock&&) = delete;
  ~InstanceLock();

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_INSTANCE_LOCK_H_
