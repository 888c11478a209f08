// How much work one group is, shared by NativeGrid and the functions.
#ifndef HET_ENGINE_KERNELS_NATIVE_GRIDS_H_
#define HET_ENGINE_KERNELS_NATIVE_GRIDS_H_

#include <algorithm>
#include <cstdint>

#include "engine/kernels/kernels.h"
#include "engine/kernels/native/call.h"

namespace hetllm::native {

constexpr uint64_t kElementwiseGroup = 1024;  // elements

// Matmul: a group is `columns` outputs of `rows` rows. Flattened index = column block * row_tiles +
// row tile, so that a worker's contiguous range reads each weight once. Few rows (decode) make
// narrow groups of all rows: they are bound by memory and cut evenly. Many rows (prefill) make
// groups that are worth packing the weights for.
constexpr size_t kPackedFrom = 48, kPackedFromQ8 = 16;  // rows
constexpr size_t kPackedColumns = 64, kPackedRows = 48;

struct MatmulCut {
  bool packed;
  size_t columns, rows;             // of one group
  size_t column_blocks, row_tiles;  // of the grid
};
inline MatmulCut CutMatmul(const MatmulParams& params, bool q8) {
  MatmulCut cut;
  cut.packed = params.rows >= (q8 ? kPackedFromQ8 : kPackedFrom);
  cut.columns = cut.packed ? kPackedColumns : 16;
  cut.rows = cut.packed ? kPackedRows : std::max(params.rows, 1u);
  cut.column_blocks = CeilDiv(params.n_out, cut.columns);
  cut.row_tiles = CeilDiv(params.rows, cut.rows);
  return cut;
}

// Attention: a group is one KV head (all its query heads) of a tile of rows. Flattened index = row
// tile * kv_heads + KV head. Many rows (prefill) share the keys they read.
struct AttentionCut {
  uint32_t rows;  // of one group
  uint32_t row_tiles;
};
inline AttentionCut CutAttention(const AttentionParams& params) {
  const uint32_t rows = params.rows >= 32 ? 8 : 1;
  return {rows, static_cast<uint32_t>(CeilDiv(params.rows, rows))};
}

}  // namespace hetllm::native

#endif  // HET_ENGINE_KERNELS_NATIVE_GRIDS_H_
