// Chooses the build of matmul_codes.h, and has the plain one.
#include "engine/kernels/native/matmul_codes.h"

#include <algorithm>

#include "engine/kernels/native/formats.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/matmul_codes.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

int64_t TargetT() { return HWY_TARGET; }

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {
namespace {

enum class Build { kPlainCode, kAvx2, kVnni };

HWY_EXPORT(TargetT);

// Follows Highway's choice, which tests narrow. Not by hwy::SupportedTargets: it asks the processor
// each time, which in a virtual machine costs as much as a small matmul.
Build Chosen() {
#if HWY_ARCH_X86_64
  const int64_t target = HWY_DYNAMIC_DISPATCH(TargetT)();
  static const bool vnni =
      __builtin_cpu_supports("avx512vnni") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0;
  if (target <= HWY_AVX3 && vnni) return Build::kVnni;
  if (target <= HWY_AVX2) return Build::kAvx2;
#endif
  return Build::kPlainCode;
}

template <WeightType kType>
void ExpandBlock(const uint8_t* w, uint8_t* codes, float* scale, float* minimum) {
  if constexpr (kSimpleBlocks<kType>) {
    scale[0] = LoadHalf(w);
    minimum[0] = Format<kType>::kBias * scale[0];
    for (size_t i = 0; i < kBlock; ++i) {
      if constexpr (kType == WeightType::kQ8_0) {
        codes[i] = w[2 + i] ^ 0x80;
      } else {
        codes[i] = i < kBlock / 2 ? w[2 + i] & 15 : w[2 + i - kBlock / 2] >> 4;
      }
    }
  } else {
    ExpandCodes<kType>(w, codes);
    ExpandScales<kType>(w, scale, minimum);
  }
}

template <WeightType kType>
void PlainCode(const MatmulCall& m, const MatmulRange& range) {
  constexpr size_t kElements = Format<kType>::kElements, kRun = Format<kType>::kRun;
  const size_t rows = range.rows_end - range.rows_begin, row_bytes = BytesOf<kType>(m.n_in);
  double* sums = Scratch<double>(ScratchUse::kPartials, rows);
  uint8_t codes[kElements];
  float scale[kElements / kRun], minimum[kElements / kRun];
  for (size_t o = range.columns_begin; o < range.columns_end; ++o) {
    std::fill_n(sums, rows, 0.0);
    for (size_t i = 0; i < m.n_in; i += kElements) {
      ExpandBlock<kType>(m.w + o * row_bytes + BytesOf<kType>(i), codes, scale, minimum);
      for (size_t r = 0; r < rows; ++r) {
        const uint8_t* row = m.x_q8 + (range.rows_begin + r) * Q8RowBytes(m.n_in);
        const auto* x_scales = reinterpret_cast<const float*>(row);
        const auto* x = reinterpret_cast<const int8_t*>(row + m.n_in / kBlock * sizeof(float)) + i;
        for (size_t run = 0; run < kElements / kRun; ++run) {
          int32_t dot = 0, sum = 0;
          for (size_t k = run * kRun; k < (run + 1) * kRun; ++k) {
            dot += codes[k] * x[k];
            sum += x[k];
          }
          sums[r] +=
              (static_cast<double>(scale[run]) * dot - static_cast<double>(minimum[run]) * sum) *
              x_scales[(i + run * kRun) / kBlock];
        }
      }
    }
    for (size_t r = 0; r < rows; ++r) {
      float& y = m.y[(range.rows_begin + r) * m.n_out + o];
      y = static_cast<float>(m.accumulate ? y + sums[r] : sums[r]);
    }
  }
}

void PlainCode(const MatmulCall& m, WeightType type, const MatmulRange& range) {
  ForType(type, [&]<WeightType kType>() {
    if constexpr (!kPlain<kType>) PlainCode<kType>(m, range);
  });
}

}  // namespace

void MatmulFewCodes(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  switch (Chosen()) {
#if HWY_ARCH_X86_64
    case Build::kVnni:
      return MatmulFewCodesVnni(m, type, begin, end);
    case Build::kAvx2:
      return MatmulFewCodesAvx2(m, type, begin, end);
#endif
    default:
      return PlainCode(m, type, {begin, end, 0, m.rows});
  }
}

void MatmulPackedCodes(const MatmulCall& m, WeightType type, const MatmulRange& range) {
  switch (Chosen()) {
#if HWY_ARCH_X86_64
    case Build::kVnni:
      return MatmulPackedCodesVnni(m, type, range);
    case Build::kAvx2:
      return MatmulPackedCodesAvx2(m, type, range);
#endif
    default:
      return PlainCode(m, type, range);
  }
}

}  // namespace hetllm::native
#endif
