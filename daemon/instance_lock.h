// InstanceLock: at most one hetd per runtime directory. A record lock on <directory>/hetd.lock that
// the kernel drops when the process ends, however it ends; so whoever has it may replace a socket
// that was left behind. A record lock belongs to the process alone: a probe that was being forked
// when hetd was killed does not keep it.
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
