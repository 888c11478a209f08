// Matmul with int8 activations and few rows (decode). A block of 32 is one exact int32 dot product, scaled by both scales.
#include "engine/kernels/native/matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/matmul_few_q8.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "engine/kernels/native/dequantize-inl.h"
#include "engine/kernels/native/reduce-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {

// At most 8 lanes: int8 products are pairwise sums of 16 int16 lanes, half a block.
using D8 = HWY_CAPPED(float, 8);

// The lanes of the result sum to the dot product of one block.
#if HWY_TARGET == HWY_SCALAR

template <WeightType kType>
HWY_INLINE hn::Vec<D8> BlockDot(const uint8_t* w, const int8_t* HWY_RESTRICT x) {
  int32_t sum = 0;
  if constexpr (kType == WeightType::kQ8_0) {
    for (size_t k = 0; k < kBlock; ++k) sum += static_cast<int8_t>(w[2 + k]) * x[k];
  } else {
    for (size_t k = 0; k < kBlock / 2; ++k) {
      sum += ((w[2 + k] & 15) - 8) * x[k] + ((w[2 + k] >> 4) - 8) * x[k + kBlock / 2];
    }
  }
  return hn::Set(D8(), static_cast<float>(sum));
}

#else

template <WeightType kType>
HWY_INLINE hn::Vec<D8> BlockDot(const uint8_t* w, const int8_t* HWY_RESTRICT x) {
  const hn::Repartition<int16_t, D8> di16;
  const hn::Repartition<int32_t, D8> di32;
  const hn::Rebind<int8_t, decltype(di16)> d8;
  const hn::Rebind<uint8_t, decltype(di16)> du8;
  const size_t lanes = hn::Lanes(di16);
  auto sum0 = hn::Zero(di32), sum1 = hn::Zero(di32);
  if constexpr (kType == WeightType::kQ8_0) {
    for (size_t k = 0; k < kBlock; k += lanes) {
      const auto vw = hn::PromoteTo(di16, hn::LoadU(d8, reinterpret_cast<const int8_t*>(w + 2 + k)));
      const auto vx = hn::PromoteTo(di16, hn::LoadU(d8, x + k));
      sum0 = hn::ReorderWidenMulAccumulate(di32, vw, vx, sum0, sum1);
    }
  } else {
    const auto eight = hn::Set(di16, 8);
    for (size_t k = 0; k < kBlock / 2; k += lanes) {
      const auto wide = hn::PromoteTo(di16, hn::LoadU(du8, w + 2 + k));
      const auto low = hn::Sub(hn::And(wide, hn::Set(di16, 15)), eight);
      const auto high = hn::Sub(hn::ShiftRight<4>(wide), eight);
      const auto x_low = hn::PromoteTo(di16, hn::LoadU(d8, x + k));
      const auto x_high = hn::PromoteTo(di16, hn::LoadU(d8, x + k + kBlock / 2));
      sum0 = hn::ReorderWidenMulAccumulate(di32, low, x_low, sum0, sum1);
      sum0 = hn::ReorderWidenMulAccumulate(di32, high, x_high, sum0, sum1);
    }
  }
  return hn::ConvertTo(D8(), hn::Add(sum0, sum1));
}

#endif

template <WeightType kType>
void FewRows(const MatmulCall& m, size_t begin, size_t end) {
  const D8 df;
  constexpr size_t kBytes = Format<kType>::kBytes;
  const size_t blocks = m.n_in / kBlock, row_bytes = blocks * kBytes;
  for (size_t o = begin; o < end; o += 4) {
    const size_t valid = std::min<size_t>(4, end - o);
    const uint8_t* w[4];
    for (size_t j = 0; j < 4; ++j) w[j] = m.w + (o + std::min(j, valid - 1)) * row_bytes;
    for (size_t r = 0; r < m.rows; ++r) {
      const uint8_t* row = m.x_q8 + r * Q8RowBytes(m.n_in);
      const auto* scales = reinterpret_cast<const float*>(row);
      const auto* x = reinterpret_cast<const int8_t*>(row + blocks * sizeof(float));
      hn::Vec<D8> s[4] = {hn::Zero(df), hn::Zero(df), hn::Zero(df), hn::Zero(df)};
      for (size_t b = 0; b < blocks; ++b) {
        const auto x_scale = hn::Set(df, scales[b]);
        for (size_t j = 0; j < 4; ++j) {
          const auto dot = BlockDot<kType>(w[j] + b * kBytes, x + b * kBlock);
          s[j] = hn::MulAdd(hn::Mul(BroadcastHalf(df, w[j] + b * kBytes), x_scale), dot, s[j]);
        }
      }
      alignas(16) float out[4];
      StoreSumsOf4(df, s[0], s[1], s[2], s[3], out);
      float* y = m.y + r * m.n_out + o;
      for (size_t j = 0; j < valid; ++j) y[j] = m.accumulate ? y[j] + out[j] : out[j];
    }
  }
}

void FewRowsQ8T(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  if (type == WeightType::kQ8_0) {
    FewRows<WeightType::kQ8_0>(m, begin, end);
  } else {
    FewRows<WeightType::kQ4_0>(m, begin, end);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(FewRowsQ8T);
void MatmulFewRowsQ8(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(FewRowsQ8T)(m, type, begin, end);
}

}  // namespace hetllm::native
#endif
