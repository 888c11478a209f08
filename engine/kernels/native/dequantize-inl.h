// Weights to float32, per SIMD target. Included by foreach_target files only, inside no namespace.
#if defined(HET_ENGINE_KERNELS_NATIVE_DEQUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HET_ENGINE_KERNELS_NATIVE_DEQUANTIZE_INL_H_
#undef HET_ENGINE_KERNELS_NATIVE_DEQUANTIZE_INL_H_
#else
#define HET_ENGINE_KERNELS_NATIVE_DEQUANTIZE_INL_H_
#endif

#include "engine/kernels/native/formats.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes, so that a block of 32 is a whole number of vectors on every target.
using DF = HWY_CAPPED(float, 16);

// The f16 at `from` (any alignment) in every lane.
template <class D>
HWY_INLINE hn::Vec<D> BroadcastHalf(D df, const uint8_t* from) {
  const hn::Rebind<hwy::float16_t, D> dh;
  const hn::Rebind<uint16_t, D> du;
  uint16_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return hn::PromoteTo(df, hn::BitCast(dh, hn::Set(du, bits)));
}

// Lanes(df) consecutive f16.
HWY_INLINE hn::Vec<DF> LoadHalves(DF df, const uint8_t* from) {
  const hn::Rebind<hwy::float16_t, DF> dh;
  const hn::Rebind<uint16_t, DF> du;
  return hn::PromoteTo(df, hn::BitCast(dh, hn::LoadU(du, reinterpret_cast<const uint16_t*>(from))));
}

// Lanes(df) consecutive int8.
HWY_INLINE hn::Vec<DF> LoadInt8(DF df, const uint8_t* from) {
  const hn::Rebind<int32_t, DF> di;
  const hn::Rebind<int8_t, DF> d8;
  const auto bytes = hn::LoadU(d8, reinterpret_cast<const int8_t*>(from));
  return hn::ConvertTo(df, hn::PromoteTo(di, bytes));
}

// The nibbles of Lanes(df) consecutive bytes, minus 8: elements i.. (low) and 16 + i.. (high) of a Q4_0 block.
HWY_INLINE void LoadNibbles(DF df, const uint8_t* from, hn::Vec<DF>& low, hn::Vec<DF>& high) {
  const hn::Rebind<int32_t, DF> di;
  const hn::Rebind<uint8_t, DF> d8;
  const auto wide = hn::PromoteTo(di, hn::LoadU(d8, from));
  const auto eight = hn::Set(di, 8);
  low = hn::ConvertTo(df, hn::Sub(hn::And(wide, hn::Set(di, 15)), eight));
  high = hn::ConvertTo(df, hn::Sub(hn::ShiftRight<4>(wide), eight));
}

// out[0..count) = elements first.. of the row. For the quantised types first and count are multiples of 32.
template <WeightType kType>
HWY_INLINE void Dequantize(const uint8_t* row, size_t first, size_t count, float* HWY_RESTRICT out) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const uint8_t* from = row + BytesOf<kType>(first);
  if constexpr (kType == WeightType::kF32) {
    std::memcpy(out, from, count * sizeof(float));
  } else if constexpr (kType == WeightType::kF16) {
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) hn::StoreU(LoadHalves(df, from + 2 * i), df, out + i);
    for (; i < count; ++i) out[i] = LoadHalf(from + 2 * i);
  } else {
    for (size_t i = 0; i < count; i += kBlock, from += Format<kType>::kBytes, out += kBlock) {
      const auto scale = BroadcastHalf(df, from);
      if constexpr (kType == WeightType::kQ8_0) {
        for (size_t k = 0; k < kBlock; k += lanes) {
          hn::StoreU(hn::Mul(scale, LoadInt8(df, from + 2 + k)), df, out + k);
        }
      } else {
        for (size_t k = 0; k < kBlock / 2; k += lanes) {
          hn::Vec<DF> low, high;
          LoadNibbles(df, from + 2 + k, low, high);
          hn::StoreU(hn::Mul(scale, low), df, out + k);
          hn::StoreU(hn::Mul(scale, high), df, out + k + kBlock / 2);
        }
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#endif  // HET_ENGINE_KERNELS_NATIVE_DEQUANTIZE_INL_H_
