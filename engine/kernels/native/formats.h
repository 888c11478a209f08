// How the weight types lie in memory (GGUF): bytes of a block, and plain decoders.
//   F32, F16, BF16: plain elements; BF16 is the upper half of a float.
//   Q8_0: blocks of 32 elements in 34 bytes: f16 scale d, int8 q[32]; element i is d * q[i].
//   Q4_0: blocks of 32 elements in 18 bytes: f16 scale d, 16 bytes; element i < 16 is d * (low
//   nibble of byte i - 8), element i + 16 is d * (high nibble of byte i - 8).
//   Q4_K: blocks of 256 in 144 bytes: f16 d and dmin, 12 bytes with a 6-bit scale and a 6-bit
//   minimum for each run of 32, 128 bytes of nibbles (runs 2j and 2j+1 are the low and high nibbles
//   of 32 bytes); an element is d * scale * q - dmin * minimum. Q5_K: 176 bytes: as Q4_K, with 32
//   bytes before the nibbles whose bit j is the fifth bit of run j. Q6_K: 210 bytes: 128 bytes of
//   low nibbles, 64 bytes of upper bit pairs, an int8 scale for each run of 16, f16 d; an element
//   is d * scale * (q - 32).
// Quantised weights have one more common form here: code, an unsigned byte, and a scale and minimum
// per run of kRun elements; an element is scale * code - minimum.
#ifndef HET_ENGINE_KERNELS_NATIVE_FORMATS_H_
#define HET_ENGINE_KERNELS_NATIVE_FORMATS_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernels/kernels.h"

namespace hetllm::native {

constexpr size_t kBlock = 32;   // elements that share a scale of quantised activations
constexpr size_t kSuper = 256;  // elements per block of the K types

// kBias: what the codes of a type without minimums have too much; their minimum is kBias * scale.
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
struct Format<WeightType::kBF16> {
  static constexpr size_t kElements = 1, kBytes = 2;
};
template <>
struct Format<WeightType::kQ8_0> {
  static constexpr size_t kElements = kBlock, kBytes = 34, kRun = 32;
  static constexpr int kBias = 128;
};
template <>
struct Format<WeightType::kQ4_0> {
  static constexpr size_t kElements = kBlock, kBytes = 18, kRun = 32;
  static constexpr int kBias = 8;
};
template <>
struct Format<WeightType::kQ4_K> {
  static constexpr size_t kElements = kSuper, kBytes = 144, kRun = 32;
  static constexpr int kBias = 0;
};
template <>
struct Format<WeightType::kQ5_K> {
  static constexpr size_t kElements = kSuper, kBytes = 176, kRun = 32;
  static constexpr int kBias = 0;
};
template <>
struct Format<WeightType::kQ6_K> {
  static constexpr size_t kElements = kSuper, kBytes = 210, kRun = 16;
  static constexpr int kBias = 32;
};

template <WeightType kType>
constexpr bool kPlain = Format<kType>::kElements == 1;
// Blocks of 32 with one scale, which vectors expand as they go.
template <WeightType kType>
constexpr bool kSimpleBlocks = Format<kType>::kElements == kBlock;
template <WeightType kType>
constexpr bool kHasMinimums = kType == WeightType::kQ4_K || kType == WeightType::kQ5_K;

// Calls `body` with the type as a constant: body.template operator()<kType>().
template <class Body>
inline void ForType(WeightType type, const Body& body) {
  switch (type) {
    case WeightType::kF32:
      return body.template operator()<WeightType::kF32>();
    case WeightType::kF16:
      return body.template operator()<WeightType::kF16>();
    case WeightType::kBF16:
      return body.template operator()<WeightType::kBF16>();
    case WeightType::kQ8_0:
      return body.template operator()<WeightType::kQ8_0>();
    case WeightType::kQ4_0:
      return body.template operator()<WeightType::kQ4_0>();
    case WeightType::kQ4_K:
      return body.template operator()<WeightType::kQ4_K>();
    case WeightType::kQ5_K:
      return body.template operator()<WeightType::kQ5_K>();
    case WeightType::kQ6_K:
      return body.template operator()<WeightType::kQ6_K>();
  }
}

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

inline float LoadBfloat(const void* from) {
  uint16_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// The eight 6-bit scales and minimums of a Q4_K or Q5_K block, as bytes in the order of the runs.
struct KScales {
  uint64_t scales, minimums;
};
inline KScales UnpackKScales(const uint8_t* twelve) {
  uint32_t word[3];
  std::memcpy(word, twelve, sizeof(word));
  const auto join = [](uint32_t low, uint32_t high) {
    return low | static_cast<uint64_t>(high) << 32;
  };
  return {
      join(word[0] & 0x3f3f3f3f, (word[2] & 0x0f0f0f0f) | (word[0] >> 6 & 0x03030303) << 4),
      join(word[1] & 0x3f3f3f3f, (word[2] >> 4 & 0x0f0f0f0f) | (word[1] >> 6 & 0x03030303) << 4)};
}

// The codes of one block of a K type.
template <WeightType kType>
__attribute__((always_inline)) inline void ExpandCodes(const uint8_t* __restrict block,
                                                       uint8_t* __restrict codes) {
  if constexpr (kType == WeightType::kQ6_K) {
    for (size_t half = 0; half < 2; ++half) {
      const uint8_t *low = block + 64 * half, *high = block + 128 + 32 * half;
      uint8_t* to = codes + 128 * half;
      for (size_t i = 0; i < 32; ++i) {
        to[i] = static_cast<uint8_t>((low[i] & 15) | (high[i] & 3) << 4);
        to[i + 32] = static_cast<uint8_t>((low[i + 32] & 15) | (high[i] >> 2 & 3) << 4);
        to[i + 64] = static_cast<uint8_t>(low[i] >> 4 | (high[i] >> 4 & 3) << 4);
        to[i + 96] = static_cast<uint8_t>(low[i + 32] >> 4 | (high[i] >> 6) << 4);
      }
    }
  } else {
    static_assert(kHasMinimums<kType>);
    const uint8_t* fifth = block + 16;
    const uint8_t* nibbles = block + (kType == WeightType::kQ5_K ? 48 : 16);
    for (unsigned run = 0; run < 8; run += 2) {
      const uint8_t* from = nibbles + 16 * run;
      uint8_t* to = codes + 32 * run;
      for (size_t i = 0; i < 32; ++i) {
        unsigned low = from[i] & 15u, high = from[i] >> 4;
        if constexpr (kType == WeightType::kQ5_K) {
          low |= (fifth[i] >> run & 1u) << 4;
          high |= (fifth[i] >> (run + 1) & 1u) << 4;
        }
        to[i] = static_cast<uint8_t>(low);
        to[i + 32] = static_cast<uint8_t>(high);
      }
    }
  }
}

// scale[256 / kRun] and minimum[256 / kRun] of one block of a K type.
template <WeightType kType>
__attribute__((always_inline)) inline void ExpandScales(const uint8_t* block, float* scale,
                                                        float* minimum) {
  if constexpr (kType == WeightType::kQ6_K) {
    const float d = LoadHalf(block + 208);
    for (size_t i = 0; i < 16; ++i) {
      scale[i] = d * static_cast<float>(static_cast<int8_t>(block[192 + i]));
      minimum[i] = 32 * scale[i];
    }
  } else {
    const float d = LoadHalf(block), dmin = LoadHalf(block + 2);
    const KScales bytes = UnpackKScales(block + 4);
    for (size_t i = 0; i < 8; ++i) {
      scale[i] = d * static_cast<float>(bytes.scales >> (8 * i) & 63);
      minimum[i] = dmin * static_cast<float>(bytes.minimums >> (8 * i) & 63);
    }
  }
}

}  // namespace hetllm::native

#endif  // HET_ENGINE_KERNELS_NATIVE_FORMATS_H_
