// Prober: runs one het-probe child in the event loop and hands over what it printed. A child that
// takes too long is killed: a driver can hang, hetd cannot.
//
// Ownership: Start owns the run; the callback is called exactly once, on the loop, also when the
// child cannot be started. Threads: the loop's.
#ifndef HET_DAEMON_PROBER_H_
#define HET_DAEMON_PROBER_H_

#include <uv.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace het::daemon {

// Next to this program's own binary, or $HET_PROBE.
std::string ProbeBinary();

struct ProbeCommand {
  std::string binary;
  std::vector<std::string> arguments;
  int64_t limit_ms = 5000;
};

// What the child printed on stdout (at most 4 MiB); DeadlineExceeded when it was killed, Internal
// when it crashed or failed, Unavailable when it could not be started.
using OnProbed = std::function<void(absl::StatusOr<std::string>)>;

void StartProbe(uv_loop_t* loop, const ProbeCommand& command, OnProbed done);

}  // namespace het::daemon

#endif  // HET_DAEMON_PROBER_H_
