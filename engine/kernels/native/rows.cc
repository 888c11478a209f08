// get_rows_*, kv_append, argmax: kernels that address rows by ids from data.
#include <cstring>

#include "engine/kernels/kernels.h"
#include "engine/kernels/native/call.h"
#include "engine/kernels/native/kernel_list.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/rows.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "engine/kernels/native/dequantize-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

template <WeightType kType>
void GetRows(const het_native_call* call) {
  const auto& params = ParamsOf<GetRowsParams>(call);
  const auto* table = Buffer<const uint8_t>(call, 0);
  const auto* ids = Buffer<const int32_t>(call, 1);
  auto* y = Buffer<float>(call, 2);
  const size_t row_bytes = BytesOf<kType>(params.cols);
  const GroupRange range = Groups(call, params.rows);
  for (uint64_t r = range.begin; r < range.end; ++r) {
    float* out = y + r * params.cols;
    const int64_t id = ids[r];
    if (id < 0 || id >= params.table_rows) {
      std::memset(out, 0, params.cols * sizeof(float));
    } else {
      Dequantize<kType>(table + static_cast<size_t>(id) * row_bytes, 0, params.cols, out);
    }
  }
}

void GetRowsF32T(const het_native_call* call) { GetRows<WeightType::kF32>(call); }
void GetRowsF16T(const het_native_call* call) { GetRows<WeightType::kF16>(call); }
void GetRowsBF16T(const het_native_call* call) { GetRows<WeightType::kBF16>(call); }
void GetRowsQ80T(const het_native_call* call) { GetRows<WeightType::kQ8_0>(call); }
void GetRowsQ40T(const het_native_call* call) { GetRows<WeightType::kQ4_0>(call); }
void GetRowsQ4KT(const het_native_call* call) { GetRows<WeightType::kQ4_K>(call); }
void GetRowsQ5KT(const het_native_call* call) { GetRows<WeightType::kQ5_K>(call); }
void GetRowsQ6KT(const het_native_call* call) { GetRows<WeightType::kQ6_K>(call); }

// The first index of the largest of x[0..count). A NaN is never the largest.
int32_t ArgmaxOf(const float* HWY_RESTRICT x, size_t count) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  float largest = -HUGE_VALF;
  if (count >= lanes) {
    auto best = hn::Set(df, -HUGE_VALF);
    for (; i + lanes <= count; i += lanes) {
      const auto v = hn::LoadU(df, x + i);
      best = hn::IfThenElse(hn::Gt(v, best), v, best);
    }
    largest = hn::GetLane(hn::MaxOfLanes(df, best));
  }
  for (; i < count; ++i) {
    if (x[i] > largest) largest = x[i];
  }
  const auto wanted = hn::Set(df, largest);
  for (i = 0; i + lanes <= count; i += lanes) {
    const intptr_t at = hn::FindFirstTrue(df, hn::Eq(hn::LoadU(df, x + i), wanted));
    if (at >= 0) return static_cast<int32_t>(i + static_cast<size_t>(at));
  }
  for (; i < count; ++i) {
    if (x[i] == largest) return static_cast<int32_t>(i);
  }
  return 0;
}

void ArgmaxT(const het_native_call* call) {
  const auto& params = ParamsOf<ArgmaxParams>(call);
  const auto* x = Buffer<const float>(call, 0);
  auto* ids = Buffer<int32_t>(call, 1);
  const GroupRange range = Groups(call, params.rows);
  for (uint64_t r = range.begin; r < range.end; ++r)
    ids[r] = ArgmaxOf(x + r * params.cols, params.cols);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(GetRowsF32T);
HWY_EXPORT(GetRowsF16T);
HWY_EXPORT(GetRowsBF16T);
HWY_EXPORT(GetRowsQ80T);
HWY_EXPORT(GetRowsQ40T);
HWY_EXPORT(GetRowsQ4KT);
HWY_EXPORT(GetRowsQ5KT);
HWY_EXPORT(GetRowsQ6KT);
HWY_EXPORT(ArgmaxT);

void GetRowsF32(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(GetRowsF32T)(call); }
void GetRowsF16(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(GetRowsF16T)(call); }
void GetRowsBF16(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(GetRowsBF16T)(call); }
void GetRowsQ80(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(GetRowsQ80T)(call); }
void GetRowsQ40(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(GetRowsQ40T)(call); }
void GetRowsQ4K(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(GetRowsQ4KT)(call); }
void GetRowsQ5K(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(GetRowsQ5KT)(call); }
void GetRowsQ6K(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(GetRowsQ6KT)(call); }
void Argmax(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(ArgmaxT)(call); }

// A row whose position is outside the context is dropped.
void KvAppend(const het_native_call* call) {
  const auto& params = ParamsOf<KvAppendParams>(call);
  const auto* k = Buffer<const float>(call, 0);
  const auto* v = Buffer<const float>(call, 1);
  const auto* positions = Buffer<const int32_t>(call, 2);
  const auto* slots = Buffer<const int32_t>(call, 3);
  auto* k_cache = Buffer<float>(call, 4);
  auto* v_cache = Buffer<float>(call, 5);
  const GroupRange range = Groups(call, params.rows);
  for (uint64_t r = range.begin; r < range.end; ++r) {
    const int64_t position = positions[r];
    if (position < 0 || position >= params.context || slots[r] < 0) continue;
    const size_t row =
        static_cast<size_t>(slots[r]) * params.context + static_cast<size_t>(position);
    const size_t from = r * params.kv_dim, to = row * params.kv_dim;
    std::memcpy(k_cache + to, k + from, params.kv_dim * sizeof(float));
    std::memcpy(v_cache + to, v + from, params.kv_dim * sizeof(float));
  }
}

}  // namespace hetllm::native
#endif
