// Find: what a person means by a device or a lease: a whole id, an unambiguous beginning of one,
// or, for a device, a backend that only one device has.
//
// Failures: those of the client; NotFound and InvalidArgument list what there is.
#ifndef HET_TOOLS_HETCTL_FIND_H_
#define HET_TOOLS_HETCTL_FIND_H_

#include <string>

#include "absl/status/statusor.h"
#include "protocol/client.h"

namespace het::hetctl {

absl::StatusOr<protocol::DeviceRow> FindDevice(protocol::Client& client, const std::string& text);
absl::StatusOr<Lease> FindLease(protocol::Client& client, const std::string& text);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_FIND_H_
