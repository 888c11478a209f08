// GrantChannel: a SeatGrant through a Unix socket: its numbers in the message, its descriptors as
// SCM_RIGHTS. For the parts that seat processes without hetd's protocol (benchmarks, tests, an
// owner inside a launcher).
//
// Threads: none of its own; blocking. Errors: Unavailable when the other end is gone,
// InvalidArgument for a message that is no grant.
#ifndef HET_PARTITION_GRANT_CHANNEL_H_
#define HET_PARTITION_GRANT_CHANNEL_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "partition/arbiter_grant.h"

namespace het {

// At most 200 other regions go along; a RegionProvider does not.
absl::Status SendGrant(int socket, const SeatGrant& grant);
absl::StatusOr<SeatGrant> ReceiveGrant(int socket);

}  // namespace het

#endif  // HET_PARTITION_GRANT_CHANNEL_H_
