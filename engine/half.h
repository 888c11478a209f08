// IEEE 754 half precision on the host, for writing weights. (Kernels have their own, faster ways.)
//
// Pure functions, thread-safe.
#ifndef HET_ENGINE_HALF_H_
#define HET_ENGINE_HALF_H_

#include <cstdint>

namespace hetllm {

// Rounds to nearest even; overflow gives infinity, NaN stays NaN.
uint16_t HalfFromFloat(float value);
// Exact.
float FloatFromHalf(uint16_t half);

}  // namespace hetllm

#endif  // HET_ENGINE_HALF_H_
