// Matmul with int8 activations and many rows (prefill): bound by arithmetic.
//
// Like matmul_packed.cc, but the products of a block of 32 are exact integers, summed in the order
// of n_in, and only then scaled. Weights are packed so that one 32-bit lane holds what one output
// multiplies next: two int16 (Q8_0) or four nibbles as bytes (Q4_0), against the same two or four
// elements of a row of x in every lane. Needs pairwise multiply-add, whose lane order Highway
// leaves open: x86 has it, other targets take the form for few rows.
#include "engine/kernels/native/grids.h"
#include "engine/kernels/native/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/matmul_packed_q8.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "engine/kernels/native/dot8-inl.h"
#include "engine/kernels/native/transpose-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

#if HETLLM_BYTE_PAIRS

using DWords = hn::Repartition<int16_t, D8>;
using DInts = hn::Repartition<int32_t, D8>;

constexpr size_t kTileRows = 4;  // with the sums, weights and products in 16 registers
constexpr size_t kTileColumns = 2 * hn::MaxLanes(D8());
constexpr size_t kDepth = 16;  // blocks
static_assert(kPackedColumns % kTileColumns == 0 && kPackedRows % kTileRows == 0);

// 32-bit units of a packed block per output: 16 pairs of int16 or 8 quads of bytes.
template <WeightType kType>
constexpr size_t kUnits = kType == WeightType::kQ8_0 ? 16 : 8;

// What one turn over kDepth blocks works on.
struct Panels {
  const int32_t* x;  // [row][blocks * kUnits] units of x
  size_t x_stride;
  const float* x_scales;  // [row][blocks]
  const int32_t* x_sums;  // [row][blocks] of the block's elements
  const int32_t* w;       // [panel][blocks * kUnits][kTileColumns] units
  const float* w_scales;  // [panel][blocks][kTileColumns]
  size_t blocks;
};

// Integer sums to scaled floats: out += w_scale * x_scale * sum, for one vector of outputs.
template <WeightType kType, class V>
HWY_INLINE void AddScaled(V sum, int32_t x_sum, float x_scale, const float* HWY_RESTRICT w_scales,
                          float* HWY_RESTRICT out) {
  const D8 df;
  const DInts d32;
  hn::Vec<DInts> exact;
  if constexpr (kType == WeightType::kQ8_0) {
    exact = sum;
  } else {
    auto unused = hn::Zero(d32);
    exact = hn::ReorderWidenMulAccumulate(d32, sum, hn::Set(DWords(), 1),
                                          hn::Set(d32, -kOffset<kType> * x_sum), unused);
  }
  const auto scale = hn::Mul(hn::Load(df, w_scales), hn::Set(df, x_scale));
  hn::Store(hn::MulAdd(scale, hn::ConvertTo(df, exact), hn::Load(df, out)), df, out);
}

// Keeps a sum in its register: left alone, the compiler reorders the additions of all unrolled
// steps, for which it stores every product.
template <class V>
HWY_INLINE void InRegister(V& sum) {
  __asm__("" : "+x"(sum.raw));
}

// tile[kTileRows][kTileColumns] = rows of x times one panel.
template <WeightType kType>
HWY_INLINE void MultiplyTile(const Panels& p, const size_t (&rows)[kTileRows], size_t panel,
                             float* HWY_RESTRICT tile) {
  const DInts d32;
  const DWords d16;
  const DBytes d8;
  const size_t lanes = hn::Lanes(d32);
  std::fill_n(tile, kTileRows * kTileColumns, 0.0f);
  const int32_t* x[kTileRows];
  HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) x[r] = p.x + rows[r] * p.x_stride;
  const int32_t* w = p.w + panel * p.blocks * kUnits<kType> * kTileColumns;
  const float* w_scales = p.w_scales + panel * p.blocks * kTileColumns;
  for (size_t b = 0; b < p.blocks; ++b, w_scales += kTileColumns) {
    // Q8_0 sums int32; Q4_0 int16, which eight pairs of products up to 2 * 15 * 127 do not
    // overflow.
    using DSum = std::conditional_t<kType == WeightType::kQ8_0, DInts, DWords>;
    hn::Vec<DSum> low[kTileRows], high[kTileRows];
    HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) low[r] = high[r] = hn::Zero(DSum());
    HETLLM_UNROLL for (size_t k = 0; k < kUnits<kType>; ++k, w += kTileColumns) {
      const auto w0 = hn::Load(d32, w), w1 = hn::Load(d32, w + lanes);
      HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
        const auto vx = hn::Set(d32, x[r][b * kUnits<kType> + k]);
        if constexpr (kType == WeightType::kQ8_0) {
          auto unused = hn::Zero(d32);
          low[r] = hn::ReorderWidenMulAccumulate(d32, hn::BitCast(d16, vx), hn::BitCast(d16, w0),
                                                 low[r], unused);
          high[r] = hn::ReorderWidenMulAccumulate(d32, hn::BitCast(d16, vx), hn::BitCast(d16, w1),
                                                  high[r], unused);
        } else {
          low[r] = hn::Add(low[r], PairSums(hn::BitCast(d8, w0), hn::BitCast(d8, vx)));
          high[r] = hn::Add(high[r], PairSums(hn::BitCast(d8, w1), hn::BitCast(d8, vx)));
        }
        InRegister(low[r]);
        InRegister(high[r]);
      }
    }
    HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
      const size_t at = rows[r] * p.blocks + b;
      float* out = tile + r * kTileColumns;
      AddScaled<kType>(low[r], p.x_sums[at], p.x_scales[at], w_scales, out);
      AddScaled<kType>(high[r], p.x_sums[at], p.x_scales[at], w_scales + lanes, out + lanes);
    }
  }
}

// y = (add ? y : 0) + the first rows and columns of a tile.
HWY_INLINE void AddTile(const float* HWY_RESTRICT tile, float* HWY_RESTRICT y, size_t y_stride,
                        size_t rows, size_t columns, bool add) {
  const D8 df;
  const size_t lanes = hn::Lanes(df);
  for (size_t r = 0; r < rows; ++r, tile += kTileColumns, y += y_stride) {
    if (columns == kTileColumns) {
      auto low = hn::Load(df, tile), high = hn::Load(df, tile + lanes);
      if (add) low = hn::Add(low, hn::LoadU(df, y)), high = hn::Add(high, hn::LoadU(df, y + lanes));
      hn::StoreU(low, df, y);
      hn::StoreU(high, df, y + lanes);
    } else {
      for (size_t c = 0; c < columns; ++c) y[c] = add ? y[c] + tile[c] : tile[c];
    }
  }
}

// Weight rows [begin, end), blocks [from, from + blocks): panels of units and of scales; missing
// rows are zero.
template <WeightType kType>
void PackWeights(const MatmulCall& m, size_t begin, size_t end, size_t from, size_t blocks,
                 int32_t* units, float* scales) {
  constexpr size_t kBytes = Format<kType>::kBytes;
  const DWords d16;
  const DBytes d8;
  const hn::Rebind<int8_t, DWords> half;
  const size_t row_bytes = m.n_in / kBlock * kBytes;
  alignas(64) int32_t plain[4][kDepth * kUnits<kType>];
  for (size_t o = begin; o < end; o += kTileColumns) {
    for (size_t i = 0; i < kTileColumns; i += 4) {
      const float* rows[4];
      for (size_t j = 0; j < 4; ++j) {
        rows[j] = reinterpret_cast<const float*>(plain[j]);
        if (o + i + j >= end) {
          std::fill_n(plain[j], blocks * kUnits<kType>, 0);
          for (size_t b = 0; b < blocks; ++b) scales[b * kTileColumns + i + j] = 0.0f;
          continue;
        }
        const uint8_t* w = m.w + (o + i + j) * row_bytes + from * kBytes;
        for (size_t line = 0; line < blocks * kBytes; line += 64) {
          hwy::Prefetch(w + 4 * row_bytes + line);  // the next four rows
        }
        for (size_t b = 0; b < blocks; ++b, w += kBytes) {
          scales[b * kTileColumns + i + j] = LoadHalf(w);
          if constexpr (kType == WeightType::kQ8_0) {
            auto* to = reinterpret_cast<int16_t*>(plain[j] + b * kUnits<kType>);
            for (size_t k = 0; k < kBlock; k += hn::Lanes(d16)) {
              hn::Store(
                  hn::PromoteTo(d16, hn::LoadU(half, reinterpret_cast<const int8_t*>(w) + 2 + k)),
                  d16, to + k);
            }
          } else {
            auto* to = reinterpret_cast<int8_t*>(plain[j] + b * kUnits<kType>);
            const BlockQ8<kType> block = LoadBlock<kType>(w);
            for (size_t n = 0; n < kByteVectors; ++n)
              hn::Store(block.value[n], d8, to + n * hn::Lanes(d8));
          }
        }
      }
      TransposeFour(rows, blocks * kUnits<kType>, reinterpret_cast<float*>(units) + i,
                    kTileColumns);
    }
    units += blocks * kUnits<kType> * kTileColumns;
    scales += blocks * kTileColumns;
  }
}

// Rows [begin, end) of x, blocks [from, from + blocks).
template <WeightType kType>
void PackRows(const MatmulCall& m, size_t begin, size_t end, size_t from, size_t blocks,
              int32_t* units, float* scales, int32_t* sums) {
  for (size_t r = begin; r < end; ++r) {
    const uint8_t* row = m.x_q8 + r * Q8RowBytes(m.n_in);
    const auto* values =
        reinterpret_cast<const int8_t*>(row + m.n_in / kBlock * sizeof(float)) + from * kBlock;
    std::memcpy(scales, row + from * sizeof(float), blocks * sizeof(float));
    if constexpr (kType == WeightType::kQ8_0) {
      auto* words = reinterpret_cast<int16_t*>(units);
      for (size_t i = 0; i < blocks * kBlock; ++i) words[i] = values[i];
    } else {
      std::memcpy(units, values, blocks * kBlock);
      for (size_t b = 0; b < blocks; ++b) {
        int32_t sum = 0;
        for (size_t i = 0; i < kBlock; ++i) sum += values[b * kBlock + i];
        sums[b] = sum;
      }
    }
    units += blocks * kUnits<kType>;
    scales += blocks;
    sums += blocks;
  }
}

template <WeightType kType>
void Packed(const MatmulCall& m, const MatmulRange& range) {
  const size_t rows = range.rows_end - range.rows_begin;
  auto* x = Scratch<int32_t>(ScratchUse::kPackedRows, rows * kDepth * kUnits<kType>);
  auto* x_scales = Scratch<float>(ScratchUse::kRowScales, rows * kDepth);
  auto* x_sums = Scratch<int32_t>(ScratchUse::kRowSums, rows * kDepth);
  auto* w = Scratch<int32_t>(ScratchUse::kPackedWeights, kPackedColumns * kDepth * kUnits<kType>);
  auto* w_scales = Scratch<float>(ScratchUse::kWeightScales, kPackedColumns * kDepth);
  alignas(64) float tile[kTileRows * kTileColumns];
  for (size_t from = 0; from < m.n_in / kBlock; from += kDepth) {
    const size_t blocks = std::min(kDepth, m.n_in / kBlock - from);
    const bool add = m.accumulate || from > 0;
    PackRows<kType>(m, range.rows_begin, range.rows_end, from, blocks, x, x_scales, x_sums);
    const Panels panels{x, blocks * kUnits<kType>, x_scales, x_sums, w, w_scales, blocks};
    for (size_t o = range.columns_begin; o < range.columns_end; o += kPackedColumns) {
      const size_t columns = std::min(kPackedColumns, range.columns_end - o);
      PackWeights<kType>(m, o, o + columns, from, blocks, w, w_scales);
      for (size_t c = 0; c < columns; c += kTileColumns) {
        for (size_t r = 0; r < rows; r += kTileRows) {
          size_t tile_rows[kTileRows];
          for (size_t i = 0; i < kTileRows; ++i) tile_rows[i] = std::min(r + i, rows - 1);
          MultiplyTile<kType>(panels, tile_rows, c / kTileColumns, tile);
          AddTile(tile, m.y + (range.rows_begin + r) * m.n_out + o + c, m.n_out,
                  std::min(kTileRows, rows - r), std::min(kTileColumns, columns - c), add);
        }
      }
    }
  }
}

void PackedQ8T(const MatmulCall& m, WeightType type, const MatmulRange& range) {
  if (type == WeightType::kQ8_0) {
    Packed<WeightType::kQ8_0>(m, range);
  } else {
    Packed<WeightType::kQ4_0>(m, range);
  }
}

#else

void PackedQ8T(const MatmulCall& m, WeightType type, const MatmulRange& range) {
  MatmulCall part = m;
  part.x_q8 += range.rows_begin * Q8RowBytes(m.n_in);
  part.y += range.rows_begin * m.n_out;
  part.rows = range.rows_end - range.rows_begin;
  MatmulFewRowsQ8(part, type, range.columns_begin, range.columns_end);
}

#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(PackedQ8T);
void MatmulPackedQ8(const MatmulCall& m, WeightType type, const MatmulRange& range) {
  HWY_DYNAMIC_DISPATCH(PackedQ8T)(m, type, range);
}

}  // namespace hetllm::native
#endif
