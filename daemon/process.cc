#include "daemon/process.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
#endif

namespace het::daemon {
namespace {

bool HasEnded(int pidfd) {
  pollfd entry = {pidfd, POLLIN, 0};
  return poll(&entry, 1, 0) > 0;
}

// The peer's process as the kernel knows it, so that its number cannot have changed hands since it
// connected; -1 where the kernel cannot tell.
int PeerPidFd(int socket_fd) {
  int pidfd = -1;
  socklen_t size = sizeof(pidfd);
  return getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0 ? pidfd : -1;
}

}  // namespace

uint64_t StartTimeInStat(absl::string_view stat) {
  const size_t end_of_command = stat.rfind(')');
  if (end_of_command == absl::string_view::npos) return 0;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(stat.substr(end_of_command + 1), ' ', absl::SkipEmpty());
  // fields[0] is field 3, the state; the start time is field 22.
  uint64_t start_time = 0;
  if (fields.size() < 20 || fields[0] == "Z" || fields[0] == "X") return 0;
  return absl::SimpleAtoi(fields[19], &start_time) ? start_time : 0;
}

absl::StatusOr<ProcessId> FindProcess(pid_t pid) {
  const auto stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"), 4096);
  const uint64_t start_time = stat.ok() ? StartTimeInStat(*stat) : 0;
  if (start_time == 0) return absl::NotFoundError(absl::StrCat("process ", pid, " has ended"));
  return ProcessId{pid, start_time};
}

bool IsAlive(const ProcessId& process) {
  const auto found = FindProcess(process.pid);
  return found.ok() && *found == process;
}

absl::StatusOr<int> OpenProcess(const ProcessId& process) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
  if (pidfd < 0 && errno != ESRCH) return ErrnoStatus(errno, "cannot watch a process");
  // The number may have changed hands before the pidfd was opened, not after.
  if (pidfd >= 0 && IsAlive(process)) return pidfd;
  if (pidfd >= 0) close(pidfd);
  return absl::NotFoundError(absl::StrCat("process ", process.pid, " has ended"));
}

absl::StatusOr<Caller> PeerOf(int socket_fd) {
  ucred credentials = {};
  socklen_t size = sizeof(credentials);
  if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return ErrnoStatus(errno, "cannot tell who connects");
  }
  Caller caller;
  caller.uid = credentials.uid;
  caller.admin = credentials.uid == 0 || credentials.uid == geteuid();
  const auto process = credentials.pid > 0 ? FindProcess(credentials.pid)
                                           : absl::NotFoundError("in another pid namespace");
  if (!process.ok()) return caller;
  const int pidfd = PeerPidFd(socket_fd);
  if (pidfd < 0 || !HasEnded(pidfd)) caller.process = *process;
  if (pidfd >= 0) close(pidfd);
  return caller;
}

std::string BootId() {
  const auto id = ReadFile("/proc/sys/kernel/random/boot_id", 4096);
  return id.ok() ? std::string(absl::StripAsciiWhitespace(*id)) : "";
}

}  // namespace het::daemon
