// Connect: hetctl's connection to hetd with the global options applied.
#ifndef HET_TOOLS_HETCTL_CONNECT_H_
#define HET_TOOLS_HETCTL_CONNECT_H_

#include <cmath>
#include <memory>

#include "absl/status/statusor.h"
#include "protocol/client.h"
#include "tools/hetctl/command.h"

namespace het::hetctl {

inline absl::StatusOr<std::unique_ptr<protocol::Client>> Connect(const Globals& globals) {
  return protocol::Client::Connect(globals.socket, std::llround(globals.timeout_s * 1000));
}

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_CONNECT_H_
