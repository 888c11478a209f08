// Descriptors: file descriptors beside the bytes of a Unix socket (SCM_RIGHTS). They travel with
// the first byte of a message. Functions only; any thread, one at a time per socket.
#ifndef HET_PROTOCOL_DESCRIPTORS_H_
#define HET_PROTOCOL_DESCRIPTORS_H_

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "partition/shared_pages.h"

namespace het::protocol {

inline constexpr size_t kMaxDescriptors = 250;  // the kernel's SCM_MAX_FD is 253

// All of `bytes` (at least one) and the descriptors, without waiting; the caller keeps the
// descriptors. Unavailable when the socket does not take them now.
absl::Status SendDescriptors(int socket, const std::string& bytes,
                             const std::vector<UniqueFd>& descriptors);

// recv(2) that adds the descriptors which came to `descriptors`, close-on-exec.
ssize_t ReceiveWithDescriptors(int socket, char* bytes, size_t size,
                               std::vector<UniqueFd>& descriptors);

}  // namespace het::protocol

#endif  // HET_PROTOCOL_DESCRIPTORS_H_
