// The table of native kernels, their grids, and the threads' scratch.
#include <array>
#include <memory>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/kernels/native/call.h"
#include "engine/kernels/native/grids.h"
#include "engine/kernels/native/kernel_list.h"
#include "hwy/aligned_allocator.h"

namespace hetllm {

const std::vector<het_native_kernel>& NativeKernels() {
#define HETLLM_ROW(function, name) {name, native::function},
  static const auto& kernels =
      *new std::vector<het_native_kernel>{HETLLM_NATIVE_KERNELS(HETLLM_ROW)};
#undef HETLLM_ROW
  return kernels;
}

namespace {

Grid GridOf(uint64_t x, uint64_t y = 1) {
  Grid grid;
  grid.groups[0] = static_cast<uint32_t>(std::max<uint64_t>(x, 1));
  grid.groups[1] = static_cast<uint32_t>(std::max<uint64_t>(y, 1));
  return grid;
}

}  // namespace

Grid NativeGrid(const GetRowsParams& params) { return GridOf(params.rows); }
Grid NativeGrid(const RmsNormParams& params) { return GridOf(params.rows); }
Grid NativeGrid(const MatmulParams& params, std::string_view kernel) {
  const native::MatmulCut cut = native::CutMatmul(params, kernel.ends_with("_q8"));
  return GridOf(cut.row_tiles, cut.column_blocks);
}
Grid NativeGrid(const QuantizeParams& params) { return GridOf(params.rows); }
Grid NativeGrid(const SiluMulQ8Params& params) {
  return GridOf(native::CeilDiv(params.n_in, native::kElementwiseGroup), params.rows);
}
Grid NativeGrid(const RopeParams& params) { return GridOf(params.rows); }
Grid NativeGrid(const KvAppendParams& params) { return GridOf(params.rows); }
Grid NativeGrid(const AttentionParams& params) {
  return GridOf(params.kv_heads, native::CutAttention(params).row_tiles);
}
Grid NativeGrid(const ElementwiseParams& params) {
  return GridOf(native::CeilDiv(params.count, native::kElementwiseGroup));
}
Grid NativeGrid(const AddBiasParams& params) { return GridOf(params.rows); }
Grid NativeGrid(const ArgmaxParams& params) { return GridOf(params.rows); }

namespace native {

void* ScratchBytes(ScratchUse use, size_t bytes) {
  struct Area {
    hwy::AlignedFreeUniquePtr<uint8_t[]> memory;
    size_t bytes = 0;
  };
  thread_local std::array<Area, static_cast<size_t>(ScratchUse::kCount)> areas;
  Area& area = areas[static_cast<size_t>(use)];
  if (area.bytes < bytes) {
    area.memory.reset();
    area.memory = hwy::AllocateAligned<uint8_t>(bytes);
    area.bytes = bytes;
  }
  return area.memory.get();
}

}  // namespace native
}  // namespace hetllm
