// The kernels of the reference engine: names, parameter structs, buffer order, and the grid of each
// form.
//
// Every kernel exists twice: a native function (SIMD, engine/kernels/native) and a portable text
// (OpenCL C subset, engine/kernels/portable). Activations are float32, row-major, one row per
// token. Weights are in GGUF layout: a matrix W of n_out rows of n_in elements (ne[0] = n_in
// contiguous), quantised in blocks of 32 or 256 along n_in. TYPE is f32, f16, bf16, q8_0, q4_0,
// q4_k, q5_k or q6_k. All parameter structs are plain 32-bit words so that the portable text
// declares the same struct. Offsets come with the buffers, in bytes.
//
// Pure data and functions; thread-safe.
#ifndef HET_ENGINE_KERNELS_KERNELS_H_
#define HET_ENGINE_KERNELS_KERNELS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "het/het.h"

namespace hetllm {

// ggml's numbers.
enum class WeightType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

// get_rows_TYPE: y[r] = dequantise(table[ids[r]]).  Buffers: table, ids int32[rows],
// y f32[rows][cols]. An id outside [0, table_rows) gives a row of zeros. get_rows_f32 also gathers
// activation rows.
struct GetRowsParams {
  uint32_t rows, cols, table_rows;
};

// rmsnorm: y[r][i] = x[r][i] / sqrt(mean_i(x[r][i]^2) + eps) * weight[i].  Buffers: x, weight
// f32[cols], y.
struct RmsNormParams {
  uint32_t rows, cols;
  float eps;
};

// matmul_TYPE: y[r][o] = sum_i x[r][i] * W[o][i], plus the old y[r][o] when
// accumulate is 1. Buffers: W, x f32[rows][n_in], y f32[rows][n_out]. n_in is a multiple of the
// type's block. rows == 1 (or few) is decode and bound by memory, many rows is prefill and bound
// by arithmetic: one kernel name, the implementation chooses. matmul_TYPE_q8 (of the quantised
// types): the same with x quantised by quantize_q8 (buffer x holds its output). matvec_TYPE and
// matvec_TYPE_q8, portable only, and there only where items are lanes: the same for at most
// kMatvecFewRows rows, and with 8-bit x, in place of matmul_TYPE_q8, for any. matmul_f16_half and
// matmul_bf16_half, native only, rows == 1: the same with x rounded to halves on the way, after a
// multiplication by a power of two that keeps the largest in their range.
struct MatmulParams {
  uint32_t rows, n_in, n_out, accumulate;
};
constexpr uint32_t kMatvecFewRows = 8;

// quantize_q8: per row, n_in/32 float scales (amax/127) followed by n_in int8 values (round to
// nearest), that is q8_row_bytes(n_in) = n_in/32*4 + n_in bytes per row.  Buffers: x
// f32[rows][n_in], y bytes.
struct QuantizeParams {
  uint32_t rows, n_in;
};
constexpr uint64_t Q8RowBytes(uint64_t n_in) { return n_in / 32 * 4 + n_in; }

// rmsnorm_q8 (RmsNormParams; cols a multiple of 32): quantize_q8 of rmsnorm, to the bit. Buffers:
// x, weight f32[cols], y bytes. silu_mul_q8 (n_in a multiple of 32): quantize_q8 of silu_mul, to
// the bit. Buffers: gate f32[rows][n_in], up (as gate), y bytes. A set has all three or none.
struct SiluMulQ8Params {
  uint32_t rows, n_in;
};

// dequantize_TYPE (of all but f32 and f16; portable only): y[r][i] = W[r][i] as a half. Buffers: W,
// y f16[rows][n_in]. to_half (portable only; ElementwiseParams): y = x as halves, clamped to
// +-65504. Buffers: x f32, y f16. Both are for a vendor's library, which takes both operands of one
// type.
struct DequantizeParams {
  uint32_t rows, n_in;
};

// rope: rotates the first rope_dim elements of every head in place. pairing 0 ("norm"): pairs (2i,
// 2i+1); pairing 1 ("neox"): pairs (i, i + rope_dim/2). The angle of pair i is position *
// (frequencies[i][0] + frequencies[i][1]), a number and what float rounding took from it; both
// results are multiplied by `magnitude`. Buffers: x f32[rows][heads*head_dim], positions
// int32[rows], frequencies f32[rope_dim/2][2].
struct RopeParams {
  uint32_t rows, heads, head_dim, rope_dim, pairing;
  float magnitude;
};

// kv_append: k_cache[slots[r]*context + positions[r]][:] = k[r][:], kv_dim = kv_heads*head_dim
// elements, and the same of v. Buffers: k f32[rows][kv_dim], v (as k), positions int32[rows], slots
// int32[rows], k cache f32[slots][context][kv_dim], v cache (as the k cache).
struct KvAppendParams {
  uint32_t rows, kv_dim, context;
};

// attention: for row r and head h, softmax over positions 0..positions[r] of slot slots[r], at most
// the last `window` of them (0: all), of q.k*scale, times v (online softmax). KV head of h is h /
// (heads/kv_heads). Causality holds because the rows' own keys were appended before. Buffers: q
// f32[rows][heads*head_dim], k cache, v cache (as kv_append), positions, slots, y
// f32[rows][heads*head_dim]. kv_dim of the caches is kv_heads*head_dim.
struct AttentionParams {
  uint32_t rows, heads, kv_heads, head_dim, context, window;
  float scale;
};

// attention_tiles (portable, and there only on devices whose matrix units het knows): the same for
// many rows and heads of at most kTilesHeadDim elements; q * scale, k, v and the weights are
// rounded to halves, sums are f32. Every 64 rows cost a pass over the cache of each slot among
// them.
constexpr uint32_t kTilesHeadDim = 128;

// attention_part (portable, and there only where items are lanes): the same for few rows, of each
// head and row `parts` parts of the positions by themselves, as the third axis of its grid says.
// Buffers: as attention, but in y's place f32[rows*heads][parts][head_dim + 2]: sums, the largest
// score, the weight of all. attention_join: y from those. Buffers: parts, y.
struct AttentionJoinParams {
  uint32_t heads, head_dim, parts;  // heads: of all rows
};

// silu_mul: y = silu(gate) * up, elementwise; silu(x) = x / (1 + exp(-x)).  Buffers: gate, up, y
// (may be gate). add: y = a + b.  Buffers: a, b, y (may be a or b).
struct ElementwiseParams {
  uint32_t count;
};

// add_bias: y[r][i] += bias[i], in place.  Buffers: y f32[rows][cols], bias f32[cols].
struct AddBiasParams {
  uint32_t rows, cols;
};

// argmax: ids[r] = the first index of the largest of x[r][0..cols).  Buffers: x f32[rows][cols],
// ids int32[rows].
struct ArgmaxParams {
  uint32_t rows, cols;
};

// The launch grid of one form. Native: groups are pieces of work as the native function cuts them;
// group_size is 1.
struct Grid {
  uint32_t groups[3] = {1, 1, 1};
  uint32_t group_size[3] = {1, 1, 1};
};

// The native functions, and their grids (engine/kernels/native).
const std::vector<het_native_kernel>& NativeKernels();
Grid NativeGrid(const GetRowsParams& params);
Grid NativeGrid(const RmsNormParams& params);
Grid NativeGrid(const MatmulParams& params, std::string_view kernel);
Grid NativeGrid(const QuantizeParams& params);
Grid NativeGrid(const SiluMulQ8Params& params);
Grid NativeGrid(const RopeParams& params);
Grid NativeGrid(const KvAppendParams& params);
Grid NativeGrid(const AttentionParams& params);
Grid NativeGrid(const ElementwiseParams& params);
Grid NativeGrid(const AddBiasParams& params);
Grid NativeGrid(const ArgmaxParams& params);

// The portable text of all kernels, and their grids (engine/kernels/portable).
std::string_view PortableSource();
Grid PortableGrid(const GetRowsParams& params);
Grid PortableGrid(const RmsNormParams& params);
Grid PortableGrid(const MatmulParams& params, std::string_view kernel);
Grid PortableGrid(const QuantizeParams& params);
Grid PortableGrid(const SiluMulQ8Params& params);
Grid PortableGrid(const DequantizeParams& params);
Grid PortableGrid(const RopeParams& params);
Grid PortableGrid(const KvAppendParams& params);
Grid PortableGrid(const AttentionParams& params);
Grid PortablePartsGrid(const AttentionParams& params, uint32_t parts);  // of attention_part
Grid PortableGrid(const AttentionJoinParams& params);
Grid PortableTilesGrid(const AttentionParams& params);  // of attention_tiles
Grid PortableGrid(const ElementwiseParams& params);
Grid PortableGrid(const AddBiasParams& params);
Grid PortableGrid(const ArgmaxParams& params);

}  // namespace hetllm

#endif  // HET_ENGINE_KERNELS_KERNELS_H_
