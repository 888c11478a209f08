// The shadow's own functions in place of the driver's (hooked.h), as programs see them.
#ifndef HET_INTERPOSE_CUDA_HOOKS_H_
#define HET_INTERPOSE_CUDA_HOOKS_H_

#include "interpose/cuda/hooked.h"

namespace het::cuda {

#define HET_SHADOW_DECLARE(name, version, arguments) \
  extern "C" __attribute__((visibility("default"))) CUresult name arguments;
HET_SHADOW_HOOKED(HET_SHADOW_DECLARE)
#undef HET_SHADOW_DECLARE

}  // namespace het::cuda

#endif  // HET_INTERPOSE_CUDA_HOOKS_H_
