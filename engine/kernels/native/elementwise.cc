// rmsnorm, silu_mul, add, add_bias, quantize_q8, rmsnorm_q8, silu_mul_q8: one pass over the
// activations each.
#include <cmath>
#include <cstring>

#include "engine/kernels/kernels.h"
#include "engine/kernels/native/call.h"
#include "engine/kernels/native/grids.h"
#include "engine/kernels/native/kernel_list.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/elementwise.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "engine/kernels/native/dequantize-inl.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

// One block of 32: the scale is amax / 127, values are rounded to nearest (ties to even).
HWY_INLINE void QuantizeBlock(const float* HWY_RESTRICT x, float* HWY_RESTRICT scale,
                              int8_t* HWY_RESTRICT q) {
  const DF df;
  const hn::Rebind<int32_t, DF> di;
  const hn::Rebind<int8_t, DF> d8;
  const size_t lanes = hn::Lanes(df);
  auto largest = hn::Zero(df);
  for (size_t k = 0; k < kBlock; k += lanes)
    largest = hn::Max(largest, hn::Abs(hn::LoadU(df, x + k)));
  const float amax = hn::GetLane(hn::MaxOfLanes(df, largest));
  *scale = amax / 127.0f;
  const auto inverse =
      hn::Set(df, amax > 1e-30f ? 127.0f / amax : 0.0f);  // no overflow for tiny blocks
  const auto limit = hn::Set(di, 127);
  for (size_t k = 0; k < kBlock; k += lanes) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(df, x + k), inverse));
    hn::StoreU(hn::DemoteTo(d8, hn::Max(hn::Min(rounded, limit), hn::Neg(limit))), d8, q + k);
  }
}

// A row as quantize_q8 leaves it.
struct Q8Row {
  Q8Row(uint8_t* y, size_t row, size_t n_in)
      : scales(reinterpret_cast<float*>(y + row * Q8RowBytes(n_in))),
        values(reinterpret_cast<int8_t*>(scales + n_in / kBlock)) {}
  // Elements [i, i + 32).
  void Put(size_t i, const float* x) { QuantizeBlock(x, scales + i / kBlock, values + i); }

  float* scales;
  int8_t* values;
};

// 1 / sqrt(mean(x^2) + eps)
float RmsFactor(const float* x, size_t cols, float eps) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  auto sum0 = hn::Zero(df), sum1 = hn::Zero(df), sum2 = hn::Zero(df), sum3 = hn::Zero(df);
  size_t i = 0;
  for (; i + 4 * lanes <= cols; i += 4 * lanes) {
    const auto x0 = hn::LoadU(df, x + i), x1 = hn::LoadU(df, x + i + lanes);
    const auto x2 = hn::LoadU(df, x + i + 2 * lanes), x3 = hn::LoadU(df, x + i + 3 * lanes);
    sum0 = hn::MulAdd(x0, x0, sum0);
    sum1 = hn::MulAdd(x1, x1, sum1);
    sum2 = hn::MulAdd(x2, x2, sum2);
    sum3 = hn::MulAdd(x3, x3, sum3);
  }
  float sum = hn::GetLane(hn::SumOfLanes(df, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
  for (; i < cols; ++i) sum += x[i] * x[i];
  return 1.0f / std::sqrt(sum / static_cast<float>(cols) + eps);
}

// y = x * factor * weight
HWY_INLINE void Scale(const float* x, float factor, const float* weight, float* y, size_t count) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const auto factors = hn::Set(df, factor);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(df, x + i), factors), hn::LoadU(df, weight + i)), df,
               y + i);
  }
  for (; i < count; ++i) y[i] = x[i] * factor * weight[i];
}

void RmsNormT(const het_native_call* call) {
  const auto& params = ParamsOf<RmsNormParams>(call);
  const auto* x = Buffer<const float>(call, 0);
  const auto* weight = Buffer<const float>(call, 1);
  auto* y = Buffer<float>(call, 2);
  const GroupRange range = Groups(call, params.rows);
  for (uint64_t r = range.begin; r < range.end; ++r) {
    const float* row = x + r * params.cols;
    const float factor = RmsFactor(row, params.cols, params.eps);
    Scale(row, factor, weight, y + r * params.cols, params.cols);
  }
}

void RmsNormQ8T(const het_native_call* call) {
  const auto& params = ParamsOf<RmsNormParams>(call);
  const auto* x = Buffer<const float>(call, 0);
  const auto* weight = Buffer<const float>(call, 1);
  auto* y = Buffer<uint8_t>(call, 2);
  const GroupRange range = Groups(call, params.rows);
  for (uint64_t r = range.begin; r < range.end; ++r) {
    const float* row = x + r * params.cols;
    const float factor = RmsFactor(row, params.cols, params.eps);
    Q8Row out(y, r, params.cols);
    for (size_t i = 0; i < params.cols; i += kBlock) {
      HWY_ALIGN float normed[kBlock];
      Scale(row + i, factor, weight + i, normed, kBlock);
      out.Put(i, normed);
    }
  }
}

HWY_INLINE hn::Vec<DF> SiluMulOf(DF df, hn::Vec<DF> gate, hn::Vec<DF> up) {
  const auto largest =
      hn::Set(df, 88.0f);  // the Exp of Highway is defined as long as the result is finite
  const auto denominator = hn::Add(hn::Set(df, 1.0f), hn::Exp(df, hn::Min(hn::Neg(gate), largest)));
  return hn::Mul(hn::Div(gate, denominator), up);
}

void SiluMulT(const het_native_call* call) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const size_t count = ParamsOf<ElementwiseParams>(call).count;
  const auto* gate = Buffer<const float>(call, 0);
  const auto* up = Buffer<const float>(call, 1);
  auto* y = Buffer<float>(call, 2);
  const GroupRange range = Groups(call, CeilDiv(count, kElementwiseGroup));
  size_t i = range.begin * kElementwiseGroup;
  const size_t end = std::min<size_t>(range.end * kElementwiseGroup, count);
  for (; i + lanes <= end; i += lanes) {
    hn::StoreU(SiluMulOf(df, hn::LoadU(df, gate + i), hn::LoadU(df, up + i)), df, y + i);
  }
  if (i < end) {  // the tail through a padded vector: the same arithmetic for every element
    HWY_ALIGN float g[16] = {}, u[16] = {};
    std::memcpy(g, gate + i, (end - i) * sizeof(float));
    std::memcpy(u, up + i, (end - i) * sizeof(float));
    hn::Store(SiluMulOf(df, hn::Load(df, g), hn::Load(df, u)), df, g);
    std::memcpy(y + i, g, (end - i) * sizeof(float));
  }
}

void SiluMulQ8T(const het_native_call* call) {
  const DF df;
  const auto& params = ParamsOf<SiluMulQ8Params>(call);
  const auto* gate = Buffer<const float>(call, 0);
  const auto* up = Buffer<const float>(call, 1);
  auto* y = Buffer<uint8_t>(call, 2);
  const uint64_t pieces = CeilDiv(params.n_in, kElementwiseGroup);  // of a row
  const GroupRange range = Groups(call, params.rows * pieces);
  for (uint64_t group = range.begin; group < range.end; ++group) {
    const size_t r = group / pieces, begin = group % pieces * kElementwiseGroup;
    const size_t end = std::min<size_t>(begin + kElementwiseGroup, params.n_in);
    Q8Row out(y, r, params.n_in);
    for (size_t i = begin; i < end; i += kBlock) {
      HWY_ALIGN float gated[kBlock];
      for (size_t k = 0; k < kBlock; k += hn::Lanes(df)) {
        const size_t at = r * params.n_in + i + k;
        hn::Store(SiluMulOf(df, hn::LoadU(df, gate + at), hn::LoadU(df, up + at)), df, gated + k);
      }
      out.Put(i, gated);
    }
  }
}

void AddT(const het_native_call* call) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const size_t count = ParamsOf<ElementwiseParams>(call).count;
  const auto* a = Buffer<const float>(call, 0);
  const auto* b = Buffer<const float>(call, 1);
  auto* y = Buffer<float>(call, 2);
  const GroupRange range = Groups(call, CeilDiv(count, kElementwiseGroup));
  size_t i = range.begin * kElementwiseGroup;
  const size_t end = std::min<size_t>(range.end * kElementwiseGroup, count);
  for (; i + lanes <= end; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(df, a + i), hn::LoadU(df, b + i)), df, y + i);
  }
  for (; i < end; ++i) y[i] = a[i] + b[i];
}

void AddBiasT(const het_native_call* call) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const auto& params = ParamsOf<AddBiasParams>(call);
  auto* y = Buffer<float>(call, 0);
  const auto* bias = Buffer<const float>(call, 1);
  const GroupRange range = Groups(call, params.rows);
  for (uint64_t r = range.begin; r < range.end; ++r) {
    float* row = y + r * params.cols;
    size_t i = 0;
    for (; i + lanes <= params.cols; i += lanes)
      hn::StoreU(hn::Add(hn::LoadU(df, row + i), hn::LoadU(df, bias + i)), df, row + i);
    for (; i < params.cols; ++i) row[i] += bias[i];
  }
}

void QuantizeQ8T(const het_native_call* call) {
  const auto& params = ParamsOf<QuantizeParams>(call);
  const auto* x = Buffer<const float>(call, 0);
  auto* y = Buffer<uint8_t>(call, 1);
  const GroupRange range = Groups(call, params.rows);
  for (uint64_t r = range.begin; r < range.end; ++r) {
    Q8Row out(y, r, params.n_in);
    for (size_t i = 0; i < params.n_in; i += kBlock) out.Put(i, x + r * params.n_in + i);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(RmsNormT);
HWY_EXPORT(SiluMulT);
HWY_EXPORT(AddT);
HWY_EXPORT(AddBiasT);
HWY_EXPORT(QuantizeQ8T);
HWY_EXPORT(RmsNormQ8T);
HWY_EXPORT(SiluMulQ8T);

void RmsNorm(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(RmsNormT)(call); }
void SiluMul(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(SiluMulT)(call); }
void Add(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(AddT)(call); }
void AddBias(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(AddBiasT)(call); }
void QuantizeQ8(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(QuantizeQ8T)(call); }
void RmsNormQ8(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(RmsNormQ8T)(call); }
void SiluMulQ8(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(SiluMulQ8T)(call); }

}  // namespace hetllm::native
#endif
