// Matmul with float32 activations and some rows: between memory and arithmetic.
//
// Four weight rows are dequantised piece by piece into the L1 cache and meet every row of x there,
// so weights are read and converted once. An output is the sum of the lanes of one accumulator and
// does not depend on the cut of the grid or on the number of rows.
#include "engine/kernels/native/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/matmul_some.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "engine/kernels/native/dequantize-inl.h"
#include "engine/kernels/native/reduce-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

constexpr size_t kPiece = 512;  // elements of a weight row that are dequantised at a time
constexpr size_t kTile =
    3;  // rows of x against four weight rows: as many accumulators as registers allow

// sums[r][j] += x[r] * w[j], as vectors, for kRows rows of x and four weight rows; all rows are
// kPiece long.
template <size_t kRows>
HWY_INLINE void DotTile(const float* HWY_RESTRICT w, const float* HWY_RESTRICT x, size_t count,
                        float* HWY_RESTRICT sums) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  hn::Vec<DF> s[kRows][4];
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
    HETLLM_UNROLL for (size_t j = 0; j < 4; ++j) s[r][j] = hn::Load(df, sums + (r * 4 + j) * lanes);
  }
  for (size_t i = 0; i < count; i += lanes) {
    hn::Vec<DF> vx[kRows];
    HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) vx[r] = hn::Load(df, x + r * kPiece + i);
    HETLLM_UNROLL for (size_t j = 0; j < 4; ++j) {
      const auto vw = hn::Load(df, w + j * kPiece + i);
      HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) s[r][j] = hn::MulAdd(vw, vx[r], s[r][j]);
    }
  }
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
    HETLLM_UNROLL for (size_t j = 0; j < 4; ++j) hn::Store(s[r][j], df, sums + (r * 4 + j) * lanes);
  }
}

// The activations as pieces [n_in / kPiece][rows][kPiece], padded with zeros: rows of x lie a power
// of two apart and would fall into the same few sets of the cache.
const float* CutX(const MatmulCall& m) {
  const size_t pieces = CeilDiv(m.n_in, kPiece);
  float* x = Scratch<float>(ScratchUse::kPackedRows, pieces * m.rows * kPiece);
  for (size_t p = 0; p < pieces; ++p) {
    const size_t count = std::min(kPiece, m.n_in - p * kPiece);
    for (size_t r = 0; r < m.rows; ++r) {
      float* to = x + (p * m.rows + r) * kPiece;
      std::copy_n(m.x + r * m.n_in + p * kPiece, count, to);
      std::fill(to + count, to + kPiece, 0.0f);
    }
  }
  return x;
}

template <WeightType kType>
void SomeRows(const MatmulCall& m, size_t begin, size_t end) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const size_t row_bytes = BytesOf<kType>(m.n_in);
  const float* x = CutX(m);
  float* piece = Scratch<float>(ScratchUse::kPackedWeights, 4 * kPiece);
  float* sums = Scratch<float>(ScratchUse::kPartials, m.rows * 4 * lanes);
  for (size_t o = begin; o < end; o += 4) {
    const size_t valid = std::min<size_t>(4, end - o);
    std::fill_n(sums, m.rows * 4 * lanes, 0.0f);
    for (size_t i = 0; i < m.n_in; i += kPiece) {
      const size_t count = std::min(kPiece, m.n_in - i), padded = CeilDiv(count, lanes) * lanes;
      for (size_t j = 0; j < 4; ++j) {
        const uint8_t* w = m.w + (o + std::min(j, valid - 1)) * row_bytes;
        for (size_t line = 0; line < BytesOf<kType>(count);
             line += 64) {  // the same piece of the next four rows
          hwy::Prefetch(w + BytesOf<kType>(i) + 4 * row_bytes + line);
        }
        Dequantize<kType>(w, i, count, piece + j * kPiece);
        std::fill(piece + j * kPiece + count, piece + j * kPiece + padded, 0.0f);
      }
      const float* rows = x + i * m.rows;
      for (size_t r = 0, tile; r < m.rows; r += tile) {
        tile = m.rows - r == 4 ? 2 : std::min(kTile, m.rows - r);  // 2 + 2 is faster than 3 + 1
        float* to = sums + r * 4 * lanes;
        if (tile == 3) DotTile<3>(piece, rows + r * kPiece, padded, to);
        if (tile == 2) DotTile<2>(piece, rows + r * kPiece, padded, to);
        if (tile == 1) DotTile<1>(piece, rows + r * kPiece, padded, to);
      }
    }
    for (size_t r = 0; r < m.rows; ++r) {
      const float* s = sums + r * 4 * lanes;
      alignas(16) float out[4];
      StoreSumsOf4(df, hn::Load(df, s), hn::Load(df, s + lanes), hn::Load(df, s + 2 * lanes),
                   hn::Load(df, s + 3 * lanes), out);
      float* y = m.y + r * m.n_out + o;
      for (size_t j = 0; j < valid; ++j) y[j] = m.accumulate ? y[j] + out[j] : out[j];
    }
  }
}

void SomeRowsT(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  ForType(type, [&]<WeightType kType>() { SomeRows<kType>(m, begin, end); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(SomeRowsT);
void MatmulSomeRows(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(SomeRowsT)(m, type, begin, end);
}

}  // namespace hetllm::native
#endif
