// Errors of org.het.v1 on the wire, and the status they stand for on both sides. A round trip keeps
// the code, the message, the field and the numbers of a shortage. Functions only.
#ifndef HET_PROTOCOL_ERRORS_H_
#define HET_PROTOCOL_ERRORS_H_

#include "absl/status/status.h"
#include "base/json.h"

namespace het::protocol {

// {"error":"org.het.v1.NoCapacity","parameters":{..,"message":".."}} for a status that is not OK.
//   ResourceExhausted with a shortage -> NoCapacity{device, requested, free, largestFree,
//   neverFits} ResourceExhausted                 -> LimitReached     PermissionDenied   -> NotOwner
//   InvalidArgument                   -> Invalid{field}   Aborted            -> StaleGeneration
//   NotFound                          -> NotFound         FailedPrecondition -> NotUsable
//   Unavailable                       -> Unavailable      DeadlineExceeded   -> TimedOut
//   Unimplemented                     -> org.varlink.service.MethodNotFound
//   anything else                     -> Internal
Json ErrorReply(const absl::Status& status);

// The status a reply with an "error" member stands for; OK for a reply without one.
absl::Status StatusOfReply(const Json& reply);

}  // namespace het::protocol

#endif  // HET_PROTOCOL_ERRORS_H_
