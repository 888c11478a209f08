// Attach: a process takes its seat in a lease. hetd tells it what the slice is, and hands over the
// arbiter's shared memory, from which the process's launches and allocations are then held to the
// slice without another word to hetd.
//
// Threads: any. Failures: those of protocol/client.h; NotFound when the lease has ended,
// PermissionDenied for another user's lease, FailedPrecondition for a lease that is not confirmed.
#ifndef HET_PROTOCOL_ATTACH_H_
#define HET_PROTOCOL_ATTACH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "partition/arbiter_grant.h"
#include "protocol/client.h"
#include "protocol/messages.h"

namespace het::protocol {

struct Attachment {
  Lease lease;
  DeviceInfo device;
  std::vector<uint32_t> cores;  // host processors to run on now; empty for other devices
  SeatGrant grant;              // its provider asks hetd at the client's socket
};

absl::StatusOr<Attachment> Attach(Client& client, const std::string& lease_id);

}  // namespace het::protocol

#endif  // HET_PROTOCOL_ATTACH_H_
