// Matmul with float32 activations and many rows (prefill): bound by arithmetic.
//
// The blocking of Goto and van de Geijn (2008): a tile of kTileRows x kTileColumns outputs lives in
// registers and walks along n_in over packed panels. For each kDepth elements of n_in the rows of x
// are packed once (they stay in the L2 cache), then column block by column block the weights are
// dequantised and packed (64 KiB, one panel at a time in the L1 cache). An output is summed in the
// order of n_in within kDepth, and these sums in order: it depends neither on the cut of the grid
// nor on the number of rows.
#include "engine/kernels/native/grids.h"
#include "engine/kernels/native/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/matmul_packed.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "engine/kernels/native/dequantize-inl.h"
#include "engine/kernels/native/transpose-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

// As many accumulators as the registers hold, next to two weight vectors and one element of x.
#if HWY_TARGET <= HWY_AVX3
constexpr size_t kTileRows = 12;
#else
constexpr size_t kTileRows = 6;
#endif
constexpr size_t kTileColumns = 2 * hn::MaxLanes(DF());
constexpr size_t kDepth = 256;
static_assert(kPackedColumns % kTileColumns == 0 && kPackedRows % kTileRows == 0);

// y tile = (add ? y : 0) + x panel * w panel; `rows` and `columns` of the tile are there.
HWY_INLINE void MultiplyTile(const float* HWY_RESTRICT x, const float* HWY_RESTRICT w, size_t depth,
                             float* HWY_RESTRICT y, size_t y_stride, size_t rows, size_t columns,
                             bool add) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  hn::Vec<DF> low[kTileRows], high[kTileRows];
  HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) low[r] = high[r] = hn::Zero(df);
  for (size_t r = 0; r < rows; ++r) hwy::Prefetch(y + r * y_stride);
  for (size_t k = 0; k < depth; ++k, x += kTileRows, w += kTileColumns) {
    const auto w0 = hn::Load(df, w), w1 = hn::Load(df, w + lanes);
    HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
      const auto vx = hn::Set(df, x[r]);
      low[r] = hn::MulAdd(vx, w0, low[r]);
      high[r] = hn::MulAdd(vx, w1, high[r]);
    }
  }
  if (rows == kTileRows && columns == kTileColumns) {
    HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r, y += y_stride) {
      if (add) {
        low[r] = hn::Add(low[r], hn::LoadU(df, y));
        high[r] = hn::Add(high[r], hn::LoadU(df, y + lanes));
      }
      hn::StoreU(low[r], df, y);
      hn::StoreU(high[r], df, y + lanes);
    }
    return;
  }
  HWY_ALIGN float tile[kTileRows * kTileColumns];
  HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
    hn::Store(low[r], df, tile + r * kTileColumns);
    hn::Store(high[r], df, tile + r * kTileColumns + lanes);
  }
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      const float sum = tile[r * kTileColumns + c];
      y[r * y_stride + c] = add ? sum + y[r * y_stride + c] : sum;
    }
  }
}

// Rows [begin, end) of x, elements [from, from + depth): panels [k][kTileRows], the last one padded
// with zeros.
void PackRows(const MatmulCall& m, size_t begin, size_t end, size_t from, size_t depth,
              float* HWY_RESTRICT packed) {
  for (size_t r = begin; r < end; r += kTileRows, packed += kTileRows * depth) {
    size_t i = 0;
    for (; i + 4 <= kTileRows && r + i + 4 <= end; i += 4) {
      const float* rows[4];
      for (size_t j = 0; j < 4; ++j) rows[j] = m.x + (r + i + j) * m.n_in + from;
      TransposeFour(rows, depth, packed + i, kTileRows);
    }
    for (; i < kTileRows; ++i) {
      if (r + i < end) {
        const float* row = m.x + (r + i) * m.n_in + from;
        for (size_t k = 0; k < depth; ++k) packed[k * kTileRows + i] = row[k];
      } else {
        for (size_t k = 0; k < depth; ++k) packed[k * kTileRows + i] = 0.0f;
      }
    }
  }
}

// Weight rows [begin, end), elements [from, from + depth): panels [k][kTileColumns], the last one
// padded with zeros.
template <WeightType kType>
void PackWeights(const MatmulCall& m, size_t begin, size_t end, size_t from, size_t depth,
                 float* HWY_RESTRICT packed) {
  const size_t row_bytes = BytesOf<kType>(m.n_in);
  alignas(64) float plain[4][kDepth];
  for (size_t o = begin; o < end; o += kTileColumns, packed += kTileColumns * depth) {
    for (size_t i = 0; i < kTileColumns; i += 4) {
      const float* rows[4];
      for (size_t j = 0; j < 4; ++j) {
        rows[j] = plain[j];
        if (o + i + j >= end) {
          std::fill_n(plain[j], depth, 0.0f);
          continue;
        }
        const uint8_t* row = m.w + (o + i + j) * row_bytes;
        for (size_t line = 0; line < BytesOf<kType>(depth); line += 64) {
          hwy::Prefetch(row + BytesOf<kType>(from) + 4 * row_bytes + line);  // the next four rows
        }
        if constexpr (kType == WeightType::kF32) {
          rows[j] = reinterpret_cast<const float*>(row) + from;
        } else {
          Dequantize<kType>(row, from, depth, plain[j]);
        }
      }
      if constexpr (kTileColumns >= 4) {
        TransposeFour(rows, depth, packed + i, kTileColumns);
      } else {
        for (size_t k = 0; k < depth; ++k) {
          for (size_t j = 0; j < kTileColumns; ++j) packed[k * kTileColumns + j] = rows[j][k];
        }
      }
    }
  }
}

template <WeightType kType>
void Packed(const MatmulCall& m, const MatmulRange& range) {
  float* x = Scratch<float>(ScratchUse::kPackedRows,
                            (range.rows_end - range.rows_begin + kTileRows) * kDepth);
  float* w = Scratch<float>(ScratchUse::kPackedWeights, kPackedColumns * kDepth);
  for (size_t from = 0; from < m.n_in; from += kDepth) {
    const size_t depth = std::min(kDepth, m.n_in - from);
    const bool add = m.accumulate || from > 0;
    PackRows(m, range.rows_begin, range.rows_end, from, depth, x);
    for (size_t o = range.columns_begin; o < range.columns_end; o += kPackedColumns) {
      const size_t columns = std::min(kPackedColumns, range.columns_end - o);
      PackWeights<kType>(m, o, o + columns, from, depth, w);
      for (size_t c = 0; c < columns; c += kTileColumns) {
        for (size_t r = range.rows_begin; r < range.rows_end; r += kTileRows) {
          MultiplyTile(x + (r - range.rows_begin) * depth, w + c * depth, depth,
                       m.y + r * m.n_out + o + c, m.n_out, std::min(kTileRows, range.rows_end - r),
                       std::min(kTileColumns, columns - c), add);
        }
      }
    }
  }
}

void PackedT(const MatmulCall& m, WeightType type, const MatmulRange& range) {
  ForType(type, [&]<WeightType kType>() { Packed<kType>(m, range); });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(PackedT);
void MatmulPacked(const MatmulCall& m, WeightType type, const MatmulRange& range) {
  HWY_DYNAMIC_DISPATCH(PackedT)(m, type, range);
}

}  // namespace hetllm::native
#endif
