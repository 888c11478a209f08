// Matmul with int8 activations and few rows (decode). A block of 32 is one exact int32 dot product,
// scaled by both scales. Each weight row streams through once per kTile rows of x; the repeats find
// it in the cache.
#include "engine/kernels/native/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/matmul_few_q8.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "engine/kernels/native/dot8-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

constexpr size_t kAhead = 1024;  // bytes that the weights are fetched before they are used
constexpr size_t kTile = 4;      // rows of x that share one pass over a weight row

// One row of quantised activations.
struct RowQ8 {
  const float* scales;
  const int8_t* values;
  const float* offsets;  // [blocks] what to subtract per unit of the weight scale; or null
};

HWY_INLINE RowQ8 RowOf(const MatmulCall& m, size_t r) {
  const uint8_t* row = m.x_q8 + r * Q8RowBytes(m.n_in);
  return {reinterpret_cast<const float*>(row),
          reinterpret_cast<const int8_t*>(row + m.n_in / kBlock * sizeof(float)), nullptr};
}

// RowQ8::offsets for all rows of x.
template <WeightType kType>
const float* OffsetsOf(const MatmulCall& m) {
  const size_t blocks = m.n_in / kBlock;
  float* offsets = Scratch<float>(ScratchUse::kRowScales, m.rows * blocks);
  for (size_t r = 0; r < m.rows; ++r) {
    const RowQ8 x = RowOf(m, r);
    for (size_t b = 0; b < blocks; ++b) {
      int32_t sum = 0;
      for (size_t i = 0; i < kBlock; ++i) sum += x.values[b * kBlock + i];
      offsets[r * blocks + b] = x.scales[b] * static_cast<float>(kOffset<kType> * sum);
    }
  }
  return offsets;
}

// out[r * stride] = x[r] . w, or += of it, for kRows rows of x. Blocks go in groups of kGroup,
// whose scales are converted and multiplied together.
template <WeightType kType, size_t kRows>
HWY_INLINE void Dots(const uint8_t* w, const RowQ8* x, size_t blocks, bool accumulate, float* out,
                     size_t stride) {
  const D8 df;
  const size_t lanes = hn::Lanes(df);
  constexpr size_t kBytes = Format<kType>::kBytes;
  constexpr size_t kChains = kRows == 1 ? 2 : 1;
  hn::Vec<D8> sum[kRows][kChains], offset[kRows];
  float rest[kRows] = {};
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
    offset[r] = hn::Zero(df);
    HETLLM_UNROLL for (size_t c = 0; c < kChains; ++c) sum[r][c] = hn::Zero(df);
  }
  size_t b = 0;
  for (; b + kGroup <= blocks; b += kGroup, w += kGroup * kBytes) {
    HETLLM_UNROLL for (size_t line = 0; line < kGroup * kBytes; line += 64)
        hwy::Prefetch(w + kAhead + line);
    hn::Vec<D8> scales[kGroupVectors];
    LoadScales<kBytes>(df, w, scales);
    alignas(32) float both[kRows][kGroup];
    HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
      HETLLM_UNROLL for (size_t v = 0; v < kGroupVectors; ++v) {
        hn::Store(hn::Mul(scales[v], hn::LoadU(df, x[r].scales + b + v * lanes)), df,
                  both[r] + v * lanes);
        if constexpr (kOffset<kType> != 0) {
          offset[r] = hn::MulAdd(scales[v], hn::LoadU(df, x[r].offsets + b + v * lanes), offset[r]);
        }
      }
    }
    KeepInMemory(both[0]);
    HETLLM_UNROLL for (size_t i = 0; i < kGroup; ++i) {
      const BlockQ8<kType> block = LoadBlock<kType>(w + i * kBytes);
      HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
        const auto dot = BlockDot(block, x[r].values + (b + i) * kBlock);
        sum[r][i % kChains] = hn::MulAdd(hn::Set(df, both[r][i]), dot, sum[r][i % kChains]);
      }
    }
  }
  for (; b < blocks; ++b, w += kBytes) {
    const BlockQ8<kType> block = LoadBlock<kType>(w);
    const float scale = LoadHalf(w);
    for (size_t r = 0; r < kRows; ++r) {
      const auto dot = BlockDot(block, x[r].values + b * kBlock);
      sum[r][0] = hn::MulAdd(hn::Set(df, scale * x[r].scales[b]), dot, sum[r][0]);
      if constexpr (kOffset<kType> != 0) rest[r] += scale * x[r].offsets[b];
    }
  }
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
    HETLLM_UNROLL for (size_t c = 1; c < kChains; ++c) sum[r][0] = hn::Add(sum[r][0], sum[r][c]);
    const float total = hn::GetLane(hn::SumOfLanes(df, hn::Sub(sum[r][0], offset[r]))) - rest[r];
    out[r * stride] = accumulate ? out[r * stride] + total : total;
  }
}

template <WeightType kType>
void FewRows(const MatmulCall& m, size_t begin, size_t end) {
  const size_t blocks = m.n_in / kBlock, row_bytes = blocks * Format<kType>::kBytes;
  const float* offsets = kOffset<kType> != 0 ? OffsetsOf<kType>(m) : nullptr;
  for (size_t o = begin; o < end; ++o) {
    const uint8_t* w = m.w + o * row_bytes;
    for (size_t r = 0; r < m.rows; r += kTile) {
      RowQ8 x[kTile];
      const size_t count = std::min(kTile, m.rows - r);
      for (size_t i = 0; i < count; ++i) {
        x[i] = RowOf(m, r + i);
        if (offsets != nullptr) x[i].offsets = offsets + (r + i) * blocks;
      }
      float* out = m.y + r * m.n_out + o;
      switch (count) {
        case 1:
          Dots<kType, 1>(w, x, blocks, m.accumulate, out, m.n_out);
          break;
        case 2:
          Dots<kType, 2>(w, x, blocks, m.accumulate, out, m.n_out);
          break;
        case 3:
          Dots<kType, 3>(w, x, blocks, m.accumulate, out, m.n_out);
          break;
        default:
          Dots<kType, kTile>(w, x, blocks, m.accumulate, out, m.n_out);
      }
    }
  }
}

void FewRowsQ8T(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  if (type == WeightType::kQ8_0) {
    FewRows<WeightType::kQ8_0>(m, begin, end);
  } else {
    FewRows<WeightType::kQ4_0>(m, begin, end);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(FewRowsQ8T);
void MatmulFewRowsQ8(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(FewRowsQ8T)(m, type, begin, end);
}

}  // namespace hetllm::native
#endif
