// Gemm: the matrix product that the soft cuBLAS and rocBLAS compute, in double precision and for
// real: c = alpha a b + beta c, column-major, a transposed and b not, as het asks for it.
#ifndef HET_TESTS_SOFT_DRIVERS_COMMON_GEMM_H_
#define HET_TESTS_SOFT_DRIVERS_COMMON_GEMM_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace het::soft {

enum class GemmType { kF32, kF16, kBF16 };

struct Gemm {
  int m = 0, n = 0, k = 0;
  GemmType type = GemmType::kF32;  // of a and b; c is f32
  float alpha = 1, beta = 0;
  const void* a = nullptr;
  const void* b = nullptr;
  void* c = nullptr;
  int lda = 0, ldb = 0, ldc = 0;

  // What a vendor's library refuses.
  bool sound() const {
    return m > 0 && n > 0 && k > 0 && lda >= k && ldb >= k && ldc >= m && a != nullptr &&
           b != nullptr && c != nullptr;
  }

  void Run() const {
    const std::vector<double> left = Values(a, m, lda), right = Values(b, n, ldb);
    for (int column = 0; column < n; ++column) {
      float* to = static_cast<float*>(c) + size_t(column) * size_t(ldc);
      for (int row = 0; row < m; ++row) {
        double sum = 0;
        for (int i = 0; i < k; ++i) {
          sum += left[size_t(row) * size_t(k) + size_t(i)] *
                 right[size_t(column) * size_t(k) + size_t(i)];
        }
        to[row] = static_cast<float>(alpha * sum + (beta != 0 ? double{beta} * to[row] : 0.0));
      }
    }
  }

 private:
  static double HalfValue(uint16_t half) {
    const int exponent = half >> 10 & 31, mantissa = half & 1023;
    double value = exponent == 0    ? std::ldexp(mantissa, -24)
                   : exponent == 31 ? (mantissa != 0 ? NAN : INFINITY)
                                    : std::ldexp(1024 + mantissa, exponent - 25);
    return (half & 0x8000) != 0 ? -value : value;
  }

  // `count` runs of k elements, `stride` apart.
  std::vector<double> Values(const void* from, int count, int stride) const {
    std::vector<double> values;
    values.reserve(size_t(count) * size_t(k));
    for (int run = 0; run < count; ++run) {
      for (int i = 0; i < k; ++i) {
        const size_t at = size_t(run) * size_t(stride) + size_t(i);
        if (type == GemmType::kF32) {
          values.push_back(static_cast<const float*>(from)[at]);
          continue;
        }
        const uint16_t bits = static_cast<const uint16_t*>(from)[at];
        if (type == GemmType::kF16) {
          values.push_back(HalfValue(bits));
        } else {
          const uint32_t wide = uint32_t{bits} << 16;
          float value;
          std::memcpy(&value, &wide, sizeof(value));
          values.push_back(value);
        }
      }
    }
    return values;
  }
};

}  // namespace het::soft

#endif  // HET_TESTS_SOFT_DRIVERS_COMMON_GEMM_H_
