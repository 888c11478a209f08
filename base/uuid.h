// Uuid text: identities of devices, slices, leases and requests. An identity is a UUID, never an
// index: an index changes under CUDA_VISIBLE_DEVICES and across reboots. Kept as canonical
// lower-case text "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx".
#ifndef HET_BASE_UUID_H_
#define HET_BASE_UUID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace het {

// Random (version 4), from the kernel's generator.
std::string NewUuid();

// The same UUID for the same name, for ever (version 8, RFC 9562: 122 bits of a 128-bit FNV-1a
// based mix of `name`). Used where the vendor gives no UUID:
// "opencl/<platform>/<device>/<ordinal>".
std::string UuidFromName(absl::string_view name);

bool IsUuid(absl::string_view text);

}  // namespace het

#endif  // HET_BASE_UUID_H_
