// Horizontal sums of several vectors at once. Included by foreach_target files only, inside no
// namespace.
#if defined(HET_ENGINE_KERNELS_NATIVE_REDUCE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HET_ENGINE_KERNELS_NATIVE_REDUCE_INL_H_
#undef HET_ENGINE_KERNELS_NATIVE_REDUCE_INL_H_
#else
#define HET_ENGINE_KERNELS_NATIVE_REDUCE_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

template <class D, class V = hn::Vec<D>>
HWY_INLINE void StoreSumsOf4(D /*df*/, V a, V b, V c, V d, float* HWY_RESTRICT out) {
  out[0] = hn::GetLane(a), out[1] = hn::GetLane(b), out[2] = hn::GetLane(c),
  out[3] = hn::GetLane(d);
}

#else

// The sum of the 128-bit blocks of v.
template <class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<HWY_CAPPED(float, 4)> SumOfBlocks(D d, V v) {
  if constexpr (hn::MaxLanes(d) <= 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return SumOfBlocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// out = {sum(a), sum(b), sum(c), sum(d)}.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void StoreSumsOf4(D df, V a, V b, V c, V d, float* HWY_RESTRICT out) {
  const hn::Repartition<double, D> dd;
  const HWY_CAPPED(float, 4) d4;
  const auto ab = hn::Add(hn::InterleaveLower(df, a, b), hn::InterleaveUpper(df, a, b));
  const auto cd = hn::Add(hn::InterleaveLower(df, c, d), hn::InterleaveUpper(df, c, d));
  const auto low = hn::InterleaveLower(dd, hn::BitCast(dd, ab), hn::BitCast(dd, cd));
  const auto high = hn::InterleaveUpper(dd, hn::BitCast(dd, ab), hn::BitCast(dd, cd));
  hn::StoreU(SumOfBlocks(df, hn::Add(hn::BitCast(df, low), hn::BitCast(df, high))), d4, out);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#endif  // HET_ENGINE_KERNELS_NATIVE_REDUCE_INL_H_
