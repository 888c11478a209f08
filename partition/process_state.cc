#include "partition/process_state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cstdlib>

namespace het {
namespace {

struct Stat {
  char state = 0;  // 0: could not be read
  uint64_t start_time = 0;
};

// Without allocation and stdio: it is called while a launch waits.
Stat ReadStat(pid_t pid) {
  char path[32];
  snprintf(path, sizeof(path), "/proc/%d/stat", static_cast<int>(pid));
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  char text[1024];
  const ssize_t length = read(fd, text, sizeof(text) - 1);
  close(fd);
  if (length <= 0) return {};
  text[length] = 0;
  // "pid (name) S ...": the name may hold anything, so from the last parenthesis.
  const char* at = strrchr(text, ')');
  if (at == nullptr || at[1] != ' ') return {};
  Stat stat;
  at += 2;
  stat.state = *at;
  for (int field = 3; field < 22 && at != nullptr; ++field) {
    at = strchr(at, ' ');
    if (at != nullptr) ++at;
  }
  if (at != nullptr) stat.start_time = strtoull(at, nullptr, 10);
  return stat;
}

}  // namespace

ProcessState StateOfProcess(pid_t pid, uint64_t start_time) {
  if (pid <= 0) return ProcessState::kDead;
  const Stat stat = ReadStat(pid);
  if (stat.state == 0) {
    // Gone, or hidden from us.
    return kill(pid, 0) != 0 && errno == ESRCH ? ProcessState::kDead : ProcessState::kAlive;
  }
  if (start_time != 0 && stat.start_time != 0 && stat.start_time != start_time) {
    return ProcessState::kDead;
  }
  switch (stat.state) {
    case 'Z':
    case 'X':
    case 'x':
      return ProcessState::kDead;
    case 'T':
    case 't':
      return ProcessState::kStopped;
    default:
      return ProcessState::kAlive;
  }
}

uint64_t StartTimeOfProcess(pid_t pid) { return ReadStat(pid).start_time; }

}  // namespace het
