// Driver: NVIDIA's own libcuda.so.1, which the shadow stands before: opened by its full path
// (HET_CUDA_DRIVER) when the shadow is loaded, never closed. Entry points that are only forwarded
// are jumps through a table that is filled then (forward.cc).
//
// Threads: immutable once loaded. Failures: `missing` says why there is none; every entry point
// then gives CUDA_ERROR_NO_DEVICE. A function that the driver is too old for is null here and gives
// CUDA_ERROR_NOT_SUPPORTED to the program.
#ifndef HET_INTERPOSE_CUDA_DRIVER_H_
#define HET_INTERPOSE_CUDA_DRIVER_H_

#include <string>

#include "interpose/cuda/hooked.h"

namespace het::cuda {

inline constexpr char kDriverVariable[] = "HET_CUDA_DRIVER";

struct Driver {
#define HET_SHADOW_MEMBER(name, version, arguments) CUresult(*name) arguments = nullptr;
  HET_SHADOW_HOOKED(HET_SHADOW_MEMBER)
#undef HET_SHADOW_MEMBER
#define HET_SHADOW_MEMBER(name, arguments) CUresult(*name) arguments = nullptr;
  HET_SHADOW_USED(HET_SHADOW_MEMBER)
#undef HET_SHADOW_MEMBER
};

// Constant until Load, which runs before anything of the program's.
extern Driver driver;
// Why there is no driver; empty when there is.
const std::string& MissingDriver();

}  // namespace het::cuda

#endif  // HET_INTERPOSE_CUDA_DRIVER_H_
