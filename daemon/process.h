// Process: which process is which, beyond its number. A number is used again after the process
// ended; the number together with the start time is not. Functions only; any thread.
#ifndef HET_DAEMON_PROCESS_H_
#define HET_DAEMON_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace het::daemon {

struct ProcessId {
  pid_t pid = 0;
  uint64_t start_time = 0;  // clock ticks after boot, field 22 of /proc/<pid>/stat
  friend auto operator<=>(const ProcessId&, const ProcessId&) = default;
};

// Who asks: the peer of a connection.
struct Caller {
  uid_t uid = 0;
  ProcessId process;
  bool admin = false;  // may change leases of others
};

// The start time out of the text of /proc/<pid>/stat, or 0 when the process has ended (zombie) or
// the text is no such file. The command in it may hold any character, parentheses too.
uint64_t StartTimeInStat(absl::string_view stat);

// NotFound when there is no such process or it has ended.
absl::StatusOr<ProcessId> FindProcess(pid_t pid);
bool IsAlive(const ProcessId& process);

// A pidfd, owned by the caller, readable when the process ends. NotFound when it has ended, also
// when the number belongs to another process now.
absl::StatusOr<int> OpenProcess(const ProcessId& process);

// The peer of a connected Unix socket, from the kernel. A peer in another pid namespace, or one
// that has ended, has process.pid 0.
absl::StatusOr<Caller> PeerOf(int socket_fd);

// Differs after a reboot; empty where the kernel does not tell.
std::string BootId();

}  // namespace het::daemon

#endif  // HET_DAEMON_PROCESS_H_
