// Random weight matrices of every format for tests, and what their bytes mean in double precision:
// written from the formats' description (engine/kernels/native/formats.h), element by element,
// sharing no code with the kernels.
#ifndef HET_ENGINE_KERNELS_REFERENCE_WEIGHTS_H_
#define HET_ENGINE_KERNELS_REFERENCE_WEIGHTS_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "engine/kernels/kernels.h"

namespace hetllm::reference {

struct Format {
  const char* name;
  WeightType type;
  uint32_t elements, bytes;  // of a block
};
inline constexpr Format kFormats[] = {
    {"f32", WeightType::kF32, 1, 4},       {"f16", WeightType::kF16, 1, 2},
    {"bf16", WeightType::kBF16, 1, 2},     {"q8_0", WeightType::kQ8_0, 32, 34},
    {"q4_0", WeightType::kQ4_0, 32, 18},   {"q4_k", WeightType::kQ4_K, 256, 144},
    {"q5_k", WeightType::kQ5_K, 256, 176}, {"q6_k", WeightType::kQ6_K, 256, 210}};

inline double HalfValue(uint16_t half) {
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

// Element i of the block at b.
inline double Element(WeightType type, const uint8_t* b, unsigned i) {
  const auto half = [&](unsigned at) {
    return HalfValue(static_cast<uint16_t>(b[at] | b[at + 1] << 8));
  };
  const auto nibble = [&](unsigned at, bool high) { return high ? b[at] >> 4 : b[at] & 15; };
  const unsigned run = i / 32, in_run = i % 32;
  switch (type) {
    case WeightType::kF32: {
      float value;
      std::memcpy(&value, b, 4);
      return value;
    }
    case WeightType::kF16:
      return half(0);
    case WeightType::kBF16: {
      const uint32_t bits = static_cast<uint32_t>(b[0] | b[1] << 8) << 16;
      float value;
      std::memcpy(&value, &bits, 4);
      return value;
    }
    case WeightType::kQ8_0:
      return half(0) * static_cast<int8_t>(b[2 + i]);
    case WeightType::kQ4_0:
      return half(0) * (nibble(2 + i % 16, i >= 16) - 8);
    case WeightType::kQ4_K:
    case WeightType::kQ5_K: {
      const uint8_t* s = b + 4;
      const int scale = run < 4 ? s[run] & 63 : (s[run + 4] & 15) | (s[run - 4] >> 6) << 4;
      const int least = run < 4 ? s[run + 4] & 63 : (s[run + 4] >> 4) | (s[run] >> 6) << 4;
      int q;
      if (type == WeightType::kQ4_K) {
        q = nibble(16 + run / 2 * 32 + in_run, run % 2 == 1);
      } else {
        q = nibble(48 + run / 2 * 32 + in_run, run % 2 == 1) + ((b[16 + in_run] >> run & 1) << 4);
      }
      return half(0) * scale * q - half(2) * least;
    }
    case WeightType::kQ6_K: {
      const unsigned quarter = run % 4, upper = run / 4;
      const int low = nibble(64 * upper + 32 * (quarter % 2) + in_run, quarter >= 2);
      const int high = b[128 + 32 * upper + in_run] >> (2 * quarter) & 3;
      return half(208) * static_cast<int8_t>(b[192 + i / 16]) * ((low | high << 4) - 32);
    }
  }
  return 0;
}

struct Weights {
  std::vector<uint8_t> bytes;
  std::vector<double> values;  // row after row
};

// `count` elements, whole blocks. Scales have magnitudes 2^-6 .. 2 and are sometimes subnormal;
// quantised values are any that the format has.
template <class Engine>
Weights MakeWeights(const Format& format, size_t count, Engine& random) {
  const auto number = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  Weights w;
  w.bytes.resize(count / format.elements * format.bytes);
  const auto put_half = [&](size_t at, int lowest, int highest) {
    const int exponent = number(0, 19) == 0 ? 0 : number(lowest, highest);
    const int half = number(0, 1) << 15 | exponent << 10 | number(0, 1023);
    w.bytes[at] = static_cast<uint8_t>(half);
    w.bytes[at + 1] = static_cast<uint8_t>(half >> 8);
  };
  for (uint8_t& byte : w.bytes) byte = static_cast<uint8_t>(number(0, 255));
  for (size_t at = 0; at < w.bytes.size(); at += format.bytes) {
    switch (format.type) {
      case WeightType::kF32: {
        const float value = std::normal_distribution<float>()(random);
        std::memcpy(&w.bytes[at], &value, 4);
        break;
      }
      case WeightType::kBF16: {
        const float value = std::normal_distribution<float>()(random);
        std::memcpy(&w.bytes[at], reinterpret_cast<const uint8_t*>(&value) + 2, 2);
        break;
      }
      case WeightType::kQ6_K:
        put_half(at + 208, 3, 9);
        break;
      case WeightType::kQ4_K:
      case WeightType::kQ5_K:
        put_half(at, 3, 9);
        put_half(at + 2, 5, 11);
        break;
      default:
        put_half(at, 9, 15);
    }
    for (unsigned i = 0; i < format.elements; ++i)
      w.values.push_back(Element(format.type, &w.bytes[at], i));
  }
  return w;
}

}  // namespace hetllm::reference

#endif  // HET_ENGINE_KERNELS_REFERENCE_WEIGHTS_H_
