// matmul_*: takes a call's range of groups apart and gives each piece to the form that suits the
// number of rows.
#include "engine/kernels/native/matmul.h"

#include <algorithm>

#include "engine/kernels/native/grids.h"
#include "engine/kernels/native/kernel_list.h"
#include "engine/kernels/native/matmul_codes.h"

namespace hetllm::native {
namespace {

// More rows than this are packed in several turns, so that what is packed stays in the L2 cache.
constexpr size_t kMostRows = 6 * kPackedRows;

// Up to this many rows a weight is expanded once per four rows, beyond it is kept.
constexpr size_t kMostFewRows = 8;

// The K types are too much work to expand for each pair of rows again.
bool HasFewRowsForm(WeightType type) {
  return type != WeightType::kQ4_K && type != WeightType::kQ5_K && type != WeightType::kQ6_K;
}

// A rectangle of groups: column blocks and row tiles.
void Packed(const MatmulCall& m, WeightType type, const MatmulCut& cut, size_t block_begin,
            size_t block_end, size_t tile_begin, size_t tile_end) {
  if (block_begin >= block_end) return;
  const size_t turns = CeilDiv((tile_end - tile_begin) * cut.rows, kMostRows);
  const size_t tiles = CeilDiv(tile_end - tile_begin, turns);
  for (size_t tile = tile_begin; tile < tile_end; tile += tiles) {
    MatmulRange range;
    range.columns_begin = block_begin * cut.columns;
    range.columns_end = std::min(block_end * cut.columns, m.n_out);
    range.rows_begin = tile * cut.rows;
    range.rows_end = std::min(std::min(tile + tiles, tile_end) * cut.rows, m.rows);
    if (m.x_q8 != nullptr) {
      MatmulPackedCodes(m, type, range);
    } else {
      MatmulPacked(m, type, range);
    }
  }
}

// The flattened range as at most three rectangles: the rest of its first column block, whole
// blocks, and the beginning of its last one.
void PackedGroups(const MatmulCall& m, WeightType type, const MatmulCut& cut, GroupRange range) {
  size_t block = range.begin / cut.row_tiles;
  const size_t last = range.end / cut.row_tiles;
  const size_t tile = range.begin % cut.row_tiles, last_tile = range.end % cut.row_tiles;
  if (block == last) return Packed(m, type, cut, block, block + 1, tile, last_tile);
  if (tile != 0) {
    Packed(m, type, cut, block, block + 1, tile, cut.row_tiles);
    ++block;
  }
  Packed(m, type, cut, block, last, 0, cut.row_tiles);
  if (last_tile != 0) Packed(m, type, cut, last, last + 1, 0, last_tile);
}

enum class Activations { kF32, kQ8, kHalf };

void Matmul(const het_native_call* call, WeightType type,
            Activations activations = Activations::kF32) {
  const auto& params = ParamsOf<MatmulParams>(call);
  const bool q8 = activations == Activations::kQ8;
  MatmulCall m{};
  m.w = Buffer<const uint8_t>(call, 0);
  m.x = q8 ? nullptr : Buffer<const float>(call, 1);
  m.x_q8 = q8 ? Buffer<const uint8_t>(call, 1) : nullptr;
  m.y = Buffer<float>(call, 2);
  m.half = activations == Activations::kHalf;
  m.rows = params.rows;
  m.n_in = params.n_in;
  m.n_out = params.n_out;
  m.accumulate = params.accumulate != 0;
  const MatmulCut cut = CutMatmul(params, q8);
  const GroupRange range = Groups(call, cut.column_blocks * cut.row_tiles);
  if (range.begin >= range.end) return;
  if (cut.packed) return PackedGroups(m, type, cut, range);
  const size_t begin = range.begin * cut.columns, end = std::min(range.end * cut.columns, m.n_out);
  if (q8) {
    MatmulFewCodes(m, type, begin, end);
  } else if (m.rows <= kMostFewRows && HasFewRowsForm(type)) {
    MatmulFewRows(m, type, begin, end);
  } else {
    MatmulSomeRows(m, type, begin, end);
  }
}

}  // namespace

void MatmulF32(const het_native_call* call) { Matmul(call, WeightType::kF32); }
void MatmulF16(const het_native_call* call) { Matmul(call, WeightType::kF16); }
void MatmulBF16(const het_native_call* call) { Matmul(call, WeightType::kBF16); }
void MatmulQ80(const het_native_call* call) { Matmul(call, WeightType::kQ8_0); }
void MatmulQ40(const het_native_call* call) { Matmul(call, WeightType::kQ4_0); }
void MatmulQ4K(const het_native_call* call) { Matmul(call, WeightType::kQ4_K); }
void MatmulQ5K(const het_native_call* call) { Matmul(call, WeightType::kQ5_K); }
void MatmulQ6K(const het_native_call* call) { Matmul(call, WeightType::kQ6_K); }
void MatmulF16Half(const het_native_call* call) {
  Matmul(call, WeightType::kF16, Activations::kHalf);
}
void MatmulBF16Half(const het_native_call* call) {
  Matmul(call, WeightType::kBF16, Activations::kHalf);
}
void MatmulQ80Q8(const het_native_call* call) { Matmul(call, WeightType::kQ8_0, Activations::kQ8); }
void MatmulQ40Q8(const het_native_call* call) { Matmul(call, WeightType::kQ4_0, Activations::kQ8); }
void MatmulQ4KQ8(const het_native_call* call) { Matmul(call, WeightType::kQ4_K, Activations::kQ8); }
void MatmulQ5KQ8(const het_native_call* call) { Matmul(call, WeightType::kQ5_K, Activations::kQ8); }
void MatmulQ6KQ8(const het_native_call* call) { Matmul(call, WeightType::kQ6_K, Activations::kQ8); }

}  // namespace hetllm::native
