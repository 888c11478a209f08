// Matmul with float32 activations and few rows (decode): bound by reading the weights, which are
// read once, in order.
//
// One row: each weight row is expanded in registers. Several rows: four weight rows are dequantised
// piece by piece into the L1 cache and meet every row of x there. An output is the sum of the lanes
// of few accumulators and does not depend on the cut of the grid, nor on the number of rows beyond
// one.
#include "engine/kernels/native/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/matmul_few.cc"
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

// How far ahead of the arithmetic the weights are fetched. The hardware alone loses its stream
// while a block is expanded.
constexpr size_t kAhead = 1024;

// sum += x . w over one vector of a plain type.
template <WeightType kType>
HWY_INLINE void DotStep(DF df, const uint8_t* w, const float* HWY_RESTRICT x, hn::Vec<DF>& sum) {
  if constexpr (kType == WeightType::kF32) {
    sum = hn::MulAdd(hn::LoadU(df, reinterpret_cast<const float*>(w)), hn::LoadU(df, x), sum);
  } else {
    sum = hn::MulAdd(LoadHalves(df, w), hn::LoadU(df, x), sum);
  }
}

template <WeightType kType>
HWY_INLINE float DotPlain(const uint8_t* w, const float* HWY_RESTRICT x, size_t n_in) {
  const DF df;
  const size_t lanes = hn::Lanes(df), bytes = BytesOf<kType>(lanes);
  auto s0 = hn::Zero(df), s1 = hn::Zero(df), s2 = hn::Zero(df), s3 = hn::Zero(df);
  size_t i = 0;
  const uint8_t* at = w;
  for (; i + 4 * lanes <= n_in; i += 4 * lanes, at += 4 * bytes) {
    for (size_t line = 0; line < 4 * bytes; line += 64) hwy::Prefetch(at + kAhead + line);
    DotStep<kType>(df, at, x + i, s0);
    DotStep<kType>(df, at + bytes, x + i + lanes, s1);
    DotStep<kType>(df, at + 2 * bytes, x + i + 2 * lanes, s2);
    DotStep<kType>(df, at + 3 * bytes, x + i + 3 * lanes, s3);
  }
  for (; i + lanes <= n_in; i += lanes, at += bytes) DotStep<kType>(df, at, x + i, s0);
  const float sum = hn::GetLane(hn::SumOfLanes(df, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  return i < n_in ? sum + TailDot<kType>(w, x, i, n_in) : sum;
}

// The dot product of one block, without its scale and kUnit.
template <WeightType kType>
HWY_INLINE hn::Vec<DF> BlockDot(DF df, const uint8_t* w, const float* HWY_RESTRICT x) {
  const size_t lanes = hn::Lanes(df);
  hn::Vec<DF> elements[kVectors];
  ExpandBlock<kType>(w, elements);
  auto sum = hn::Mul(elements[0], hn::LoadU(df, x));
  HETLLM_UNROLL for (size_t v = 1; v < kVectors; ++v) {
    sum = hn::MulAdd(elements[v], hn::LoadU(df, x + v * lanes), sum);
  }
  return sum;
}

template <WeightType kType>
HWY_INLINE float DotBlocks(const uint8_t* w, const float* HWY_RESTRICT x, size_t blocks) {
  const DF df;
  const D8 d8;
  constexpr size_t kBytes = Format<kType>::kBytes;
  auto even = hn::Zero(df), odd = hn::Zero(df);
  size_t b = 0;
  for (; b + kGroup <= blocks; b += kGroup, w += kGroup * kBytes, x += kGroup * kBlock) {
    HETLLM_UNROLL for (size_t line = 0; line < kGroup * kBytes; line += 64)
        hwy::Prefetch(w + kAhead + line);
    hn::Vec<D8> vectors[kGroupVectors];
    LoadScales<kBytes>(d8, w, vectors);
    alignas(32) float scales[kGroup];
    HETLLM_UNROLL for (size_t v = 0; v < kGroupVectors; ++v)
        hn::Store(vectors[v], d8, scales + v * hn::Lanes(d8));
    KeepInMemory(scales);
    HETLLM_UNROLL for (size_t i = 0; i < kGroup; i += 2) {
      even = hn::MulAdd(hn::Set(df, scales[i]), BlockDot<kType>(df, w + i * kBytes, x + i * kBlock),
                        even);
      odd = hn::MulAdd(hn::Set(df, scales[i + 1]),
                       BlockDot<kType>(df, w + (i + 1) * kBytes, x + (i + 1) * kBlock), odd);
    }
  }
  for (; b < blocks; ++b, w += kBytes, x += kBlock) {
    even = hn::MulAdd(BroadcastHalf(df, w), BlockDot<kType>(df, w, x), even);
  }
  return hn::GetLane(hn::SumOfLanes(df, hn::Add(even, odd))) * kUnit<kType>;
}

template <WeightType kType>
void OneRow(const MatmulCall& m, size_t begin, size_t end) {
  const size_t row_bytes = BytesOf<kType>(m.n_in);
  for (size_t o = begin; o < end; ++o) {
    const uint8_t* w = m.w + o * row_bytes;
    float sum;
    if constexpr (Format<kType>::kElements == 1) {
      sum = DotPlain<kType>(w, m.x, m.n_in);
    } else {
      sum = DotBlocks<kType>(w, m.x, m.n_in / kBlock);
    }
    m.y[o] = m.accumulate ? m.y[o] + sum : sum;
  }
}

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
void SeveralRows(const MatmulCall& m, size_t begin, size_t end) {
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
      size_t r = 0;
      for (; r + kTile <= m.rows; r += kTile)
        DotTile<kTile>(piece, rows + r * kPiece, padded, sums + r * 4 * lanes);
      if (r + 2 == m.rows) DotTile<2>(piece, rows + r * kPiece, padded, sums + r * 4 * lanes);
      if (r + 1 == m.rows) DotTile<1>(piece, rows + r * kPiece, padded, sums + r * 4 * lanes);
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

}  // namespace
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
