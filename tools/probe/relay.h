// Relay: a probe that runs somewhere else. Drivers compile code at run time and map much memory,
// which hetd's sandbox forbids to its children; so under systemd hetd's het-probe only passes its
// arguments to het-probe@.service, which has a sandbox of its own, and copies what comes back
// ($HET_PROBE_SOCKET). When hetd gives up and kills its child, the connection ends and the served
// probe with it. Functions only.
#ifndef HET_TOOLS_PROBE_RELAY_H_
#define HET_TOOLS_PROBE_RELAY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace het::probe {

// From now on this process ends when nobody holds the other end of this pipe or socket any more,
// also while a driver hangs in a call: what it would say is for nobody, and a measurement would
// only be in the way. (Not PR_SET_PDEATHSIG: that is the death of the thread that started it.)
void EndWithReader(int descriptor);

// Sends the arguments to the probe service at `socket_path` and copies its answer to stdout. The
// exit code: 0 when something came back.
int AskService(const std::string& socket_path, const std::vector<std::string>& arguments);

// The other end, with the connection as stdin: the arguments, one JSON list in one line of at most
// 64 KiB.
absl::StatusOr<std::vector<std::string>> TakeArguments();

}  // namespace het::probe

#endif  // HET_TOOLS_PROBE_RELAY_H_
