// Portable programs through NVRTC. Needs no device and no driver: a test compiles the engine's
// kernels for architectures that are not there.
//
// Thread-safe. Failures: InvalidArgument with the compiler's log.
#ifndef HET_DEVICES_CUDA_COMPILE_H_
#define HET_DEVICES_CUDA_COMPILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "devices/cuda/api.h"
#include "devices/program.h"
#include "devices/streams/gpu.h"

namespace het::cuda {

// `capability`: 90 for sm_90. A device that is newer than the compiler gets PTX for the newest that
// the compiler knows, which the driver compiles; any other gets its own code. `device`: for
// messages.
absl::StatusOr<streams::Code> CompileProgram(const Nvrtc& nvrtc, const ProgramSource& source,
                                             int capability, absl::string_view device);

// The names of the entry points of a PTX text.
std::vector<std::string> PtxEntries(absl::string_view ptx);

}  // namespace het::cuda

#endif  // HET_DEVICES_CUDA_COMPILE_H_
