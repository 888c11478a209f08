// The text of matmul_codes_avx2.cc and matmul_codes_vnni.cc, which say by macros what it is built
// for.
//
// Few rows: weight rows stream through; eight blocks of 32 at a time become codes in registers, and
// scales that are multiplied with those of x together. Many rows: the blocking of matmul_packed.cc
// over codes: one 32-bit lane holds four consecutive codes of one output, against the same four
// bytes of a row of x in every lane.
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "engine/kernels/native/formats.h"
#include "engine/kernels/native/grids.h"
#include "engine/kernels/native/matmul_codes.h"
#include "hwy/cache_control.h"

HWY_PUSH_ATTRIBUTES(HETLLM_INSTRUCTIONS)

namespace hetllm::native {
namespace HETLLM_BUILD {
namespace {

#define HETLLM_UNROLL _Pragma("GCC unroll 16")

constexpr size_t kGroup = 8;  // blocks that are done together: a block of the K types
template <WeightType kType>
constexpr size_t kGroupBytes = BytesOf<kType>(kGroup* kBlock);
template <WeightType kType>
constexpr size_t kRunsPerBlock = kBlock / Format<kType>::kRun;

// Without VNNI products are added in pairs of 16 bits, which codes above 127 would overflow: Q8_0
// stays signed there, and nothing is to be taken off.
template <WeightType kType>
constexpr bool kSigned = !HETLLM_VNNI && kType == WeightType::kQ8_0;
template <WeightType kType>
constexpr int kBias = kSigned<kType> ? 0 : Format<kType>::kBias;
// What is to be taken off per run: kBias times its scale, or its own minimum.
template <WeightType kType>
constexpr bool kTakesOff = kBias<kType> != 0 || kHasMinimums<kType>;

// Makes the compiler keep values in memory and broadcast them from there (a load each), where it
// would take a vector apart with shuffles.
HWY_INLINE void KeepInMemory(const float* values) {
  __asm__ volatile("" : : "r"(values) : "memory");
}

HWY_INLINE __m256i Load32(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

// The codes of block i of a group.
template <WeightType kType>
HWY_INLINE __m256i LoadCodes(const uint8_t* group, int i) {
  const __m256i nibble = _mm256_set1_epi8(15);
  if constexpr (kType == WeightType::kQ8_0) {
    const __m256i bytes = Load32(group + i * 34 + 2);
    return kSigned<kType> ? bytes : _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
  } else if constexpr (kType == WeightType::kQ4_0) {
    const __m256i both = _mm256_broadcastsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(group + i * 18 + 2)));
    return _mm256_and_si256(_mm256_srlv_epi64(both, _mm256_setr_epi64x(0, 0, 4, 4)), nibble);
  } else if constexpr (kType == WeightType::kQ6_K) {
    const __m256i low = Load32(group + 64 * (i / 4) + 32 * (i & 1));
    const __m256i high = Load32(group + 128 + 32 * (i / 4));
    const __m256i four = _mm256_and_si256(i % 4 < 2 ? low : _mm256_srli_epi16(low, 4), nibble);
    const __m256i two = i % 4 == 0   ? _mm256_slli_epi16(high, 4)
                        : i % 4 == 1 ? _mm256_slli_epi16(high, 2)
                        : i % 4 == 2 ? high
                                     : _mm256_srli_epi16(high, 2);
    return _mm256_or_si256(four, _mm256_and_si256(two, _mm256_set1_epi8(0x30)));
  } else {
    const __m256i from = Load32(group + (kType == WeightType::kQ5_K ? 48 : 16) + 32 * (i / 2));
    const __m256i four = _mm256_and_si256(i % 2 == 0 ? from : _mm256_srli_epi16(from, 4), nibble);
    if constexpr (kType == WeightType::kQ4_K) return four;
    const __m256i bits = Load32(group + 16);
    const __m256i fifth = i < 4 ? _mm256_slli_epi16(bits, 4 - i) : _mm256_srli_epi16(bits, i - 4);
    return _mm256_or_si256(four, _mm256_and_si256(fifth, _mm256_set1_epi8(16)));
  }
}

HWY_INLINE __m256 FloatsOfBytes(uint64_t bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(bytes))));
}

// The scales of a group's runs and, where the type has them, its minimums.
template <WeightType kType>
HWY_INLINE void LoadScales(const uint8_t* group, __m256 (&scales)[kRunsPerBlock<kType>],
                           __m256& minimums) {
  if constexpr (kSimpleBlocks<kType>) {
    constexpr size_t kBytes = Format<kType>::kBytes;
    short bits[kGroup];
    HETLLM_UNROLL for (size_t i = 0; i < kGroup; ++i)
        std::memcpy(&bits[i], group + i * kBytes, sizeof(bits[i]));
    scales[0] = _mm256_cvtph_ps(
        _mm_setr_epi16(bits[0], bits[1], bits[2], bits[3], bits[4], bits[5], bits[6], bits[7]));
  } else if constexpr (kType == WeightType::kQ6_K) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(group + 192));
    const __m256 d = _mm256_set1_ps(LoadHalf(group + 208));
    scales[0] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
    scales[1] = _mm256_mul_ps(
        d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes))));
  } else {
    const KScales bytes = UnpackKScales(group + 4);
    int32_t both;
    std::memcpy(&both, group, sizeof(both));
    const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128(both));
    scales[0] = _mm256_mul_ps(_mm256_broadcastss_ps(d), FloatsOfBytes(bytes.scales));
    minimums =
        _mm256_mul_ps(_mm256_broadcastss_ps(_mm_movehdup_ps(d)), FloatsOfBytes(bytes.minimums));
  }
}

// Products of 32 codes with 32 bytes of x, as eight sums of four.
template <WeightType kType>
HWY_INLINE __m256i DotBlock(__m256i codes, const int8_t* x) {
  const __m256i bytes = Load32(x);
#if HETLLM_VNNI
  return _mm256_dpbusd_epi32(_mm256_setzero_si256(), codes, bytes);
#else
  const __m256i pairs = kSigned<kType> ? _mm256_maddubs_epi16(_mm256_sign_epi8(codes, codes),
                                                              _mm256_sign_epi8(bytes, codes))
                                       : _mm256_maddubs_epi16(codes, bytes);
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#endif
}

HWY_INLINE float SumOf(__m256 v) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

// One row of quantised activations. taken_off: per run, scale times the sum of the bytes (times
// kBias): what a unit of weight scale, or of minimum, has too much.
struct RowQ8 {
  const float* scales;
  const int8_t* values;
  const float* taken_off;
};

HWY_INLINE RowQ8 RowOf(const MatmulCall& m, size_t r) {
  const uint8_t* row = m.x_q8 + r * Q8RowBytes(m.n_in);
  return {reinterpret_cast<const float*>(row),
          reinterpret_cast<const int8_t*>(row + m.n_in / kBlock * sizeof(float)), nullptr};
}

// The sums of the two halves of 32 bytes.
HWY_INLINE void SumHalves(const int8_t* x, int32_t (&sums)[2]) {
  const __m256i words =
      _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), Load32(x)), _mm256_set1_epi16(1));
  const auto half = [](__m128i v) {
    v = _mm_add_epi32(v, _mm_shuffle_epi32(v, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(v, _mm_shuffle_epi32(v, 0xb1)));
  };
  sums[0] = half(_mm256_castsi256_si128(words));
  sums[1] = half(_mm256_extracti128_si256(words, 1));
}

template <WeightType kType>
const float* TakenOff(const MatmulCall& m) {
  const size_t blocks = m.n_in / kBlock;
  constexpr float kTimes = kHasMinimums<kType> ? 1 : kBias<kType>;
  float* out = Scratch<float>(ScratchUse::kRowScales, m.rows * blocks * kRunsPerBlock<kType>);
  for (size_t r = 0; r < m.rows; ++r) {
    const RowQ8 x = RowOf(m, r);
    float* to = out + r * blocks * kRunsPerBlock<kType>;
    for (size_t b = 0; b < blocks; ++b) {
      int32_t sums[2];
      SumHalves(x.values + b * kBlock, sums);
      if constexpr (kRunsPerBlock<kType> == 2) {
        to[2 * b] = kTimes * x.scales[b] * static_cast<float>(sums[0]);
        to[2 * b + 1] = kTimes * x.scales[b] * static_cast<float>(sums[1]);
      } else {
        to[b] = kTimes * x.scales[b] * static_cast<float>(sums[0] + sums[1]);
      }
    }
  }
  return out;
}

#if HETLLM_VNNI
constexpr size_t kFewTile = 8;  // rows of x that share one pass over a weight row
#else
constexpr size_t kFewTile = 4;
#endif
constexpr size_t kAhead = 2048;  // bytes that the weights are fetched before they are used
// Where the work per byte leaves the hardware's prefetcher idle; one row of Q8_0 keeps it busy.
template <WeightType kType, size_t kRows>
constexpr bool kFetches = kType != WeightType::kQ8_0 || kRows > 1;

// out[r * stride] = x[r] . w, or += of it, for kRows rows of x.
template <WeightType kType, size_t kRows>
HWY_INLINE void Dots(const uint8_t* w, const RowQ8* x, size_t blocks, bool accumulate, float* out,
                     size_t stride) {
  constexpr size_t kRuns = kRunsPerBlock<kType>;
  constexpr size_t kChains = kRows == 1 ? 4 : kRows <= 4 ? 2 : 1;
  __m256 sum[kRows][kChains], off[kRows];
  float rest[kRows] = {};
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
    off[r] = _mm256_setzero_ps();
    HETLLM_UNROLL for (size_t c = 0; c < kChains; ++c) sum[r][c] = _mm256_setzero_ps();
  }
  const __m256i halves = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
  const __m256i twice_low = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  const __m256i twice_high = _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7);
  size_t b = 0;
  for (; b + kGroup <= blocks; b += kGroup, w += kGroupBytes<kType>) {
    if constexpr (kFetches<kType, kRows>) {
      HETLLM_UNROLL for (size_t line = 0; line < kGroupBytes<kType>; line += 64)
          hwy::Prefetch(w + kAhead + line);
    }
    __m256 scales[kRuns], minimums = _mm256_setzero_ps();
    LoadScales<kType>(w, scales, minimums);
    // One row keeps the products of scales in registers, from where a shuffle spreads each; several
    // rows have no registers left and broadcast them from memory.
    __m256 both[kRows][kRuns];
    alignas(32) float stored[kRows][kGroup * kRuns];
    HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
      const __m256 x_scales = _mm256_loadu_ps(x[r].scales + b);
      if constexpr (kRuns == 2) {
        both[r][0] = _mm256_mul_ps(scales[0], _mm256_permutevar8x32_ps(x_scales, twice_low));
        both[r][1] = _mm256_mul_ps(scales[1], _mm256_permutevar8x32_ps(x_scales, twice_high));
      } else {
        both[r][0] = _mm256_mul_ps(scales[0], x_scales);
      }
      if constexpr (kRows > 1) {
        HETLLM_UNROLL for (size_t v = 0; v < kRuns; ++v)
            _mm256_store_ps(stored[r] + 8 * v, both[r][v]);
      }
      if constexpr (kTakesOff<kType>) {
        HETLLM_UNROLL for (size_t v = 0; v < kRuns; ++v) {
          off[r] = _mm256_fmadd_ps(kHasMinimums<kType> ? minimums : scales[v],
                                   _mm256_loadu_ps(x[r].taken_off + b * kRuns + 8 * v), off[r]);
        }
      }
    }
    if constexpr (kRows > 1) KeepInMemory(stored[0]);
    HETLLM_UNROLL for (size_t i = 0; i < kGroup; ++i) {
      const __m256i codes = LoadCodes<kType>(w, static_cast<int>(i));
      HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
        const __m256 dot =
            _mm256_cvtepi32_ps(DotBlock<kType>(codes, x[r].values + (b + i) * kBlock));
        __m256 scale;
        if constexpr (kRows == 1) {
          const int first = static_cast<int>(i * kRuns % 8),
                    last = first + static_cast<int>(kRuns) - 1;
          const __m256i from =
              _mm256_setr_epi32(first, first, first, first, last, last, last, last);
          scale = _mm256_permutevar8x32_ps(both[0][i * kRuns / 8], from);
        } else if constexpr (kRuns == 2) {
          const auto* pair = reinterpret_cast<const double*>(stored[r] + 2 * i);
          scale = _mm256_permutevar8x32_ps(_mm256_castpd_ps(_mm256_broadcast_sd(pair)), halves);
        } else {
          scale = _mm256_broadcast_ss(stored[r] + i);
        }
        sum[r][i % kChains] = _mm256_fmadd_ps(scale, dot, sum[r][i % kChains]);
      }
    }
  }
  if constexpr (kSimpleBlocks<kType>) {
    for (; b < blocks; ++b, w += Format<kType>::kBytes) {
      const __m256i codes = LoadCodes<kType>(w, 0);
      const float scale = LoadHalf(w);
      for (size_t r = 0; r < kRows; ++r) {
        const __m256 dot = _mm256_cvtepi32_ps(DotBlock<kType>(codes, x[r].values + b * kBlock));
        sum[r][0] = _mm256_fmadd_ps(_mm256_set1_ps(scale * x[r].scales[b]), dot, sum[r][0]);
        if constexpr (kTakesOff<kType>) rest[r] += scale * x[r].taken_off[b];
      }
    }
  }
  HETLLM_UNROLL for (size_t r = 0; r < kRows; ++r) {
    HETLLM_UNROLL for (size_t c = 1; c < kChains; ++c) sum[r][0] =
        _mm256_add_ps(sum[r][0], sum[r][c]);
    const float total = SumOf(_mm256_sub_ps(sum[r][0], off[r])) - rest[r];
    out[r * stride] = accumulate ? out[r * stride] + total : total;
  }
}

// Outputs [begin, end) of rows r .. r + kRows.
template <WeightType kType, size_t kRows>
void FewTile(const MatmulCall& m, const RowQ8* x, size_t r, size_t begin, size_t end) {
  const size_t blocks = m.n_in / kBlock, row_bytes = BytesOf<kType>(m.n_in);
  const uint8_t* w = m.w + begin * row_bytes;
  for (size_t o = begin; o < end; ++o, w += row_bytes)
    Dots<kType, kRows>(w, x, blocks, m.accumulate, m.y + r * m.n_out + o, m.n_out);
}

template <WeightType kType>
void FewRows(const MatmulCall& m, size_t begin, size_t end) {
  const size_t runs = m.n_in / kBlock * kRunsPerBlock<kType>;
  const float* taken_off = kTakesOff<kType> ? TakenOff<kType>(m) : nullptr;
  // Few outputs at a time, so that the next rows of x find the weights in the cache.
  constexpr size_t kOutputs = 16;
  for (size_t o = begin; o < end; o += kOutputs) {
    const size_t o_end = std::min(o + kOutputs, end);
    for (size_t r = 0; r < m.rows;) {
      RowQ8 x[kFewTile];
      const size_t left = std::min(kFewTile, m.rows - r);
      for (size_t i = 0; i < left; ++i) {
        x[i] = RowOf(m, r + i);
        if (kTakesOff<kType>) x[i].taken_off = taken_off + (r + i) * runs;
      }
      if (left == kFewTile) {
        FewTile<kType, kFewTile>(m, x, r, o, o_end);
        r += kFewTile;
      } else if (left >= 4) {
        FewTile<kType, 4>(m, x, r, o, o_end);
        r += 4;
      } else if (left >= 2) {
        FewTile<kType, 2>(m, x, r, o, o_end);
        r += 2;
      } else {
        FewTile<kType, 1>(m, x, r, o, o_end);
        r += 1;
      }
    }
  }
}

// --- many rows ---

#if HETLLM_VNNI
using VI = __m512i;
using VF = __m512;
constexpr size_t kLanes = 16, kTileRows = 6;
HWY_INLINE VI LoadUnits(const int32_t* p) { return _mm512_load_si512(p); }
HWY_INLINE VI SetUnit(int32_t v) { return _mm512_set1_epi32(v); }
HWY_INLINE VF SetFloat(float v) { return _mm512_set1_ps(v); }
HWY_INLINE VF LoadFloats(const float* p) { return _mm512_loadu_ps(p); }
HWY_INLINE void StoreFloats(float* p, VF v) { _mm512_storeu_ps(p, v); }
HWY_INLINE VF ToFloats(VI v) { return _mm512_cvtepi32_ps(v); }
HWY_INLINE VF Mul(VF a, VF b) { return _mm512_mul_ps(a, b); }
HWY_INLINE VF Plus(VF a, VF b) { return _mm512_add_ps(a, b); }
HWY_INLINE VF MulAdd(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
HWY_INLINE VF NegMulAdd(VF a, VF b, VF c) { return _mm512_fnmadd_ps(a, b, c); }
#else
using VI = __m256i;
using VF = __m256;
constexpr size_t kLanes = 8, kTileRows = 4;
HWY_INLINE VI LoadUnits(const int32_t* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}
HWY_INLINE VI SetUnit(int32_t v) { return _mm256_set1_epi32(v); }
HWY_INLINE VF SetFloat(float v) { return _mm256_set1_ps(v); }
HWY_INLINE VF LoadFloats(const float* p) { return _mm256_loadu_ps(p); }
HWY_INLINE void StoreFloats(float* p, VF v) { _mm256_storeu_ps(p, v); }
HWY_INLINE VF ToFloats(VI v) { return _mm256_cvtepi32_ps(v); }
HWY_INLINE VF Mul(VF a, VF b) { return _mm256_mul_ps(a, b); }
HWY_INLINE VF Plus(VF a, VF b) { return _mm256_add_ps(a, b); }
HWY_INLINE VF MulAdd(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
HWY_INLINE VF NegMulAdd(VF a, VF b, VF c) { return _mm256_fnmadd_ps(a, b, c); }
#endif

constexpr size_t kTileColumns = 2 * kLanes;
constexpr size_t kDepth = 16;          // blocks
constexpr size_t kUnits = kBlock / 4;  // 32-bit units of a block
static_assert(kPackedColumns % kTileColumns == 0 && kPackedRows % kTileRows == 0);

// sum += products of kCount units of weights and x, four bytes to a lane.
template <WeightType kType, size_t kCount>
HWY_INLINE void AddProducts(const int32_t* w, const int32_t* const (&x)[kTileRows], size_t at,
                            VI (&sum)[kTileRows][2]) {
#if HETLLM_VNNI
  HETLLM_UNROLL for (size_t k = 0; k < kCount; ++k, w += kTileColumns) {
    const VI w0 = LoadUnits(w), w1 = LoadUnits(w + kLanes);
    HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
      const VI vx = SetUnit(x[r][at + k]);
      sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], w0, vx);
      sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], w1, vx);
    }
  }
#else
  // As many units as sums of 16 bits hold.
  constexpr size_t kShort = kType == WeightType::kQ8_0 ? 1
                            : kType == WeightType::kQ6_K ? 2
                            : kType == WeightType::kQ5_K ? 4
                                                         : 8;
  for (size_t k = 0; k < kCount; k += kShort) {
    VI words[kTileRows][2];
    HETLLM_UNROLL for (size_t j = 0; j < kShort; ++j, w += kTileColumns) {
      const VI w0 = LoadUnits(w), w1 = LoadUnits(w + kLanes);
      HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
        const VI vx = SetUnit(x[r][at + k + j]);
        VI low, high;
        if constexpr (kSigned<kType>) {
          low = _mm256_maddubs_epi16(_mm256_sign_epi8(w0, w0), _mm256_sign_epi8(vx, w0));
          high = _mm256_maddubs_epi16(_mm256_sign_epi8(w1, w1), _mm256_sign_epi8(vx, w1));
        } else {
          low = _mm256_maddubs_epi16(w0, vx);
          high = _mm256_maddubs_epi16(w1, vx);
        }
        words[r][0] = j == 0 ? low : _mm256_add_epi16(words[r][0], low);
        words[r][1] = j == 0 ? high : _mm256_add_epi16(words[r][1], high);
      }
    }
    const VI ones = _mm256_set1_epi16(1);
    HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(words[r][0], ones));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(words[r][1], ones));
    }
  }
#endif
}

// What one turn over kDepth blocks works on: rows of x where they are, weights packed.
struct Panels {
  const int32_t* w;       // [panel][blocks * kUnits][kTileColumns] units
  const float* scales;    // [panel][blocks * runs][kTileColumns]
  const float* minimums;  // the same
  size_t blocks;
};
struct XRow {
  const int32_t* units;
  const float* scales;
  const int32_t* sums;  // per run
};

// y tile = (add ? y : 0) + rows of x * one panel; `rows` and `columns` of the tile are there.
template <WeightType kType>
HWY_INLINE void MultiplyTile(const Panels& p, const XRow (&row)[kTileRows], size_t panel, float* y,
                             size_t y_stride, size_t rows, size_t columns, bool add) {
  constexpr size_t kRuns = kRunsPerBlock<kType>;
  VF out[kTileRows][2];
  HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) out[r][0] = out[r][1] = SetFloat(0);
  const int32_t* x[kTileRows];
  HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) x[r] = row[r].units;
  const int32_t* w = p.w + panel * p.blocks * kUnits * kTileColumns;
  const float* scales = p.scales + panel * p.blocks * kRuns * kTileColumns;
  const float* minimums = p.minimums + panel * p.blocks * kRuns * kTileColumns;
  for (size_t b = 0; b < p.blocks; ++b) {
    HETLLM_UNROLL for (size_t run = 0; run < kRuns; ++run) {
      VI sum[kTileRows][2];
      HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) sum[r][0] = sum[r][1] =
          SetUnit(-kBias<kType> * row[r].sums[b * kRuns + run]);
      AddProducts<kType, kUnits / kRuns>(w, x, b * kUnits + run * (kUnits / kRuns), sum);
      w += kUnits / kRuns * kTileColumns;
      const VF s0 = LoadFloats(scales), s1 = LoadFloats(scales + kLanes);
      scales += kTileColumns;
      HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
        const VF x_scale = SetFloat(row[r].scales[b]);
        out[r][0] = MulAdd(Mul(s0, x_scale), ToFloats(sum[r][0]), out[r][0]);
        out[r][1] = MulAdd(Mul(s1, x_scale), ToFloats(sum[r][1]), out[r][1]);
      }
      if constexpr (kHasMinimums<kType>) {
        const VF m0 = LoadFloats(minimums), m1 = LoadFloats(minimums + kLanes);
        minimums += kTileColumns;
        HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
          const VF off =
              SetFloat(row[r].scales[b] * static_cast<float>(row[r].sums[b * kRuns + run]));
          out[r][0] = NegMulAdd(m0, off, out[r][0]);
          out[r][1] = NegMulAdd(m1, off, out[r][1]);
        }
      }
    }
  }
  if (columns == kTileColumns) {
    HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
      if (r >= rows) break;
      float* to = y + r * y_stride;
      StoreFloats(to, add ? Plus(LoadFloats(to), out[r][0]) : out[r][0]);
      StoreFloats(to + kLanes, add ? Plus(LoadFloats(to + kLanes), out[r][1]) : out[r][1]);
    }
    return;
  }
  alignas(64) float tile[kTileRows][kTileColumns];
  HETLLM_UNROLL for (size_t r = 0; r < kTileRows; ++r) {
    StoreFloats(tile[r], out[r][0]);
    StoreFloats(tile[r] + kLanes, out[r][1]);
  }
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) {
      float& to = y[r * y_stride + c];
      to = add ? to + tile[r][c] : tile[r][c];
    }
  }
}

// to[k * kTileColumns + j] = from[j][k] for four rows j; count is a multiple of four.
HWY_INLINE void TransposeFour(const int32_t (&from)[4][kDepth * kUnits], size_t count,
                              int32_t* to) {
  for (size_t k = 0; k < count; k += 4, to += 4 * kTileColumns) {
    const auto load = [&](size_t j) {
      return _mm_load_si128(reinterpret_cast<const __m128i*>(&from[j][k]));
    };
    const auto store = [&](size_t line, __m128i v) {
      _mm_store_si128(reinterpret_cast<__m128i*>(to + line * kTileColumns), v);
    };
    const __m128i a = _mm_unpacklo_epi32(load(0), load(1)),
                  b = _mm_unpacklo_epi32(load(2), load(3));
    const __m128i c = _mm_unpackhi_epi32(load(0), load(1)),
                  d = _mm_unpackhi_epi32(load(2), load(3));
    store(0, _mm_unpacklo_epi64(a, b));
    store(1, _mm_unpackhi_epi64(a, b));
    store(2, _mm_unpacklo_epi64(c, d));
    store(3, _mm_unpackhi_epi64(c, d));
  }
}

// The codes, scales and minimums of blocks [from, from + blocks) of one weight row; scales and
// minimums kTileColumns apart.
template <WeightType kType>
HWY_INLINE void ExpandRow(const uint8_t* row, size_t from, size_t blocks, int32_t* units,
                          float* scales, float* minimums) {
  constexpr size_t kRuns = kRunsPerBlock<kType>;
  const uint8_t* group = row + BytesOf<kType>(from * kBlock);
  for (size_t b = 0; b < blocks; b += kGroup, group += kGroupBytes<kType>) {
    const size_t count = std::min(kGroup, blocks - b);
    alignas(32) float s[kGroup * kRuns], least[kGroup];
    if (count == kGroup) {
      __m256 loaded[kRuns], loaded_minimums = _mm256_setzero_ps();
      LoadScales<kType>(group, loaded, loaded_minimums);
      for (size_t v = 0; v < kRuns; ++v) _mm256_store_ps(s + 8 * v, loaded[v]);
      _mm256_store_ps(least, loaded_minimums);
    } else if constexpr (kSimpleBlocks<kType>) {
      for (size_t i = 0; i < count; ++i) s[i] = LoadHalf(group + i * Format<kType>::kBytes);
    }
    for (size_t i = 0; i < count * kRuns; ++i) scales[(b * kRuns + i) * kTileColumns] = s[i];
    if constexpr (kHasMinimums<kType>) {
      for (size_t i = 0; i < count; ++i) minimums[(b + i) * kTileColumns] = least[i];
    }
    if (count == kGroup) {
      HETLLM_UNROLL for (size_t i = 0; i < kGroup; ++i) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(units + (b + i) * kUnits),
                           LoadCodes<kType>(group, static_cast<int>(i)));
      }
    } else if constexpr (kSimpleBlocks<kType>) {
      for (size_t i = 0; i < count; ++i) {
        _mm256_store_si256(reinterpret_cast<__m256i*>(units + (b + i) * kUnits),
                           LoadCodes<kType>(group + i * Format<kType>::kBytes, 0));
      }
    }
  }
}

// Weight rows [begin, end), blocks [from, from + blocks): panels; missing rows are zero.
template <WeightType kType>
void PackWeights(const MatmulCall& m, size_t begin, size_t end, size_t from, size_t blocks,
                 int32_t* units, float* scales, float* minimums) {
  constexpr size_t kRuns = kRunsPerBlock<kType>;
  const size_t row_bytes = BytesOf<kType>(m.n_in);
  alignas(64) int32_t plain[4][kDepth * kUnits];
  for (size_t o = begin; o < end; o += kTileColumns) {
    for (size_t i = 0; i < kTileColumns; i += 4) {
      for (size_t j = 0; j < 4; ++j) {
        float* s = scales + i + j;
        float* least = minimums + i + j;
        if (o + i + j >= end) {
          std::fill_n(plain[j], blocks * kUnits, 0);
          for (size_t b = 0; b < blocks * kRuns; ++b)
            s[b * kTileColumns] = least[b * kTileColumns] = 0.0f;
          continue;
        }
        const uint8_t* row = m.w + (o + i + j) * row_bytes;
        for (size_t line = 0; line < blocks * kBlock / 2; line += 64)  // the next four rows
          hwy::Prefetch(row + BytesOf<kType>(from * kBlock) + 4 * row_bytes + line);
        ExpandRow<kType>(row, from, blocks, plain[j], s, least);
      }
      TransposeFour(plain, blocks * kUnits, units + i);
    }
    units += blocks * kUnits * kTileColumns;
    scales += blocks * kRuns * kTileColumns;
    minimums += blocks * kRuns * kTileColumns;
  }
}

// The sums of the runs of rows [begin, end) of x.
template <WeightType kType>
const int32_t* SumsOfRows(const MatmulCall& m, size_t begin, size_t end) {
  const size_t blocks = m.n_in / kBlock;
  constexpr size_t kRuns = kRunsPerBlock<kType>;
  auto* sums = Scratch<int32_t>(ScratchUse::kRowSums, (end - begin) * blocks * kRuns);
  int32_t* to = sums;
  for (size_t r = begin; r < end; ++r) {
    const int8_t* x = RowOf(m, r).values;
    for (size_t b = 0; b < blocks; ++b, to += kRuns) {
      int32_t halves[2];
      SumHalves(x + b * kBlock, halves);
      if constexpr (kRuns == 2) {
        to[0] = halves[0];
        to[1] = halves[1];
      } else {
        to[0] = halves[0] + halves[1];
      }
    }
  }
  return sums;
}

template <WeightType kType>
void Packed(const MatmulCall& m, const MatmulRange& range) {
  constexpr size_t kRuns = kRunsPerBlock<kType>;
  const size_t rows = range.rows_end - range.rows_begin, all = m.n_in / kBlock;
  const int32_t* sums = SumsOfRows<kType>(m, range.rows_begin, range.rows_end);
  auto* w = Scratch<int32_t>(ScratchUse::kPackedWeights, kPackedColumns * kDepth * kUnits);
  auto* scales = Scratch<float>(ScratchUse::kWeightScales, 2 * kPackedColumns * kDepth * kRuns);
  float* minimums = scales + kPackedColumns * kDepth * kRuns;
  for (size_t from = 0; from < all; from += kDepth) {
    const size_t blocks = std::min(kDepth, all - from);
    const bool add = m.accumulate || from > 0;
    const Panels panels{w, scales, minimums, blocks};
    for (size_t o = range.columns_begin; o < range.columns_end; o += kPackedColumns) {
      const size_t columns = std::min(kPackedColumns, range.columns_end - o);
      PackWeights<kType>(m, o, o + columns, from, blocks, w, scales, minimums);
      for (size_t r = 0; r < rows; r += kTileRows) {
        XRow row[kTileRows];
        for (size_t i = 0; i < kTileRows; ++i) {
          const size_t at = std::min(r + i, rows - 1);
          const RowQ8 x = RowOf(m, range.rows_begin + at);
          row[i] = {reinterpret_cast<const int32_t*>(x.values + from * kBlock), x.scales + from,
                    sums + (at * all + from) * kRuns};
        }
        for (size_t c = 0; c < columns; c += kTileColumns) {
          MultiplyTile<kType>(
              panels, row, c / kTileColumns, m.y + (range.rows_begin + r) * m.n_out + o + c,
              m.n_out, std::min(kTileRows, rows - r), std::min(kTileColumns, columns - c), add);
        }
      }
    }
  }
}

}  // namespace
}  // namespace HETLLM_BUILD

void HETLLM_FEW(const MatmulCall& m, WeightType type, size_t begin, size_t end) {
  ForType(type, [&]<WeightType kType>() {
    if constexpr (!kPlain<kType>) HETLLM_BUILD::FewRows<kType>(m, begin, end);
  });
}

void HETLLM_PACKED(const MatmulCall& m, WeightType type, const MatmulRange& range) {
  ForType(type, [&]<WeightType kType>() {
    if constexpr (!kPlain<kType>) HETLLM_BUILD::Packed<kType>(m, range);
  });
}

}  // namespace hetllm::native

HWY_POP_ATTRIBUTES
