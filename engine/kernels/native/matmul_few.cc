// Matmul with float32 activations and few rows (decode): bound by reading the weights, which are read once.
//
// One row: four weight rows at once straight from their format. Several rows: four weight rows are dequantised piece by
// piece into the L1 cache and meet every row of x there. The sum of an output runs over the lanes of one vector and does not
// depend on the cut of the grid or on the number of rows beyond one.
#include "engine/kernels/native/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/matmul_few.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "engine/kernels/native/dequantize-inl.h"
#include "engine/kernels/native/reduce-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {

constexpr size_t kPiece = 512;  // elements of a weight row that are dequantised at a time

// The part of x . w that is done by vectors, for one weight row: adds to sum. Returns the elements done.
template <WeightType kType>
HWY_INLINE void DotStep(DF df, const uint8_t* w, const float* HWY_RESTRICT x, hn::Vec<DF>& sum) {
  const size_t lanes = hn::Lanes(df);
  if constexpr (kType == WeightType::kF32) {
    sum = hn::MulAdd(hn::LoadU(df, reinterpret_cast<const float*>(w)), hn::LoadU(df, x), sum);
  } else if constexpr (kType == WeightType::kF16) {
    sum = hn::MulAdd(LoadHalves(df, w), hn::LoadU(df, x), sum);
  } else if constexpr (kType == WeightType::kQ8_0) {
    auto part = hn::Mul(LoadInt8(df, w + 2), hn::LoadU(df, x));
    for (size_t k = lanes; k < kBlock; k += lanes) {
      part = hn::MulAdd(LoadInt8(df, w + 2 + k), hn::LoadU(df, x + k), part);
    }
    sum = hn::MulAdd(BroadcastHalf(df, w), part, sum);
  } else {
    auto part = hn::Zero(df);
    for (size_t k = 0; k < kBlock / 2; k += lanes) {
      hn::Vec<DF> low, high;
      LoadNibbles(df, w + 2 + k, low, high);
      part = hn::MulAdd(low, hn::LoadU(df, x + k), part);
      part = hn::MulAdd(high, hn::LoadU(df, x + k + kBlock / 2), part);
    }
    sum = hn::MulAdd(BroadcastHalf(df, w), part, sum);
  }
}

// out[j] = x . w[j] for four weight rows.
template <WeightType kType>
HWY_INLINE void Dot4(const uint8_t* const w[4], const float* HWY_RESTRICT x, size_t n_in, float* out) {
  const DF df;
  constexpr size_t kElements = Format<kType>::kElements;
  const size_t step = kElements == 1 ? hn::Lanes(df) : kElements;
  const size_t bytes = BytesOf<kType>(step);
  const uint8_t *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
  auto s0 = hn::Zero(df), s1 = hn::Zero(df), s2 = hn::Zero(df), s3 = hn::Zero(df);
  size_t i = 0;
  for (; i + step <= n_in; i += step) {
    DotStep<kType>(df, w0, x + i, s0);
    DotStep<kType>(df, w1, x + i, s1);
    DotStep<kType>(df, w2, x + i, s2);
    DotStep<kType>(df, w3, x + i, s3);
    w0 += bytes, w1 += bytes, w2 += bytes, w3 += bytes;
  }
  StoreSumsOf4(df, s0, s1, s2, s3, out);
  if constexpr (kElements == 1) {
    for (size_t j = 0; i < n_in && j < 4; ++j) out[j] += TailDot<kType>(w[j], x, i, n_in);
  }
}

template <WeightType kType>
void OneRow(const MatmulCall& m, size_t begin, size_t end) {
  const size_t row_bytes = BytesOf<kType>(m.n_in);
  for (size_t o = begin; o < end; o += 4) {
    const size_t valid = std::min<size_t>(4, end - o);
    const uint8_t* w[4];
    for (size_t j = 0; j < 4; ++j) w[j] = m.w + (o + std::min(j, valid - 1)) * row_bytes;
    alignas(16) float out[4];
    Dot4<kType>(w, m.x, m.n_in, out);
    for (size_t j = 0; j < valid; ++j) m.y[o + j] = m.accumulate ? m.y[o + j] + out[j] : out[j];
  }
}

// sums[r * 4 + j] += vectors of x[r] * w[j] for kRows rows and four dequantised weight rows, `count` elements.
template <size_t kRows>
HWY_INLINE void DotTile(const float* HWY_RESTRICT w, const float* HWY_RESTRICT x, size_t x_stride, size_t count,
                        float* HWY_RESTRICT sums) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  hn::Vec<DF> s[kRows][4];
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t j = 0; j < 4; ++j) s[r][j] = hn::Load(df, sums + (r * 4 + j) * lanes);
  }
  for (size_t i = 0; i < count; i += lanes) {
    hn::Vec<DF> vx[kRows];
    for (size_t r = 0; r < kRows; ++r) vx[r] = hn::LoadU(df, x + r * x_stride + i);
    for (size_t j = 0; j < 4; ++j) {
      const auto vw = hn::Load(df, w + j * kPiece + i);
      for (size_t r = 0; r < kRows; ++r) s[r][j] = hn::MulAdd(vw, vx[r], s[r][j]);
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t j = 0; j < 4; ++j) hn::Store(s[r][j], df, sums + (r * 4 + j) * lanes);
  }
}

template <WeightType kType>
void SeveralRows(const MatmulCall& m, size_t begin, size_t end) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const size_t row_bytes = BytesOf<kType>(m.n_in);
  const size_t whole = m.n_in / lanes * lanes;
  float* piece = Scratch<float>(ScratchUse::kPackedWeights, 4 * kPiece);
  float* sums = Scratch<float>(ScratchUse::kPartials, m.rows * 4 * lanes);
  for (size_t o = begin; o < end; o += 4) {
    const size_t valid = std::min<size_t>(4, end - o);
    const uint8_t* w[4];
    for (size_t j = 0; j < 4; ++j) w[j] = m.w + (o + std::min(j, valid - 1)) * row_bytes;
    std::fill_n(sums, m.rows * 4 * lanes, 0.0f);
    for (size_t i = 0; i < whole; i += kPiece) {
      const size_t count = std::min(kPiece, whole - i);
      for (size_t j = 0; j < 4; ++j) Dequantize<kType>(w[j], i, count, piece + j * kPiece);
      size_t r = 0;
      for (; r + 3 <= m.rows; r += 3) DotTile<3>(piece, m.x + r * m.n_in + i, m.n_in, count, sums + r * 4 * lanes);
      if (r + 2 == m.rows) DotTile<2>(piece, m.x + r * m.n_in + i, m.n_in, count, sums + r * 4 * lanes);
      if (r + 1 == m.rows) DotTile<1>(piece, m.x + r * m.n_in + i, m.n_in, count, sums + r * 4 * lanes);
    }
    for (size_t r = 0; r < m.rows; ++r) {
      const float* s = sums + r * 4 * lanes;
      alignas(16) float out[4];
      StoreSumsOf4(df, hn::Load(df, s), hn::Load(df, s + lanes), hn::Load(df, s + 2 * lanes),
                   hn::Load(df, s + 3 * lanes), out);
      float* y = m.y + r * m.n_out + o;
      for (size_t j = 0; j < valid; ++j) {
        if constexpr (Format<kType>::kElements == 1) {
          if (whole < m.n_in) out[j] += TailDot<kType>(w[j], m.x + r * m.n_in, whole, m.n_in);
        }
        y[j] = m.accumulate ? y[j] + out[j] : out[j];
      }
    }
  }
}

template <WeightType kType>
void FewRows(const MatmulCall& m, size_t begin, size_t end) {
  if (m.rows == 1) {
    OneRow<kType>(m, begin, end);
  } else {
    SeveralRows<kType>(m, begin, end);
  }
}

void FewRowsT(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  switch (type) {
    case WeightType::kF32:
      return FewRows<WeightType::kF32>(m, begin, end);
    case WeightType::kF16:
      return FewRows<WeightType::kF16>(m, begin, end);
    case WeightType::kQ8_0:
      return FewRows<WeightType::kQ8_0>(m, begin, end);
    case WeightType::kQ4_0:
      return FewRows<WeightType::kQ4_0>(m, begin, end);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(FewRowsT);
void MatmulFewRows(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(FewRowsT)(m, type, begin, end);
}

}  // namespace hetllm::native
#endif
