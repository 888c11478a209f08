// Portable programs through hiprtc. Needs no device where the architecture is named: a test
// compiles the engine's kernels for one that is not there.
//
// Thread-safe. Failures: InvalidArgument with the compiler's log.
#ifndef HET_DEVICES_HIP_COMPILE_H_
#define HET_DEVICES_HIP_COMPILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/hip/api.h"
#include "devices/program.h"
#include "devices/streams/gpu.h"

namespace het::hip {

// `architecture`: "gfx90a"; empty: the calling thread's current device. `device`: for messages.
absl::StatusOr<streams::Code> CompileProgram(const Hiprtc& hiprtc, const ProgramSource& source,
                                             absl::string_view architecture,
                                             absl::string_view device);

// The names of the kernels of a code object: its ELF has a symbol "<name>.kd" for each.
std::vector<std::string> CodeEntries(absl::string_view code);

}  // namespace het::hip

#endif  // HET_DEVICES_HIP_COMPILE_H_
