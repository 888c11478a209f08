#include "engine/kernel_set.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

constexpr const char* kRequired[] = {"rmsnorm",  "rope",     "kv_append", "attention",
                                     "silu_mul", "add_bias", "argmax"};
constexpr WeightType kTypes[] = {WeightType::kF32,  WeightType::kF16,  WeightType::kBF16,
                                 WeightType::kQ8_0, WeightType::kQ4_0, WeightType::kQ4_K,
                                 WeightType::kQ5_K, WeightType::kQ6_K};

double WeightBytesOf(WeightType type, double n_in, double n_out) {
  return n_in * n_out / BlockElements(type) * BlockBytes(type);
}

std::string Named(const char* prefix, WeightType type, const char* suffix = "") {
  return Cat(prefix, WeightTypeName(type), suffix);
}

}  // namespace

KernelSet::KernelSet(const het::api::Lease& lease, bool use_library)
    : has_library_(use_library && lease.Can(HET_CAN_MULTIPLY_MATRICES)) {
  het::api::ProgramSource source;
  source.name = "hetllm";
  source.portable = PortableSource();
  for (const het_native_kernel& kernel : NativeKernels()) {
    source.native.push_back({kernel.name, kernel.function});
  }
  program_ = lease.Build(source);
  for (const char* name : kRequired) {
    kernels_[name] = program_.GetKernel(name);
  }
  std::vector<std::string> optional = {"quantize_q8",     "rmsnorm_q8",     "silu_mul_q8",
                                       "attention_tiles", "attention_part", "attention_join"};
  if (has_library_) optional.push_back("to_half");
  for (const WeightType type : kTypes) {
    for (const char* prefix : {"get_rows_", "matmul_"}) {
      kernels_[Named(prefix, type)] = program_.GetKernel(Named(prefix, type));
    }
    optional.push_back(Named("matvec_", type));
    optional.push_back(Named("matmul_", type, BlockElements(type) > 1 ? "_q8" : "_half"));
    if (BlockElements(type) > 1) optional.push_back(Named("matvec_", type, "_q8"));
    if (has_library_ && type != WeightType::kF32 && type != WeightType::kF16) {
      optional.push_back(Named("dequantize_", type));
    }
  }
  for (const std::string& name : optional) {
    try {
      kernels_[name] = program_.GetKernel(name);
    } catch (const het::api::Error& error) {
      if (error.code() != HET_NOT_FOUND) {
        throw;
      }
    }
  }
  form_ = kernels_.at("matmul_f32").form();
  has_library_ = has_library_ && kernels_.contains("to_half");
  quantises_ = kernels_.contains("quantize_q8") && kernels_.contains("rmsnorm_q8") &&
               kernels_.contains("silu_mul_q8");
}

bool KernelSet::HasQ8(WeightType type) const {
  return quantises_ && (kernels_.contains(Named("matmul_", type, "_q8")) ||
                        kernels_.contains(Named("matvec_", type, "_q8")));
}

void KernelSet::Submit(Queue queue, const std::string& name, std::initializer_list<Place> buffers,
                       const Grid& grid, const void* params, size_t params_bytes,
                       const Cost& cost) const {
  het::api::Launch launch;
  launch.kernel = kernels_.at(name);
  for (int axis = 0; axis < 3; ++axis) {
    launch.groups[axis] = grid.groups[axis];
    launch.group_size[axis] = grid.group_size[axis];
  }
  launch.buffers = std::span<const Place>(buffers.begin(), buffers.size());
  launch.params = params;
  launch.params_bytes = params_bytes;
  launch.flops = cost.flops;
  launch.bytes = cost.bytes;
  launch.batch = cost.rows;
  queue.Submit(launch);
}

template <typename Params>
void KernelSet::Launch(Queue queue, const std::string& name, std::initializer_list<Place> buffers,
                       const Params& params, const Cost& cost) const {
  const bool native = kernels_.at(name).form() == HET_FORM_NATIVE;
  const Grid grid = native ? NativeGrid(params) : PortableGrid(params);
  Submit(queue, name, buffers, grid, &params, sizeof(params), cost);
}

template <typename Params>
void KernelSet::LaunchPortable(Queue queue, const std::string& name,
                               std::initializer_list<Place> buffers, const Params& params,
                               const Cost& cost) const {
  Submit(queue, name, buffers, PortableGrid(params), &params, sizeof(params), cost);
}

template <typename Params>
void KernelSet::LaunchMatmul(Queue queue, const std::string& name,
                             std::initializer_list<Place> buffers, const Params& params,
                             const Cost& cost) const {
  const bool native = kernels_.at(name).form() == HET_FORM_NATIVE;
  const Grid grid = native ? NativeGrid(params, name) : PortableGrid(params, name);
  Submit(queue, name, buffers, grid, &params, sizeof(params), cost);
}

void KernelSet::GetRows(Queue queue, WeightType type, Place table, Place ids, Place y,
                        const GetRowsParams& params) const {
  const double rows = params.rows, cols = params.cols;
  Launch(queue, Named("get_rows_", type), {table, ids, y}, params,
         {rows * cols, WeightBytesOf(type, cols, rows) + rows * cols * 4, rows});
}

void KernelSet::RmsNorm(Queue queue, Place x, Place weight, Place y,
                        const RmsNormParams& params) const {
  const double rows = params.rows, cols = params.cols;
  Launch(queue, "rmsnorm", {x, weight, y}, params, {4 * rows * cols, 8 * rows * cols, rows});
}

void KernelSet::Matmul(Queue queue, WeightType type, Place w, Place x, Place y,
                       const MatmulParams& params) const {
  const double rows = params.rows, n_in = params.n_in, n_out = params.n_out;
  const bool aligned = w.offset % 16 == 0 && x.offset % 16 == 0 && y.offset % 16 == 0;
  if (has_library_ && type == WeightType::kF32 && params.rows >= kLibraryRows && aligned) {
    queue.Multiply({.type = HET_MATRIX_F32,
                    .rows = params.rows,
                    .n_in = params.n_in,
                    .n_out = params.n_out,
                    .accumulate = params.accumulate != 0,
                    .y_stride = 0,
                    .w = w,
                    .x = x,
                    .y = y});
    return;
  }
  const std::string few = Named("matvec_", type);
  const bool is_few = params.rows <= kMatvecFewRows && kernels_.contains(few);
  LaunchMatmul(queue, is_few ? few : Named("matmul_", type), {w, x, y}, params,
               {2 * rows * n_in * n_out,
                WeightBytesOf(type, n_in, n_out) + 4 * rows * (n_in + n_out), rows});
}

void KernelSet::MatmulQ8(Queue queue, WeightType type, Place w, Place x, Place y,
                         const MatmulParams& params) const {
  const double rows = params.rows, n_in = params.n_in, n_out = params.n_out;
  const std::string of_lanes = Named("matvec_", type, "_q8");
  LaunchMatmul(queue, kernels_.contains(of_lanes) ? of_lanes : Named("matmul_", type, "_q8"),
               {w, x, y}, params,
               {2 * rows * n_in * n_out,
                WeightBytesOf(type, n_in, n_out) + rows * (1.125 * n_in + 4 * n_out), rows});
}

bool KernelSet::HasHalf(WeightType type) const {
  return kernels_.contains(Named("matmul_", type, "_half"));
}

void KernelSet::MatmulHalf(Queue queue, WeightType type, Place w, Place x, Place y,
                           const MatmulParams& params) const {
  const double rows = params.rows, n_in = params.n_in, n_out = params.n_out;
  LaunchMatmul(queue, Named("matmul_", type, "_half"), {w, x, y}, params,
               {2 * rows * n_in * n_out,
                WeightBytesOf(type, n_in, n_out) + 4 * rows * (n_in + n_out), rows});
}

void KernelSet::Quantize(Queue queue, Place x, Place y, const QuantizeParams& params) const {
  const double rows = params.rows, n_in = params.n_in;
  Launch(queue, "quantize_q8", {x, y}, params, {3 * rows * n_in, 5.125 * rows * n_in, rows});
}

void KernelSet::RmsNormQ8(Queue queue, Place x, Place weight, Place y,
                          const RmsNormParams& params) const {
  const double rows = params.rows, cols = params.cols;
  Launch(queue, "rmsnorm_q8", {x, weight, y}, params, {7 * rows * cols, 5.125 * rows * cols, rows});
}

void KernelSet::SiluMulQ8(Queue queue, Place gate, Place up, Place y,
                          const SiluMulQ8Params& params) const {
  const double rows = params.rows, n_in = params.n_in;
  Launch(queue, "silu_mul_q8", {gate, up, y}, params, {8 * rows * n_in, 9.125 * rows * n_in, rows});
}

void KernelSet::ToHalf(Queue queue, Place x, Place y, const ElementwiseParams& params,
                       uint32_t rows) const {
  LaunchPortable(queue, "to_half", {x, y}, params,
                 {1.0 * params.count, 6.0 * params.count, static_cast<double>(rows)});
}

void KernelSet::Dequantize(Queue queue, WeightType type, Place w, Place y,
                           const DequantizeParams& params) const {
  const double rows = params.rows, n_in = params.n_in;
  LaunchPortable(queue, Named("dequantize_", type), {w, y}, params,
                 {2 * rows * n_in, WeightBytesOf(type, n_in, rows) + 2 * rows * n_in, rows});
}

void KernelSet::LibraryMatmul(Queue queue, Place w, Place x, Place y, const MatmulParams& params,
                              uint32_t y_stride) const {
  queue.Multiply({.type = HET_MATRIX_F16,
                  .rows = params.rows,
                  .n_in = params.n_in,
                  .n_out = params.n_out,
                  .accumulate = params.accumulate != 0,
                  .y_stride = y_stride,
                  .w = w,
                  .x = x,
                  .y = y});
}

void KernelSet::Rope(Queue queue, Place x, Place positions, Place frequencies,
                     const RopeParams& params) const {
  const double elements = double{1} * params.rows * params.heads * params.rope_dim;
  Launch(queue, "rope", {x, positions, frequencies}, params,
         {3 * elements, 8 * elements, static_cast<double>(params.rows)});
}

void KernelSet::KvAppend(Queue queue, const KvAppendPlaces& at,
                         const KvAppendParams& params) const {
  const double elements = double{2} * params.rows * params.kv_dim;
  Launch(queue, "kv_append", {at.k, at.v, at.positions, at.slots, at.k_cache, at.v_cache}, params,
         {0, 8 * elements, static_cast<double>(params.rows)});
}

KernelSet::Cost KernelSet::CostOf(const AttentionParams& params, double keys) {
  const double q_dim = double{1} * params.heads * params.head_dim;
  const double kv_dim = double{1} * params.kv_heads * params.head_dim;
  return {4 * keys * q_dim, 8 * keys * kv_dim + 8.0 * params.rows * q_dim,
          static_cast<double>(params.rows)};
}

void KernelSet::Attention(Queue queue, const AttentionPlaces& at, const AttentionParams& params,
                          double keys) const {
  Launch(queue, "attention", {at.q, at.k, at.v, at.positions, at.slots, at.y}, params,
         CostOf(params, keys));
}

bool KernelSet::HasTiles(uint32_t head_dim) const {
  return head_dim <= kTilesHeadDim && kernels_.contains("attention_tiles");
}

void KernelSet::AttentionTiles(Queue queue, const AttentionPlaces& at,
                               const AttentionParams& params, double keys) const {
  Submit(queue, "attention_tiles", {at.q, at.k, at.v, at.positions, at.slots, at.y},
         PortableTilesGrid(params), &params, sizeof(params), CostOf(params, keys));
}

uint32_t KernelSet::AttentionParts(const AttentionParams& params, uint64_t bytes) const {
  if (!kernels_.contains("attention_part") || !kernels_.contains("attention_join")) return 1;
  const uint64_t groups = uint64_t{params.heads} * params.rows;
  const uint64_t room = bytes / (groups * PartBytes(params));
  return static_cast<uint32_t>(std::clamp<uint64_t>(
      std::min({kPartGroups / groups, uint64_t{params.context} / kPartKeys, room}), 1, kMostParts));
}

void KernelSet::AttentionInParts(Queue queue, const AttentionPlaces& at,
                                 const AttentionParams& params, double keys, uint32_t parts,
                                 Place scratch) const {
  Submit(queue, "attention_part", {at.q, at.k, at.v, at.positions, at.slots, scratch},
         PortablePartsGrid(params, parts), &params, sizeof(params), CostOf(params, keys));
  const AttentionJoinParams join{params.heads * params.rows, params.head_dim, parts};
  const double moved = double{1} * join.heads * (parts + 1) * params.head_dim;
  LaunchPortable(queue, "attention_join", {scratch, at.y}, join,
                 {2 * moved, 4 * moved, static_cast<double>(params.rows)});
}

void KernelSet::SiluMul(Queue queue, Place gate, Place up, Place y, const ElementwiseParams& params,
                        uint32_t rows) const {
  Launch(queue, "silu_mul", {gate, up, y}, params,
         {5.0 * params.count, 12.0 * params.count, static_cast<double>(rows)});
}

void KernelSet::AddBias(Queue queue, Place y, Place bias, const AddBiasParams& params) const {
  const double elements = double{1} * params.rows * params.cols;
  Launch(queue, "add_bias", {y, bias}, params,
         {elements, 8 * elements, static_cast<double>(params.rows)});
}

void KernelSet::Argmax(Queue queue, Place x, Place ids, const ArgmaxParams& params) const {
  const double elements = double{1} * params.rows * params.cols;
  Launch(queue, "argmax", {x, ids}, params,
         {elements, 4 * elements, static_cast<double>(params.rows)});
}

}  // namespace hetllm
