// Matmul with float32 activations and few rows (decode): bound by reading the weights, which are
// read once, in order.
//
// With several rows of x two weight rows at a time are expanded in registers and meet up to four of
// them, so that an expanded weight is used four times and an element of x twice; more rows of
// x find the two weight rows in the cache. An output is the sum of the lanes of few accumulators
// and does not depend on the cut of the grid, nor on the number of rows beyond one.
#include <cmath>
#include <limits>

#include "engine/kernels/native/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/matmul_few.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "engine/kernels/native/dequantize-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

constexpr size_t kLongRow = 8192;  // bytes
// Two weight rows are read side by side, and where they are read the next two are fetched: streams
// that end after a row defeat the hardware's prefetcher. Longer rows than the L1 cache likes are
// fetched a little ahead instead.
HWY_INLINE size_t FetchAhead(size_t row_bytes) {
  return row_bytes <= kLongRow ? 2 * row_bytes : 1024;
}

// Eight elements of x, float or half.
HWY_INLINE hn::Vec<D8> LoadX(const float* x) { return hn::LoadU(D8(), x); }
HWY_INLINE hn::Vec<D8> LoadX(const uint16_t* x) {
  return LoadHalves(D8(), reinterpret_cast<const uint8_t*>(x));
}

// x . w for a weight row of a plain type, as a vector of which the caller takes the sum; returns
// the elements done. Nothing is fetched ahead: one stream per thread is what the hardware's
// prefetcher is best at, and requests of our own halve the rate on Zen 4. Vectors of eight reach
// the rate of a plain read there, those of sixteen three quarters of it.
template <WeightType kType, typename X>
HWY_INLINE size_t DotPlain(const uint8_t* w, const X* HWY_RESTRICT x, size_t n_in,
                           hn::Vec<D8>& sum) {
  const D8 d8;
  const size_t lanes = hn::Lanes(d8), bytes = BytesOf<kType>(lanes);
  constexpr size_t kSteps = 8;
  hn::Vec<D8> sums[kSteps];
  HETLLM_UNROLL for (size_t step = 0; step < kSteps; ++step) sums[step] = hn::Zero(d8);
  size_t i = 0;
  for (; i + kSteps * lanes <= n_in; i += kSteps * lanes, w += kSteps * bytes) {
    HETLLM_UNROLL for (size_t step = 0; step < kSteps; ++step) {
      sums[step] = hn::MulAdd(LoadPlain<kType>(d8, w + step * bytes), LoadX(x + i + step * lanes),
                              sums[step]);
    }
  }
  for (; i + lanes <= n_in; i += lanes, w += bytes)
    sums[0] = hn::MulAdd(LoadPlain<kType>(d8, w), LoadX(x + i), sums[0]);
  for (size_t half = kSteps / 2; half > 0; half /= 2) {
    for (size_t step = 0; step < half; ++step) sums[step] = hn::Add(sums[step], sums[step + half]);
  }
  sum = sums[0];
  return i;
}

// An x of this many bytes shares the L1 cache badly with the weights that stream through it: it is
// read once for several weight rows then. A shorter one is read again for each, since few long
// streams are what the prefetcher likes.
constexpr size_t kLongX = 16384;
constexpr size_t kRowsOfLongX = 6;

// sums[j] = x . w[j], as vectors, for kRows weight rows behind each other; returns the elements
// done. The order of a row's sums does not depend on kRows.
template <WeightType kType, size_t kRows>
HWY_INLINE size_t DotPlainRows(const uint8_t* w, const float* HWY_RESTRICT x, size_t n_in,
                               hn::Vec<D8> (&sums)[kRows]) {
  const D8 d8;
  const size_t lanes = hn::Lanes(d8), bytes = BytesOf<kType>(lanes), row = BytesOf<kType>(n_in);
  hn::Vec<D8> odd[kRows];
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) sums[r] = odd[r] = hn::Zero(d8);
  size_t i = 0;
  for (; i + 2 * lanes <= n_in; i += 2 * lanes, w += 2 * bytes) {
    const auto x0 = hn::LoadU(d8, x + i), x1 = hn::LoadU(d8, x + i + lanes);
    HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
      sums[r] = hn::MulAdd(LoadPlain<kType>(d8, w + r * row), x0, sums[r]);
      odd[r] = hn::MulAdd(LoadPlain<kType>(d8, w + r * row + bytes), x1, odd[r]);
    }
  }
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) sums[r] = hn::Add(sums[r], odd[r]);
  return i;
}

// part[j] = x . w[j] for one block of two weight rows, without scale and kUnit.
template <WeightType kType>
HWY_INLINE void BlockDots(DF df, const uint8_t* w0, const uint8_t* w1, const float* HWY_RESTRICT x,
                          hn::Vec<DF> (&part)[2]) {
  const size_t lanes = hn::Lanes(df);
  part[0] = part[1] = hn::Zero(df);
  HETLLM_UNROLL for (size_t half = 0; half < 2; ++half, x += kBlock / 2) {
    const HalfBlock bytes0 = PrepareHalf<kType>(w0, half), bytes1 = PrepareHalf<kType>(w1, half);
    HETLLM_UNROLL for (size_t v = 0; v < kHalfVectors; ++v) {
      const auto vx = hn::LoadU(df, x + v * lanes);
      part[0] = hn::MulAdd(ExpandHalf<kType>(df, bytes0, half, v), vx, part[0]);
      part[1] = hn::MulAdd(ExpandHalf<kType>(df, bytes1, half, v), vx, part[1]);
    }
  }
}

// x . w for two weight rows of a quantised type, as vectors, without kUnit.
template <WeightType kType>
HWY_INLINE void DotBlocks(const uint8_t* w0, const uint8_t* w1, const float* HWY_RESTRICT x,
                          size_t blocks, hn::Vec<DF> (&sums)[2]) {
  const DF df;
  const D8 d8;
  constexpr size_t kBytes = Format<kType>::kBytes;
  const size_t ahead = FetchAhead(blocks * kBytes);
  hn::Vec<DF> part[2];
  sums[0] = sums[1] = hn::Zero(df);
  size_t b = 0;
  for (; b + kGroup <= blocks;
       b += kGroup, w0 += kGroup * kBytes, w1 += kGroup * kBytes, x += kGroup * kBlock) {
    HETLLM_UNROLL for (size_t line = 0; line < kGroup * kBytes; line += 64) {
      hwy::Prefetch(w0 + ahead + line);
      hwy::Prefetch(w1 + ahead + line);
    }
    hn::Vec<D8> scales0[kGroupVectors], scales1[kGroupVectors];
    LoadScales<kBytes>(d8, w0, scales0);
    LoadScales<kBytes>(d8, w1, scales1);
    alignas(32) float scales[2][kGroup];
    HETLLM_UNROLL for (size_t v = 0; v < kGroupVectors; ++v) {
      hn::Store(scales0[v], d8, scales[0] + v * hn::Lanes(d8));
      hn::Store(scales1[v], d8, scales[1] + v * hn::Lanes(d8));
    }
    KeepInMemory(scales[0]);
    HETLLM_UNROLL for (size_t i = 0; i < kGroup; ++i) {
      BlockDots<kType>(df, w0 + i * kBytes, w1 + i * kBytes, x + i * kBlock, part);
      sums[0] = hn::MulAdd(hn::Set(df, scales[0][i]), part[0], sums[0]);
      sums[1] = hn::MulAdd(hn::Set(df, scales[1][i]), part[1], sums[1]);
    }
  }
  for (; b < blocks; ++b, w0 += kBytes, w1 += kBytes, x += kBlock) {
    BlockDots<kType>(df, w0, w1, x, part);
    sums[0] = hn::MulAdd(BroadcastHalf(df, w0), part[0], sums[0]);
    sums[1] = hn::MulAdd(BroadcastHalf(df, w1), part[1], sums[1]);
  }
}

// Output o from the vector of its first `done` products, which were multiplied by 1 / unit.
template <WeightType kType>
HWY_INLINE void FinishPlain(const MatmulCall& m, size_t o, hn::Vec<D8> part, size_t done,
                            float unit = 1.0f) {
  float sum = hn::GetLane(hn::SumOfLanes(D8(), part)) * unit;
  if (done < m.n_in) sum += TailDot<kType>(m.w + o * BytesOf<kType>(m.n_in), m.x, done, m.n_in);
  m.y[o] = m.accumulate ? m.y[o] + sum : sum;
}

template <WeightType kType, size_t kRows>
HWY_INLINE void OutputsOfLongX(const MatmulCall& m, size_t o) {
  hn::Vec<D8> sums[kRows];
  const size_t done =
      DotPlainRows<kType, kRows>(m.w + o * BytesOf<kType>(m.n_in), m.x, m.n_in, sums);
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) FinishPlain<kType>(m, o + r, sums[r], done);
}

template <WeightType kType>
void OnePlainRow(const MatmulCall& m, size_t begin, size_t end) {
  size_t o = begin;
  if (m.n_in * sizeof(float) >= kLongX) {
    for (; o + kRowsOfLongX <= end; o += kRowsOfLongX) OutputsOfLongX<kType, kRowsOfLongX>(m, o);
    for (; o < end; ++o) OutputsOfLongX<kType, 1>(m, o);
  }
  for (; o < end; ++o) {
    hn::Vec<D8> part;
    const size_t done = DotPlain<kType>(m.w + o * BytesOf<kType>(m.n_in), m.x, m.n_in, part);
    FinishPlain<kType>(m, o, part, done);
  }
}

// Halves of x, times a power of two that brings the largest to [2^14, 2^15): none overflows, and
// what is lost below is nothing beside it. Returns what the products are to be multiplied by.
HWY_INLINE float RoundToHalves(const float* HWY_RESTRICT x, size_t n, uint16_t* HWY_RESTRICT out) {
  const D8 d8;
  const hn::Rebind<hwy::float16_t, D8> dh;
  const hn::Rebind<uint16_t, D8> du;
  const size_t lanes = hn::Lanes(d8), whole = n / lanes * lanes;
  auto largest = hn::Zero(d8);
  for (size_t i = 0; i < whole; i += lanes)
    largest = hn::Max(largest, hn::Abs(hn::LoadU(d8, x + i)));
  const float most = hn::GetLane(hn::MaxOfLanes(d8, largest));
  int exponent = 15;
  if (most > 0 && most <= std::numeric_limits<float>::max()) std::frexp(most, &exponent);
  exponent = std::max(exponent, -100);
  const auto times = hn::Set(d8, std::ldexp(1.0f, 15 - exponent));
  for (size_t i = 0; i < whole; i += lanes) {
    const auto half = hn::DemoteTo(dh, hn::Mul(hn::LoadU(d8, x + i), times));
    hn::StoreU(hn::BitCast(du, half), du, out + i);
  }
  return std::ldexp(1.0f, exponent - 15);
}

// With x in halves both fit the L1 cache, and one stream of weights stays one.
template <WeightType kType>
void OneRowOfHalves(const MatmulCall& m, size_t begin, size_t end) {
  auto* x = Scratch<uint16_t>(ScratchUse::kHalves, m.n_in);
  const float unit = RoundToHalves(m.x, m.n_in, x);
  for (size_t o = begin; o < end; ++o) {
    hn::Vec<D8> part;
    const size_t done = DotPlain<kType>(m.w + o * BytesOf<kType>(m.n_in), x, m.n_in, part);
    FinishPlain<kType>(m, o, part, done, unit);
  }
}

template <WeightType kType>
void OneRowOfBlocks(const MatmulCall& m, size_t begin, size_t end) {
  const DF df;
  const size_t row_bytes = BytesOf<kType>(m.n_in);
  for (size_t o = begin; o < end; o += 2) {
    const size_t valid = std::min<size_t>(2, end - o);
    const uint8_t* w[2] = {m.w + o * row_bytes, m.w + (o + valid - 1) * row_bytes};
    hn::Vec<DF> sums[2];
    DotBlocks<kType>(w[0], w[1], m.x, m.n_in / kBlock, sums);
    for (size_t j = 0; j < valid; ++j) {
      const float sum = hn::GetLane(hn::SumOfLanes(df, sums[j])) * kUnit<kType>;
      m.y[o + j] = m.accumulate ? m.y[o + j] + sum : sum;
    }
  }
}

constexpr size_t kTile = 4;  // rows of x

// sums[r][j] += x[r] * w[j] over one vector.
template <size_t kRows>
HWY_INLINE void MultiplyPair(DF df, hn::Vec<DF> w0, hn::Vec<DF> w1, const float* const (&x)[kRows],
                             size_t i, hn::Vec<DF> (&sums)[kRows][2]) {
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
    const auto vx = hn::LoadU(df, x[r] + i);
    sums[r][0] = hn::MulAdd(w0, vx, sums[r][0]);
    sums[r][1] = hn::MulAdd(w1, vx, sums[r][1]);
  }
}

// The part of two weight rows that vectors and blocks do; returns the elements done.
template <WeightType kType, size_t kRows>
HWY_INLINE size_t SumPair(const uint8_t* w0, const uint8_t* w1, size_t ahead,
                          const float* const (&x)[kRows], size_t n_in,
                          hn::Vec<DF> (&sums)[kRows][2]) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  if constexpr (Format<kType>::kElements == 1) {
    const size_t bytes = BytesOf<kType>(lanes);
    for (; i + lanes <= n_in; i += lanes, w0 += bytes, w1 += bytes) {
      hwy::Prefetch(w0 + ahead);
      hwy::Prefetch(w1 + ahead);
      MultiplyPair(df, LoadPlain<kType>(df, w0), LoadPlain<kType>(df, w1), x, i, sums);
    }
  } else {
    const auto unit = hn::Set(df, kUnit<kType>);
    for (; i < n_in; i += kBlock, w0 += Format<kType>::kBytes, w1 += Format<kType>::kBytes) {
      hwy::Prefetch(w0 + ahead);
      hwy::Prefetch(w1 + ahead);
      const auto scale0 = hn::Mul(BroadcastHalf(df, w0), unit),
                 scale1 = hn::Mul(BroadcastHalf(df, w1), unit);
      HETLLM_UNROLL for (size_t half = 0; half < 2; ++half) {
        const HalfBlock bytes0 = PrepareHalf<kType>(w0, half),
                        bytes1 = PrepareHalf<kType>(w1, half);
        HETLLM_UNROLL for (size_t v = 0; v < kHalfVectors; ++v) {
          MultiplyPair(df, hn::Mul(scale0, ExpandHalf<kType>(df, bytes0, half, v)),
                       hn::Mul(scale1, ExpandHalf<kType>(df, bytes1, half, v)), x,
                       i + half * kBlock / 2 + v * lanes, sums);
        }
      }
    }
  }
  return i;
}

// Outputs o and o + 1 (the same twice when `single`) of rows r .. r + kRows.
template <WeightType kType, size_t kRows>
HWY_INLINE void TilePair(const MatmulCall& m, size_t o, bool single, size_t r) {
  const DF df;
  const size_t row_bytes = BytesOf<kType>(m.n_in);
  const uint8_t *w0 = m.w + o * row_bytes, *w1 = single ? w0 : w0 + row_bytes;
  const float* x[kRows];
  hn::Vec<DF> sums[kRows][2];
  HETLLM_UNROLL for (size_t i = 0; i < kRows; ++i) {
    x[i] = m.x + (r + i) * m.n_in;
    sums[i][0] = sums[i][1] = hn::Zero(df);
  }
  const size_t done = SumPair<kType, kRows>(w0, w1, FetchAhead(row_bytes), x, m.n_in, sums);
  HETLLM_UNROLL for (size_t i = 0; i < kRows; ++i) {
    HETLLM_UNROLL for (size_t j = 0; j < 2; ++j) {
      if (j == 1 && single) continue;
      float sum = hn::GetLane(hn::SumOfLanes(df, sums[i][j]));
      if constexpr (Format<kType>::kElements == 1) {
        if (done < m.n_in) sum += TailDot<kType>(j == 0 ? w0 : w1, x[i], done, m.n_in);
      }
      float& y = m.y[(r + i) * m.n_out + o + j];
      y = m.accumulate ? y + sum : sum;
    }
  }
}

template <WeightType kType>
void SeveralRows(const MatmulCall& m, size_t begin, size_t end) {
  for (size_t o = begin; o < end; o += 2) {
    const bool single = o + 1 == end;
    size_t r = 0;
    for (; r + kTile <= m.rows; r += kTile) TilePair<kType, kTile>(m, o, single, r);
    switch (m.rows - r) {
      case 1:
        TilePair<kType, 1>(m, o, single, r);
        break;
      case 2:
        TilePair<kType, 2>(m, o, single, r);
        break;
      case 3:
        TilePair<kType, 3>(m, o, single, r);
        break;
      default:
        break;
    }
  }
}

template <WeightType kType>
void FewRows(const MatmulCall& m, size_t begin, size_t end) {
  if (m.rows == 1) {
    if constexpr (kPlain<kType>) {
      if (m.half) return OneRowOfHalves<kType>(m, begin, end);
      OnePlainRow<kType>(m, begin, end);
    } else {
      OneRowOfBlocks<kType>(m, begin, end);
    }
  } else {
    SeveralRows<kType>(m, begin, end);
  }
}

void FewRowsT(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  ForType(type, [&]<WeightType kType>() {
    // The K types are expanded through the cache (matmul_some.cc).
    if constexpr (kPlain<kType> || kSimpleBlocks<kType>) FewRows<kType>(m, begin, end);
  });
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
