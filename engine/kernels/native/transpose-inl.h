// Packing: four rows become columns. Included by foreach_target files only, inside no namespace.
#if defined(HET_ENGINE_KERNELS_NATIVE_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HET_ENGINE_KERNELS_NATIVE_TRANSPOSE_INL_H_
#undef HET_ENGINE_KERNELS_NATIVE_TRANSPOSE_INL_H_
#else
#define HET_ENGINE_KERNELS_NATIVE_TRANSPOSE_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// Stores the 128-bit blocks of v at to, to + 4 * stride, ...
template <class D, class V = hn::Vec<D>>
HWY_INLINE void StoreBlocks(D d, V v, float* HWY_RESTRICT to, size_t stride) {
  if constexpr (hn::MaxLanes(d) <= 4) {
    hn::StoreU(v, d, to);
  } else {
    const hn::Half<D> half;
    StoreBlocks(half, hn::LowerHalf(half, v), to, stride);
    StoreBlocks(half, hn::UpperHalf(half, v), to + hn::MaxLanes(half) * stride, stride);
  }
}

#endif

// to[k * stride + j] = from[j][k] for four rows j and k < count.
HWY_INLINE void TransposeFour(const float* const from[4], size_t count, float* HWY_RESTRICT to,
                              size_t stride) {
  size_t k = 0;
#if HWY_TARGET != HWY_SCALAR
  const HWY_CAPPED(float, 8) d;
  const hn::Repartition<double, decltype(d)> dd;
  for (; k + hn::Lanes(d) <= count; k += hn::Lanes(d)) {
    const auto r0 = hn::LoadU(d, from[0] + k), r1 = hn::LoadU(d, from[1] + k);
    const auto r2 = hn::LoadU(d, from[2] + k), r3 = hn::LoadU(d, from[3] + k);
    const auto a = hn::BitCast(dd, hn::InterleaveLower(d, r0, r1)),
               b = hn::BitCast(dd, hn::InterleaveLower(d, r2, r3));
    const auto c = hn::BitCast(dd, hn::InterleaveUpper(d, r0, r1)),
               e = hn::BitCast(dd, hn::InterleaveUpper(d, r2, r3));
    float* at = to + k * stride;
    StoreBlocks(d, hn::BitCast(d, hn::InterleaveLower(dd, a, b)), at, stride);
    StoreBlocks(d, hn::BitCast(d, hn::InterleaveUpper(dd, a, b)), at + stride, stride);
    StoreBlocks(d, hn::BitCast(d, hn::InterleaveLower(dd, c, e)), at + 2 * stride, stride);
    StoreBlocks(d, hn::BitCast(d, hn::InterleaveUpper(dd, c, e)), at + 3 * stride, stride);
  }
#endif
  for (; k < count; ++k) {
    for (size_t j = 0; j < 4; ++j) to[k * stride + j] = from[j][k];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#endif  // HET_ENGINE_KERNELS_NATIVE_TRANSPOSE_INL_H_
