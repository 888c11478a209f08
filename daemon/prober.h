// Prober: runs one het-probe child in the event loop and hands over what it printed. A child that
// takes too long is killed: a driver can hang, hetd cannot.
//
// Ownership: Start owns the run; the callback is called exactly once, on the loop, also when the
// child cannot be started; `gone` when the child has ended. Threads: the loop's.
#ifndef HET_DAEMON_PROBER_H_
#define HET_DAEMON_PROBER_H_

#include <uv.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/environment.h"

namespace het::daemon {

// Next to this program's own binary, or $HET_PROBE.
std::string ProbeBinary();

void StartProbe(uv_loop_t* loop, const ProbeCommand& command, OnProbed done,
                std::function<void()> gone = nullptr);

}  // namespace het::daemon

#endif  // HET_DAEMON_PROBER_H_
