// matmul_*: takes a call's range of groups apart and gives each piece to the form that suits the
// number of rows.
#include "engine/kernels/native/matmul.h"

#include <algorithm>

#include "engine/kernels/native/grids.h"
#include "engine/kernels/native/kernel_list.h"

namespace hetllm::native {
namespace {

void Matmul(const het_native_call* call, WeightType type, bool q8) {
  const auto& params = ParamsOf<MatmulParams>(call);
  MatmulCall m{};
  m.w = Buffer<const uint8_t>(call, 0);
  m.x = q8 ? nullptr : Buffer<const float>(call, 1);
  m.x_q8 = q8 ? Buffer<const uint8_t>(call, 1) : nullptr;
  m.y = Buffer<float>(call, 2);
  m.rows = params.rows;
  m.n_in = params.n_in;
  m.n_out = params.n_out;
  m.accumulate = params.accumulate != 0;
  if (m.rows == 0) return;
  const MatmulCut cut = CutMatmul(params);
  const GroupRange range = Groups(call, static_cast<uint64_t>(cut.column_blocks) * cut.row_tiles);
  const size_t begin = range.begin * cut.columns;
  const size_t end = std::min<size_t>(range.end * cut.columns, m.n_out);
  if (begin >= end) return;
  if (q8) {
    MatmulFewRowsQ8(m, type, begin, end);
  } else {
    MatmulFewRows(m, type, begin, end);
  }
}

}  // namespace

void MatmulF32(const het_native_call* call) { Matmul(call, WeightType::kF32, false); }
void MatmulF16(const het_native_call* call) { Matmul(call, WeightType::kF16, false); }
void MatmulQ80(const het_native_call* call) { Matmul(call, WeightType::kQ8_0, false); }
void MatmulQ40(const het_native_call* call) { Matmul(call, WeightType::kQ4_0, false); }
void MatmulQ80Q8(const het_native_call* call) { Matmul(call, WeightType::kQ8_0, true); }
void MatmulQ40Q8(const het_native_call* call) { Matmul(call, WeightType::kQ4_0, true); }

}  // namespace hetllm::native
