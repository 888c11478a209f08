// ProcessState: whether a process can go on by itself. A number together with the start time names
// one process; the number alone is used again. Reads /proc; a few microseconds a call, any thread.
#ifndef HET_PARTITION_PROCESS_STATE_H_
#define HET_PARTITION_PROCESS_STATE_H_

#include <sys/types.h>

#include <cstdint>

namespace het {

enum class ProcessState {
  kDead,     // ended, a zombie, or another process has its number
  kStopped,  // by a signal or a tracer
  kAlive,    // also when nothing can be known (/proc hidden)
};

// `start_time` in clock ticks after boot; 0: unknown, any process of that number.
ProcessState StateOfProcess(pid_t pid, uint64_t start_time);

// Of the calling process, or of `pid`; 0 when it cannot be read.
uint64_t StartTimeOfProcess(pid_t pid);

}  // namespace het

#endif  // HET_PARTITION_PROCESS_STATE_H_
