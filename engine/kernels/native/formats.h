// How the weight types lie in memory (GGUF): bytes of a row, and scalar half precision for tails
// and portable targets.
//   F32, F16: plain elements.
//   Q8_0: blocks of 32 elements in 34 bytes: f16 scale d, int8 q[32]; element i is d * q[i].
//   Q4_0: blocks of 32 elements in 18 bytes: f16 scale d, 16 bytes; element i < 16 is d * (low
//   nibble of byte i - 8),
//         element i + 16 is d * (high nibble of byte i - 8).
#ifndef HET_ENGINE_KERNELS_NATIVE_FORMATS_H_
#define HET_ENGINE_KERNELS_NATIVE_FORMATS_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernels/kernels.h"

namespace hetllm::native {

constexpr size_t kBlock = 32;  // elements per block of the quantised types

template <WeightType kType>
struct Format;
template <>
struct Format<WeightType::kF32> {
  static constexpr size_t kElements = 1, kBytes = 4;
};
template <>
struct Format<WeightType::kF16> {
  static constexpr size_t kElements = 1, kBytes = 2;
};
template <>
struct Format<WeightType::kQ8_0> {
  static constexpr size_t kElements = kBlock, kBytes = 34;
};
template <>
struct Format<WeightType::kQ4_0> {
  static constexpr size_t kElements = kBlock, kBytes = 18;
};

// Bytes of `elements` consecutive elements of a row (whole blocks).
template <WeightType kType>
constexpr size_t BytesOf(size_t elements) {
  return elements / Format<kType>::kElements * Format<kType>::kBytes;
}

// IEEE half to single, every value exactly.
inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t magnitude = half & 0x7fff;
  if (magnitude >= 0x7c00)
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ff) << 13);
  if (magnitude >= 0x0400) return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));
  const float subnormal = static_cast<float>(magnitude) * 0x1p-24f;
  return sign != 0 ? -subnormal : subnormal;
}

inline float LoadHalf(const void* from) {
  uint16_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return HalfToFloat(bits);
}

}  // namespace hetllm::native

#endif  // HET_ENGINE_KERNELS_NATIVE_FORMATS_H_
