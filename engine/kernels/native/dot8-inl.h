// int8 dot products of a quantised weight block with a block of quantised activations, per SIMD
// target. Included by foreach_target files only, inside no namespace.
#if defined(HET_ENGINE_KERNELS_NATIVE_DOT8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HET_ENGINE_KERNELS_NATIVE_DOT8_INL_H_
#undef HET_ENGINE_KERNELS_NATIVE_DOT8_INL_H_
#else
#define HET_ENGINE_KERNELS_NATIVE_DOT8_INL_H_
#endif

#include "engine/kernels/native/dequantize-inl.h"
#include "engine/kernels/native/formats.h"
#include "hwy/highway.h"

// x86 multiplies unsigned with signed bytes and adds pairs (pmaddubsw), which Highway 1.0 has no
// name for.
#undef HETLLM_BYTE_PAIRS
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
#define HETLLM_BYTE_PAIRS 1
#else
#define HETLLM_BYTE_PAIRS 0
#endif

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// BlockQ8: the 32 integers of a weight block, made ready to be multiplied several times. Some
// targets multiply Q4_0 as nibbles 0 .. 15 and not as -8 .. 7: kOffset is what the block has too
// much per element, to be taken off as kOffset * (sum of x) by the caller. BlockDot: the lanes of
// the result sum to the exact dot product of the block's integers with x[0..32), |x| <= 127.
#if HETLLM_BYTE_PAIRS

template <WeightType kType>
constexpr int kOffset = kType == WeightType::kQ4_0 ? 8 : 0;

using DBytes = hn::Repartition<int8_t, D8>;
constexpr size_t kByteVectors = kBlock / hn::MaxLanes(DBytes());

template <WeightType kType>
struct BlockQ8 {
  hn::Vec<DBytes> value[kByteVectors];
};

// Adjacent products a * b, a unsigned, added in pairs: int16 lanes. Saturates above 32767, which 2
// * 128 * 127 is not.
HWY_INLINE hn::Vec128<int16_t> PairSums(hn::Vec128<int8_t> a, hn::Vec128<int8_t> b) {
  return hn::Vec128<int16_t>{_mm_maddubs_epi16(a.raw, b.raw)};
}
// v * sign(sign); of a value with itself: its magnitude, 128 unsigned for -128.
HWY_INLINE hn::Vec128<int8_t> WithSignOf(hn::Vec128<int8_t> v, hn::Vec128<int8_t> sign) {
  return hn::Vec128<int8_t>{_mm_sign_epi8(v.raw, sign.raw)};
}
#if HWY_TARGET <= HWY_AVX2
HWY_INLINE hn::Vec256<int16_t> PairSums(hn::Vec256<int8_t> a, hn::Vec256<int8_t> b) {
  return hn::Vec256<int16_t>{_mm256_maddubs_epi16(a.raw, b.raw)};
}
HWY_INLINE hn::Vec256<int8_t> WithSignOf(hn::Vec256<int8_t> v, hn::Vec256<int8_t> sign) {
  return hn::Vec256<int8_t>{_mm256_sign_epi8(v.raw, sign.raw)};
}
#endif

template <WeightType kType>
HWY_INLINE BlockQ8<kType> LoadBlock(const uint8_t* block) {
  const DBytes d8;
  const hn::RebindToUnsigned<DBytes> du8;
  BlockQ8<kType> out;
  if constexpr (kType == WeightType::kQ8_0) {
    HETLLM_UNROLL for (size_t n = 0; n < kByteVectors; ++n) {
      out.value[n] =
          hn::LoadU(d8, reinterpret_cast<const int8_t*>(block) + 2 + n * hn::MaxLanes(d8));
    }
  } else {
    const auto bits = hn::Set(du8, 15);
    const auto packed = hn::LoadDup128(du8, block + 2);
    if constexpr (kByteVectors == 1) {
      // The lower half shifted by nothing, the upper half by a nibble.
      const hn::Repartition<uint64_t, DBytes> d64;
      alignas(32) static constexpr uint64_t kShifts[4] = {0, 0, 4, 4};
      const auto shifted = hn::Shr(hn::BitCast(d64, packed), hn::Load(d64, kShifts));
      out.value[0] = hn::BitCast(d8, hn::And(hn::BitCast(du8, shifted), bits));
    } else {
      const hn::Repartition<uint16_t, DBytes> d16;
      const auto shifted = hn::ShiftRight<4>(hn::BitCast(d16, packed));
      out.value[0] = hn::BitCast(d8, hn::And(packed, bits));
      out.value[kByteVectors - 1] = hn::BitCast(d8, hn::And(hn::BitCast(du8, shifted), bits));
    }
  }
  return out;
}

template <WeightType kType>
HWY_INLINE hn::Vec<D8> BlockDot(const BlockQ8<kType>& w, const int8_t* HWY_RESTRICT x) {
  const DBytes d8;
  const hn::Repartition<int16_t, D8> d16;
  const hn::Repartition<int32_t, D8> d32;
  auto sum = hn::Zero(d32), unused = hn::Zero(d32);
  HETLLM_UNROLL for (size_t n = 0; n < kByteVectors; ++n) {
    const auto vx = hn::LoadU(d8, x + n * hn::MaxLanes(d8));
    hn::Vec<decltype(d16)> pairs;
    if constexpr (kType == WeightType::kQ8_0) {
      pairs = PairSums(WithSignOf(w.value[n], w.value[n]), WithSignOf(vx, w.value[n]));
    } else {
      pairs = PairSums(w.value[n], vx);
    }
    sum = hn::ReorderWidenMulAccumulate(d32, pairs, hn::Set(d16, 1), sum, unused);
  }
  return hn::ConvertTo(D8(), sum);
}

#elif HWY_TARGET == HWY_SCALAR

template <WeightType kType>
constexpr int kOffset = 0;

template <WeightType kType>
struct BlockQ8 {
  int8_t value[kBlock];
};

template <WeightType kType>
HWY_INLINE BlockQ8<kType> LoadBlock(const uint8_t* block) {
  BlockQ8<kType> out;
  for (size_t i = 0; i < kBlock; ++i) {
    if constexpr (kType == WeightType::kQ8_0) {
      out.value[i] = static_cast<int8_t>(block[2 + i]);
    } else {
      const int nibble = i < kBlock / 2 ? block[2 + i] & 15 : block[2 + i - kBlock / 2] >> 4;
      out.value[i] = static_cast<int8_t>(nibble - 8);
    }
  }
  return out;
}

template <WeightType kType>
HWY_INLINE hn::Vec<D8> BlockDot(const BlockQ8<kType>& w, const int8_t* HWY_RESTRICT x) {
  int32_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) sum += w.value[i] * x[i];
  return hn::Set(D8(), static_cast<float>(sum));
}

#else

using DWords = hn::Repartition<int16_t, D8>;
constexpr size_t kWordVectors = kBlock / hn::MaxLanes(DWords());

template <WeightType kType>
constexpr int kOffset = 0;

template <WeightType kType>
struct BlockQ8 {
  hn::Vec<DWords> value[kWordVectors];
};

template <WeightType kType>
HWY_INLINE BlockQ8<kType> LoadBlock(const uint8_t* block) {
  const DWords d16;
  const hn::Rebind<int8_t, DWords> d8;
  const hn::Rebind<uint8_t, DWords> du8;
  const size_t lanes = hn::MaxLanes(d16);
  BlockQ8<kType> out;
  if constexpr (kType == WeightType::kQ8_0) {
    for (size_t n = 0; n < kWordVectors; ++n) {
      out.value[n] =
          hn::PromoteTo(d16, hn::LoadU(d8, reinterpret_cast<const int8_t*>(block) + 2 + n * lanes));
    }
  } else {
    for (size_t n = 0; n < kWordVectors / 2; ++n) {
      const auto wide = hn::PromoteTo(d16, hn::LoadU(du8, block + 2 + n * lanes));
      out.value[n] = hn::Sub(hn::And(wide, hn::Set(d16, 15)), hn::Set(d16, 8));
      out.value[n + kWordVectors / 2] = hn::Sub(hn::ShiftRight<4>(wide), hn::Set(d16, 8));
    }
  }
  return out;
}

template <WeightType kType>
HWY_INLINE hn::Vec<D8> BlockDot(const BlockQ8<kType>& w, const int8_t* HWY_RESTRICT x) {
  const DWords d16;
  const hn::Repartition<int32_t, D8> d32;
  const hn::Rebind<int8_t, DWords> d8;
  auto sum0 = hn::Zero(d32), sum1 = hn::Zero(d32);
  for (size_t n = 0; n < kWordVectors; ++n) {
    const auto vx = hn::PromoteTo(d16, hn::LoadU(d8, x + n * hn::MaxLanes(d16)));
    sum0 = hn::ReorderWidenMulAccumulate(d32, w.value[n], vx, sum0, sum1);
  }
  return hn::ConvertTo(D8(), hn::Add(sum0, sum1));
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#endif  // HET_ENGINE_KERNELS_NATIVE_DOT8_INL_H_
