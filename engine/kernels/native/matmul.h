// The forms of a matmul and what they share. matmul.cc chooses; matmul_few.cc is bound by memory,
// matmul_packed.cc by arithmetic, matmul_some.cc lies between; matmul_codes.h has the forms for
// int8 activations.
#ifndef HET_ENGINE_KERNELS_NATIVE_MATMUL_H_
#define HET_ENGINE_KERNELS_NATIVE_MATMUL_H_

#include <cstddef>
#include <cstdint>

#include "engine/kernels/kernels.h"
#include "engine/kernels/native/call.h"
#include "engine/kernels/native/formats.h"

namespace hetllm::native {

struct MatmulCall {
  const uint8_t* w;
  const float* x;       // float32 activations, or
  const uint8_t* x_q8;  // rows of Q8RowBytes(n_in)
  bool half;            // x is to be rounded to halves; one row
  float* y;
  size_t rows, n_in, n_out;
  bool accumulate;
};

// A rectangle of outputs.
struct MatmulRange {
  size_t columns_begin, columns_end, rows_begin, rows_end;
};

// Many rows, any rectangle that begins at the corner of a group.
void MatmulPacked(const MatmulCall& m, WeightType type, const MatmulRange& range);

// Outputs [begin, end) of all rows.
void MatmulSomeRows(const MatmulCall& m, WeightType type, size_t begin, size_t end);
void MatmulFewRows(const MatmulCall& m, WeightType type, size_t begin, size_t end);

// The elements [from, to) of x . w, one by one: what is left of a row whose length is no whole
// number of vectors.
template <WeightType kType>
inline float TailDot(const uint8_t* w, const float* x, size_t from, size_t to) {
  static_assert(Format<kType>::kElements == 1);
  float sum = 0.0f;
  for (size_t i = from; i < to; ++i) {
    float value;
    if constexpr (kType == WeightType::kF16) {
      value = LoadHalf(w + 2 * i);
    } else if constexpr (kType == WeightType::kBF16) {
      value = LoadBfloat(w + 2 * i);
    } else {
      std::memcpy(&value, w + 4 * i, sizeof(value));
    }
    sum += value * x[i];
  }
  return sum;
}

}  // namespace hetllm::native

#endif  // HET_ENGINE_KERNELS_NATIVE_MATMUL_H_
