// PrintPerformance: the engine's kernels on one device, in the shapes of a model of 1.1 B
// parameters, in GB/s and GFLOP/s beside the device's own copy and matrix peak
// (devices/conformance/ performance.h). What the weights hold does not count: they are zeros.
#ifndef HET_TESTS_PORTABLE_KERNELS_PERFORMANCE_H_
#define HET_TESTS_PORTABLE_KERNELS_PERFORMANCE_H_

#include "absl/status/status.h"
#include "devices/device.h"

namespace hetllm {

// `program`: the engine's portable kernels, built on `device`. Prints to stdout.
absl::Status PrintPerformance(het::Device& device, const het::Program& program);

}  // namespace hetllm

#endif  // HET_TESTS_PORTABLE_KERNELS_PERFORMANCE_H_
