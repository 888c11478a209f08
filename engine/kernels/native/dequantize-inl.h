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

// The loops over register tiles have constant bounds and must be gone in the machine code.
#undef HETLLM_UNROLL
#if HWY_TARGET == HWY_SCALAR
#define HETLLM_UNROLL
#else
#define HETLLM_UNROLL _Pragma("GCC unroll 32")
#endif

// At most 16 lanes, so that a block of 32 is a whole number of vectors on every target.
using DF = HWY_CAPPED(float, 16);

// At most 8 lanes, for what is done with the scales of kGroup blocks at once.
using D8 = HWY_CAPPED(float, 8);
constexpr size_t kGroup = 8;
constexpr size_t kGroupVectors = kGroup / hn::MaxLanes(D8());

// The f16 at `from` (any alignment) in every lane.
template <class D>
HWY_INLINE hn::Vec<D> BroadcastHalf(D df, const uint8_t* from) {
  const hn::Rebind<hwy::float16_t, D> dh;
  const hn::Rebind<uint16_t, D> du;
  uint16_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return hn::PromoteTo(df, hn::BitCast(dh, hn::Set(du, bits)));
}

// Makes the compiler store values and broadcast them from memory, which costs a load each, where it
// would rather keep the vector and take it apart with two shuffles per value: the shuffle units are
// what these kernels run out of.
HWY_INLINE void KeepInMemory(const float* values) {
  __asm__ volatile("" : : "r"(values) : "memory");
}

// The f16 scales of kGroup consecutive blocks of kBytes bytes.
template <size_t kBytes, class D>
HWY_INLINE void LoadScales(D d8, const uint8_t* blocks, hn::Vec<D> (&out)[kGroupVectors]) {
#if HWY_TARGET == HWY_SCALAR
  for (size_t i = 0; i < kGroup; ++i) out[i] = hn::Set(d8, LoadHalf(blocks + i * kBytes));
#else
  const hn::Rebind<hwy::float16_t, D> dh;
  const hn::Rebind<uint16_t, D> du;
  const HWY_CAPPED(uint16_t, 8) d16;
  uint16_t bits[kGroup];
  HETLLM_UNROLL for (size_t i = 0; i < kGroup; ++i)
      std::memcpy(&bits[i], blocks + i * kBytes, sizeof(bits[i]));
#if HWY_ARCH_X86 && HWY_TARGET != HWY_EMU128
  // In registers: stores of parts would stall the load of the whole.
  const hn::Vec<decltype(d16)> halves{_mm_setr_epi16(
      static_cast<int16_t>(bits[0]), static_cast<int16_t>(bits[1]), static_cast<int16_t>(bits[2]),
      static_cast<int16_t>(bits[3]), static_cast<int16_t>(bits[4]), static_cast<int16_t>(bits[5]),
      static_cast<int16_t>(bits[6]), static_cast<int16_t>(bits[7]))};
#else
  const auto halves = hn::LoadU(d16, bits);
#endif
  if constexpr (hn::MaxLanes(D()) == kGroup) {
    out[0] = hn::PromoteTo(d8, hn::BitCast(dh, halves));
  } else {
    out[0] = hn::PromoteTo(d8, hn::BitCast(dh, hn::LowerHalf(du, halves)));
    out[kGroupVectors - 1] = hn::PromoteTo(d8, hn::BitCast(dh, hn::UpperHalf(du, halves)));
  }
#endif
}

// Lanes(df) consecutive f16.
template <class D>
HWY_INLINE hn::Vec<D> LoadHalves(D df, const uint8_t* from) {
  const hn::Rebind<hwy::float16_t, D> dh;
  const hn::Rebind<uint16_t, D> du;
  return hn::PromoteTo(df, hn::BitCast(dh, hn::LoadU(du, reinterpret_cast<const uint16_t*>(from))));
}

// Lanes(df) consecutive bfloat16.
template <class D>
HWY_INLINE hn::Vec<D> LoadBfloats(D df, const uint8_t* from) {
  const hn::Rebind<uint16_t, D> du;
  const hn::Rebind<uint32_t, D> dw;
  const auto bits = hn::PromoteTo(dw, hn::LoadU(du, reinterpret_cast<const uint16_t*>(from)));
  return hn::BitCast(df, hn::ShiftLeft<16>(bits));
}

// Lanes(df) consecutive elements of a plain type.
template <WeightType kType, class D>
HWY_INLINE hn::Vec<D> LoadPlain(D df, const uint8_t* from) {
  if constexpr (kType == WeightType::kF32) {
    return hn::LoadU(df, reinterpret_cast<const float*>(from));
  } else if constexpr (kType == WeightType::kBF16) {
    return LoadBfloats(df, from);
  } else {
    return LoadHalves(df, from);
  }
}

// A block of a quantised type as floats, in two steps: a half of 16 elements is prepared, and
// vector v of it expanded. Element = f16 scale * kUnit * expanded element.
#if HWY_TARGET == HWY_SCALAR

template <WeightType kType>
constexpr float kUnit = 1.0f;
using HalfBlock = const uint8_t*;

template <WeightType kType>
HWY_INLINE HalfBlock PrepareHalf(const uint8_t* block, size_t half) {
  return block + 2 + (kType == WeightType::kQ8_0 ? half * kBlock / 2 : 0);
}

template <WeightType kType>
HWY_INLINE hn::Vec<DF> ExpandHalf(DF df, HalfBlock from, size_t half, size_t v) {
  if constexpr (kType == WeightType::kQ8_0) {
    return hn::Set(df, static_cast<float>(static_cast<int8_t>(from[v])));
  } else {
    return hn::Set(df, static_cast<float>((half == 0 ? from[v] & 15 : from[v] >> 4) - 8));
  }
}

#else

// Bytes are shuffled to the top of 32-bit lanes, which is one operation where sign extension is
// two; nibbles with their sign bit flipped are the top four bits of nibble - 8. So elements come
// out as multiples of 2^24 and 2^28.
template <WeightType kType>
constexpr float kUnit = kType == WeightType::kQ8_0 ? 0x1p-24f : 0x1p-28f;
using DBytesOfFloats = hn::Repartition<uint8_t, DF>;
using HalfBlock = hn::Vec<DBytesOfFloats>;  // the 16 bytes in every 128-bit block

template <WeightType kType>
HWY_INLINE HalfBlock PrepareHalf(const uint8_t* block, size_t half) {
  const DBytesOfFloats d8;
  const hn::Repartition<uint16_t, DF> d16;
  if constexpr (kType == WeightType::kQ8_0)
    return hn::LoadDup128(d8, block + 2 + half * kBlock / 2);
  auto flipped = hn::Xor(hn::LoadDup128(d8, block + 2), hn::Set(d8, 0x88));
  if (half == 0) flipped = hn::BitCast(d8, hn::ShiftLeft<4>(hn::BitCast(d16, flipped)));
  return hn::And(flipped, hn::Set(d8, 0xf0));
}

template <WeightType kType>
HWY_INLINE hn::Vec<DF> ExpandHalf(DF df, HalfBlock from, size_t /*half*/, size_t v) {
  const hn::Rebind<int32_t, DF> di;
  const hn::Rebind<uint32_t, DF> du;
  // Byte 3 of lane i comes from byte v * lanes + i, the others are zero.
  const auto first = hn::Iota(du, static_cast<uint32_t>(v * hn::Lanes(df)));
  const auto index = hn::Or(hn::ShiftLeft<24>(first), hn::Set(du, 0x808080u));
  const auto top = hn::TableLookupBytesOr0(from, hn::BitCast(DBytesOfFloats(), index));
  return hn::ConvertTo(df, hn::BitCast(di, top));
}

#endif

constexpr size_t kHalfVectors = kBlock / 2 / hn::MaxLanes(DF());

// One block of a K type.
template <WeightType kType>
HWY_INLINE void DequantizeSuper(const uint8_t* block, float* HWY_RESTRICT out) {
  constexpr size_t kRun = Format<kType>::kRun;
  const DF df;
  const hn::Rebind<int32_t, DF> di;
  const hn::Rebind<uint8_t, DF> d8;
  const size_t lanes = hn::Lanes(df);
  HWY_ALIGN uint8_t codes[kSuper];
  float scale[kSuper / kRun], minimum[kSuper / kRun];
  ExpandCodes<kType>(block, codes);
  ExpandScales<kType>(block, scale, minimum);
  for (size_t run = 0; run < kSuper / kRun; ++run) {
    const auto by = hn::Set(df, scale[run]), less = hn::Set(df, minimum[run]);
    for (size_t i = run * kRun; i < (run + 1) * kRun; i += lanes) {
      const auto code = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(d8, codes + i)));
      hn::StoreU(hn::MulSub(code, by, less), df, out + i);
    }
  }
}

// out[0..count) = elements first.. of the row. For the quantised types first and count are
// multiples of their block.
template <WeightType kType>
HWY_INLINE void Dequantize(const uint8_t* row, size_t first, size_t count,
                           float* HWY_RESTRICT out) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const uint8_t* from = row + BytesOf<kType>(first);
  if constexpr (kType == WeightType::kF32) {
    std::memcpy(out, from, count * sizeof(float));
  } else if constexpr (kType == WeightType::kF16) {
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) hn::StoreU(LoadHalves(df, from + 2 * i), df, out + i);
    for (; i < count; ++i) out[i] = LoadHalf(from + 2 * i);
  } else if constexpr (kType == WeightType::kBF16) {
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) hn::StoreU(LoadBfloats(df, from + 2 * i), df, out + i);
    for (; i < count; ++i) out[i] = LoadBfloat(from + 2 * i);
  } else if constexpr (!kSimpleBlocks<kType>) {
    for (size_t i = 0; i < count; i += kSuper, from += Format<kType>::kBytes)
      DequantizeSuper<kType>(from, out + i);
  } else {
    const auto unit = hn::Set(df, kUnit<kType>);
    for (size_t i = 0; i < count; i += kBlock, from += Format<kType>::kBytes, out += kBlock) {
      const auto scale = hn::Mul(BroadcastHalf(df, from), unit);
      HETLLM_UNROLL for (size_t half = 0; half < 2; ++half) {
        const HalfBlock bytes = PrepareHalf<kType>(from, half);
        HETLLM_UNROLL for (size_t v = 0; v < kHalfVectors; ++v) {
          hn::StoreU(hn::Mul(scale, ExpandHalf<kType>(df, bytes, half, v)), df,
                     out + half * kBlock / 2 + v * lanes);
        }
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#endif  // HET_ENGINE_KERNELS_NATIVE_DEQUANTIZE_INL_H_
