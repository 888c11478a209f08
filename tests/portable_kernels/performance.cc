#include "tests/portable_kernels/performance.h"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "devices/conformance/performance.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/reference_weights.h"

namespace hetllm {
namespace {

using het::conformance::Meter;

// Of TinyLlama's shape.
constexpr uint32_t kEmbd = 2048, kFf = 5632, kHeads = 32, kKvHeads = 4, kHeadDim = 64;
constexpr uint32_t kContext = 1024;

// One kernel after the other on one device, with buffers of zeros.
class Bench {
 public:
  Bench(Meter& meter, const het::Program& program) : meter_(meter), program_(program) {}

  const het::Program& program() const { return program_; }

  absl::StatusOr<het::Buffer*> Zeros(uint64_t bytes) {
    HET_ASSIGN_OR_RETURN(het::Ref<het::Buffer> buffer, meter_.device().Allocate(bytes));
    HET_RETURN_IF_ERROR(meter_.queue().Fill(*buffer, 0, bytes, 0));
    held_.push_back(std::move(buffer));
    return held_.back().get();
  }

  // `buffers`: bytes of each; `positions`: what buffer `at` holds instead of zeros. A row of the
  // table.
  template <typename Params>
  absl::Status Run(const std::string& kernel, const std::string& shape, const Grid& grid,
                   const Params& params, const std::vector<uint64_t>& buffers, double moved,
                   double flops, const std::vector<int32_t>& positions = {}, size_t at = 0) {
    held_.clear();
    HET_ASSIGN_OR_RETURN(const het::Kernel* const handle, program_.GetKernel(kernel));
    std::vector<het::BufferArg> arguments;
    for (const uint64_t bytes : buffers) {
      HET_ASSIGN_OR_RETURN(het::Buffer * buffer, Zeros(bytes));
      arguments.push_back({buffer, 0});
    }
    if (!positions.empty()) {
      HET_RETURN_IF_ERROR(meter_.queue().Write(positions.data(), *arguments[at].buffer, 0,
                                               positions.size() * sizeof(int32_t)));
    }
    het::Launch launch;
    launch.kernel = handle;
    std::copy_n(grid.groups, 3, launch.groups);
    std::copy_n(grid.group_size, 3, launch.group_size);
    launch.buffers = arguments;
    launch.params = {reinterpret_cast<const std::byte*>(&params), sizeof(params)};
    launch.work = {.flops = flops, .bytes = moved, .batch = 1};
    return meter_.Print(absl::StrCat(kernel, " ", shape), moved, flops,
                        [&](het::Queue& queue) { return queue.Submit(launch); });
  }

 private:
  Meter& meter_;
  const het::Program& program_;
  std::vector<het::Ref<het::Buffer>> held_;
};

absl::Status Matmuls(Bench& bench, uint32_t rows) {
  for (const reference::Format& format : reference::kFormats) {
    for (const bool q8 : {false, true}) {
      if (q8 && format.elements == 1) continue;
      const char* const suffix = q8 ? "_q8" : "";
      const std::string of_lanes = absl::StrCat("matvec_", format.name, suffix);
      const bool matvec =
          (q8 || rows <= kMatvecFewRows) && bench.program().GetKernel(of_lanes).ok();
      const std::string kernel = matvec ? of_lanes : absl::StrCat("matmul_", format.name, suffix);
      const MatmulParams params{rows, kEmbd, kFf, 0};
      const uint64_t weights = uint64_t{kEmbd} * kFf / format.elements * format.bytes;
      const uint64_t x = q8 ? Q8RowBytes(kEmbd) * rows : uint64_t{4} * kEmbd * rows;
      const uint64_t y = uint64_t{4} * kFf * rows;
      HET_RETURN_IF_ERROR(bench.Run(kernel, absl::StrCat("x", rows), PortableGrid(params, kernel),
                                    params, {weights, x, y}, static_cast<double>(weights + x + y),
                                    2.0 * rows * kEmbd * kFf));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PrintPerformance(het::Device& device, const het::Program& program) {
  HET_ASSIGN_OR_RETURN(Meter meter, Meter::Create(device));
  Meter::PrintHead();
  std::printf("%-30.30s peaks: copy %.2f GB/s (read and written), %s %.2f GFLOP/s\n",
              device.info().name.c_str(), meter.peaks().copy_bytes_per_s / 1e9,
              meter.peaks().flops_of.c_str(), meter.peaks().flops_per_s / 1e9);
  Bench bench(meter, program);
  for (const uint32_t rows : {1u, 8u, 128u}) HET_RETURN_IF_ERROR(Matmuls(bench, rows));
  for (const uint32_t rows : {1u, 128u}) {
    const std::string shape = absl::StrCat("x", rows);
    const double floats = 4.0 * rows;
    const uint64_t embd = uint64_t{4} * kEmbd * rows, ff = uint64_t{4} * kFf * rows;
    const RmsNormParams norm{rows, kEmbd, 1e-5f};
    HET_RETURN_IF_ERROR(bench.Run("rmsnorm", shape, PortableGrid(norm), norm,
                                  {embd, kEmbd * 4, embd}, 2 * floats * kEmbd, 4.0 * rows * kEmbd));
    const QuantizeParams quantize{rows, kEmbd};
    HET_RETURN_IF_ERROR(bench.Run("quantize_q8", shape, PortableGrid(quantize), quantize,
                                  {embd, Q8RowBytes(kEmbd) * rows}, 5.125 * rows * kEmbd,
                                  3.0 * rows * kEmbd));
    const ElementwiseParams silu{rows * kFf};
    HET_RETURN_IF_ERROR(bench.Run("silu_mul", shape, PortableGrid(silu), silu, {ff, ff, ff},
                                  3 * floats * kFf, 5.0 * rows * kFf));
    HET_RETURN_IF_ERROR(bench.Run("rmsnorm_q8", shape, PortableGrid(norm), norm,
                                  {embd, kEmbd * 4, Q8RowBytes(kEmbd) * rows}, 5.125 * rows * kEmbd,
                                  7.0 * rows * kEmbd));
    const SiluMulQ8Params silu_q8{rows, kFf};
    HET_RETURN_IF_ERROR(bench.Run("silu_mul_q8", shape, PortableGrid(silu_q8), silu_q8,
                                  {ff, ff, Q8RowBytes(kFf) * rows}, 9.125 * rows * kFf,
                                  8.0 * rows * kFf));
    // The last rows of a full context.
    std::vector<int32_t> positions;
    double keys = 0;
    for (uint32_t r = 0; r < rows; ++r) {
      positions.push_back(static_cast<int32_t>(kContext - rows + r));
      keys += kContext - rows + r + 1;
    }
    const uint32_t kv_dim = kKvHeads * kHeadDim;
    const uint64_t row = uint64_t{4} * rows * kv_dim, cache = uint64_t{4} * kContext * kv_dim;
    const KvAppendParams append{rows, kv_dim, kContext};
    HET_RETURN_IF_ERROR(bench.Run("kv_append", shape, PortableGrid(append), append,
                                  {row, row, uint64_t{4} * rows, uint64_t{4} * rows, cache, cache},
                                  4 * floats * kv_dim, 0, positions, 2));
    const AttentionParams attention{rows, kHeads, kKvHeads, kHeadDim, kContext, 0, 0.125f};
    HET_RETURN_IF_ERROR(
        bench.Run("attention", shape, PortableGrid(attention), attention,
                  {embd, cache, cache, uint64_t{4} * rows, uint64_t{4} * rows, embd},
                  2 * floats * kEmbd + 8 * keys * kv_dim, 4 * keys * kEmbd, positions, 3));
    if (rows == 1 && program.GetKernel("attention_part").ok()) {
      constexpr uint32_t kParts = 8;
      HET_RETURN_IF_ERROR(
          bench.Run("attention_part", shape, PortablePartsGrid(attention, kParts), attention,
                    {embd, cache, cache, uint64_t{4} * rows, uint64_t{4} * rows,
                     uint64_t{4} * kHeads * kParts * (kHeadDim + 2)},
                    2 * floats * kEmbd + 8 * keys * kv_dim, 4 * keys * kEmbd, positions, 3));
    }
    if (rows > 1 && program.GetKernel("attention_tiles").ok()) {
      HET_RETURN_IF_ERROR(
          bench.Run("attention_tiles", shape, PortableTilesGrid(attention), attention,
                    {embd, cache, cache, uint64_t{4} * rows, uint64_t{4} * rows, embd},
                    2 * floats * kEmbd + 8 * keys * kv_dim, 4 * keys * kEmbd, positions, 3));
    }
  }
  return absl::OkStatus();
}

}  // namespace hetllm
