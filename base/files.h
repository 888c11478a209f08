// Files: whole-file reads and writes with errors that name the file.
#ifndef HET_BASE_FILES_H_
#define HET_BASE_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace het {

// NotFound, PermissionDenied, or Unknown with errno's text. At most `max_bytes` (ResourceExhausted
// beyond).
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     uint64_t max_bytes = uint64_t{1} << 30);

// Writes a temporary file beside it, syncs, and renames: a reader sees the old or the new content,
// never half.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content);

// mkdir -p with `mode` for the directories it makes.
absl::Status MakeDirectories(const std::string& path, unsigned mode = 0755);

// "cannot <what> <path>: <strerror>" with the canonical code of `error_number`.
absl::Status ErrnoStatus(int error_number, absl::string_view what);

}  // namespace het

#endif  // HET_BASE_FILES_H_
