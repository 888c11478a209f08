// Systemd: what a service says to and gets from the service manager, by its two protocols that are
// plain environment variables and datagrams (sd_notify(3), sd_listen_fds(3)); no library. Where
// there is no service manager every function does nothing. Functions only; not thread-safe, for the
// loop's thread.
#ifndef HET_DAEMON_SYSTEMD_H_
#define HET_DAEMON_SYSTEMD_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "partition/shared_pages.h"

namespace het::daemon {

// "READY=1", "STATUS=..", "WATCHDOG=1", "STOPPING=1"; several are lines of one text.
void NotifySystemd(absl::string_view state);

// The manager keeps a duplicate of the descriptor over this process's death, under the name.
void KeepDescriptor(const std::string& name, int fd);
void ForgetDescriptor(const std::string& name);
// What it kept under names with this prefix, and hands back; each only once.
std::map<std::string, UniqueFd> TakeKeptDescriptors(absl::string_view prefix);

// The listening Unix socket at `path` that the manager opened for this process (socket activation),
// or -1. It belongs to the caller; the path stays the manager's.
int TakeInheritedSocket(const std::string& path);

// How often the manager wants to hear "WATCHDOG=1", in microseconds; 0: not at all.
int64_t WatchdogMicros();

}  // namespace het::daemon

#endif  // HET_DAEMON_SYSTEMD_H_
