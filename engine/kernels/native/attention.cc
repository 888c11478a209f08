// attention: causal attention over the KV cache with an online softmax (Milakov and Gimelshein,
// 2018), grouped queries.
//
// A group is one KV head of a tile of rows. All query heads of the KV head, and all rows of the
// tile that lie in the same slot, go over the keys together in tiles of kKeys, so K and V are read
// once for all of them. What is computed for a query does not depend on which other queries share
// its tile.
#include <cmath>
#include <cstring>

#include "engine/kernels/kernels.h"
#include "engine/kernels/native/call.h"
#include "engine/kernels/native/grids.h"
#include "engine/kernels/native/kernel_list.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/attention.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "engine/kernels/native/dequantize-inl.h"
#include "engine/kernels/native/reduce-inl.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

constexpr size_t kKeys = 32;  // keys per tile: K and V tiles stay in the L1 cache

// The queries of one KV head and one slot: `count` vectors of head_dim, with what the online
// softmax knows of each.
struct Queries {
  size_t count, head_dim;
  const float** q;  // [count]
  float** y;        // [count]
  int64_t* first;   // [count] attends to keys first .. keys-1
  int64_t* keys;    // [count]
  float* largest;   // [count] running maximum of the scores
  float* total;     // [count] running sum of exp(score - largest)
  float* sums;      // [count][head_dim] running sum of exp(score - largest) * v
  float* scores;    // [count][kKeys]
};

// scores[0..4) and scores[kKeys..kKeys+4) = q0 and q1 against four keys.
HWY_INLINE void ScoreTwoByFour(const float* HWY_RESTRICT q0, const float* HWY_RESTRICT q1,
                               const float* const k[4], size_t head_dim, float* s0, float* s1) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const float *k0 = k[0], *k1 = k[1], *k2 = k[2], *k3 = k[3];
  auto a0 = hn::Zero(df), a1 = hn::Zero(df), a2 = hn::Zero(df), a3 = hn::Zero(df);
  auto b0 = hn::Zero(df), b1 = hn::Zero(df), b2 = hn::Zero(df), b3 = hn::Zero(df);
  size_t i = 0;
  for (; i + lanes <= head_dim; i += lanes) {
    const auto vq0 = hn::LoadU(df, q0 + i), vq1 = hn::LoadU(df, q1 + i);
    auto vk = hn::LoadU(df, k0 + i);
    a0 = hn::MulAdd(vq0, vk, a0);
    b0 = hn::MulAdd(vq1, vk, b0);
    vk = hn::LoadU(df, k1 + i);
    a1 = hn::MulAdd(vq0, vk, a1);
    b1 = hn::MulAdd(vq1, vk, b1);
    vk = hn::LoadU(df, k2 + i);
    a2 = hn::MulAdd(vq0, vk, a2);
    b2 = hn::MulAdd(vq1, vk, b2);
    vk = hn::LoadU(df, k3 + i);
    a3 = hn::MulAdd(vq0, vk, a3);
    b3 = hn::MulAdd(vq1, vk, b3);
  }
  StoreSumsOf4(df, a0, a1, a2, a3, s0);
  StoreSumsOf4(df, b0, b1, b2, b3, s1);
  for (; i < head_dim; ++i) {
    for (size_t j = 0; j < 4; ++j) {
      s0[j] += q0[i] * k[j][i];
      s1[j] += q1[i] * k[j][i];
    }
  }
}

// The scores of `valid` keys (1 .. kKeys), k_stride apart, against all queries; what is beyond is
// -infinity.
void ScoreTile(const Queries& queries, const float* k, size_t k_stride, size_t first,
               size_t valid) {
  for (size_t t = 0; t < valid; t += 4) {
    const float* rows[4];
    for (size_t j = 0; j < 4; ++j) rows[j] = k + std::min(t + j, valid - 1) * k_stride;
    for (size_t n = 0; n < queries.count; n += 2) {
      const size_t m = std::min(n + 1, queries.count - 1);
      alignas(16) float unused[4];
      ScoreTwoByFour(queries.q[n], queries.q[m], rows, queries.head_dim,
                     queries.scores + n * kKeys + t,
                     m == n ? unused : queries.scores + m * kKeys + t);
    }
  }
  for (size_t n = 0; n < queries.count; ++n) {
    float* scores = queries.scores + n * kKeys;
    const int64_t left = queries.keys[n] - static_cast<int64_t>(first);
    const size_t mine = left <= 0 ? 0 : std::min<size_t>(static_cast<size_t>(left), valid);
    for (size_t t = mine; t < kKeys; ++t) scores[t] = -HUGE_VALF;
    const int64_t before = queries.first[n] - static_cast<int64_t>(first);
    for (int64_t t = 0; t < std::min<int64_t>(before, kKeys); ++t) scores[t] = -HUGE_VALF;
  }
}

// Scores become exp(scale * (score - new maximum)); total and sums are brought to the new maximum.
// scale > 0.
void SoftmaxTile(const Queries& queries, float scale) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  for (size_t n = 0; n < queries.count; ++n) {
    float* scores = queries.scores + n * kKeys;
    auto largest = hn::Load(df, scores);
    for (size_t t = lanes; t < kKeys; t += lanes)
      largest = hn::Max(largest, hn::Load(df, scores + t));
    const float before = queries.largest[n];
    const float now = std::max(before, hn::GetLane(hn::MaxOfLanes(df, largest)));
    if (now == -HUGE_VALF) {  // nothing for this query yet
      for (size_t t = 0; t < kKeys; ++t) scores[t] = 0.0f;
      continue;
    }
    const auto offset = hn::Set(df, now);
    auto sum = hn::Zero(df);
    for (size_t t = 0; t < kKeys; t += lanes) {
      const auto s = hn::Load(df, scores + t);
      const auto p =
          hn::IfThenElseZero(hn::Gt(s, hn::Set(df, -HUGE_VALF)),
                             hn::Exp(df, hn::Mul(hn::Set(df, scale), hn::Sub(s, offset))));
      hn::Store(p, df, scores + t);
      sum = hn::Add(sum, p);
    }
    const float added = hn::GetLane(hn::SumOfLanes(df, sum));
    if (now > before) {
      const float factor = std::exp(scale * (before - now));  // 0 the first time
      queries.total[n] *= factor;
      float* sums = queries.sums + n * queries.head_dim;
      for (size_t i = 0; i < queries.head_dim; ++i) sums[i] *= factor;
      queries.largest[n] = now;
    }
    queries.total[n] += added;
  }
}

// sums[n..n+kQueries) += p * v over `valid` keys.
template <size_t kQueries>
HWY_INLINE void AccumulateValues(const Queries& queries, size_t n, const float* v, size_t v_stride,
                                 size_t valid) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  const size_t head_dim = queries.head_dim;
  const float* p = queries.scores + n * kKeys;
  float* sums = queries.sums + n * head_dim;
  size_t i = 0;
  for (; i + 2 * lanes <= head_dim; i += 2 * lanes) {
    hn::Vec<DF> low[kQueries], high[kQueries];
    for (size_t j = 0; j < kQueries; ++j) {
      low[j] = hn::LoadU(df, sums + j * head_dim + i);
      high[j] = hn::LoadU(df, sums + j * head_dim + i + lanes);
    }
    for (size_t t = 0; t < valid; ++t) {
      const auto v0 = hn::LoadU(df, v + t * v_stride + i),
                 v1 = hn::LoadU(df, v + t * v_stride + i + lanes);
      for (size_t j = 0; j < kQueries; ++j) {
        const auto weight = hn::Set(df, p[j * kKeys + t]);
        low[j] = hn::MulAdd(weight, v0, low[j]);
        high[j] = hn::MulAdd(weight, v1, high[j]);
      }
    }
    for (size_t j = 0; j < kQueries; ++j) {
      hn::StoreU(low[j], df, sums + j * head_dim + i);
      hn::StoreU(high[j], df, sums + j * head_dim + i + lanes);
    }
  }
  for (; i < head_dim; ++i) {
    for (size_t j = 0; j < kQueries; ++j) {
      float sum = sums[j * head_dim + i];
      for (size_t t = 0; t < valid; ++t) sum += p[j * kKeys + t] * v[t * v_stride + i];
      sums[j * head_dim + i] = sum;
    }
  }
}

// k and v point to this KV head of key 0 of the slot.
void Attend(const Queries& queries, const float* k, const float* v, size_t stride, float scale) {
  int64_t keys = 0, begin = INT64_MAX;
  for (size_t n = 0; n < queries.count; ++n) {
    keys = std::max(keys, queries.keys[n]);
    begin = std::min(begin, queries.first[n]);
    queries.largest[n] = -HUGE_VALF;
    queries.total[n] = 0.0f;
  }
  std::memset(queries.sums, 0, queries.count * queries.head_dim * sizeof(float));
  // Tiles begin at multiples of kKeys, so that what else is in the batch does not change a sum.
  for (size_t first = static_cast<size_t>(begin) / kKeys * kKeys; first < static_cast<size_t>(keys);
       first += kKeys) {
    const size_t valid = std::min<size_t>(kKeys, static_cast<size_t>(keys) - first);
    ScoreTile(queries, k + first * stride, stride, first, valid);
    SoftmaxTile(queries, scale);
    size_t n = 0;
    for (; n + 4 <= queries.count; n += 4)
      AccumulateValues<4>(queries, n, v + first * stride, stride, valid);
    for (; n < queries.count; ++n)
      AccumulateValues<1>(queries, n, v + first * stride, stride, valid);
  }
  for (size_t n = 0; n < queries.count; ++n) {
    const float inverse = queries.total[n] > 0.0f ? 1.0f / queries.total[n] : 0.0f;
    const float* sums = queries.sums + n * queries.head_dim;
    for (size_t i = 0; i < queries.head_dim; ++i) queries.y[n][i] = sums[i] * inverse;
  }
}

void AttentionT(const het_native_call* call) {
  const auto& params = ParamsOf<AttentionParams>(call);
  const auto* q = Buffer<const float>(call, 0);
  const auto* k = Buffer<const float>(call, 1);
  const auto* v = Buffer<const float>(call, 2);
  const auto* positions = Buffer<const int32_t>(call, 3);
  const auto* slots = Buffer<const int32_t>(call, 4);
  auto* y = Buffer<float>(call, 5);
  const AttentionCut cut = CutAttention(params);
  const size_t heads = params.heads / params.kv_heads, head_dim = params.head_dim;
  const size_t stride = static_cast<size_t>(params.kv_heads) * head_dim;
  const size_t most = heads * cut.rows;

  Queries queries;
  queries.head_dim = head_dim;
  queries.q = Scratch<const float*>(ScratchUse::kQueries, most);
  queries.y = Scratch<float*>(ScratchUse::kOutputs, most);
  queries.keys = Scratch<int64_t>(ScratchUse::kKeyCounts, 2 * most);
  queries.first = queries.keys + most;
  float* floats = Scratch<float>(ScratchUse::kPartials, most * (kKeys + 2 + head_dim));
  queries.scores = floats;  // first: aligned
  queries.largest = floats + most * kKeys;
  queries.total = queries.largest + most;
  queries.sums = queries.total + most;

  const GroupRange range = Groups(call, static_cast<uint64_t>(cut.row_tiles) * params.kv_heads);
  for (uint64_t group = range.begin; group < range.end; ++group) {
    const size_t head = group % params.kv_heads;
    size_t row = group / params.kv_heads * cut.rows;
    const size_t end = std::min<size_t>(row + cut.rows, params.rows);
    while (row < end) {  // a run of rows of one slot
      const int32_t slot = slots[row];
      queries.count = 0;
      for (; row < end && slots[row] == slot; ++row) {
        const int64_t last =
            slot < 0 ? -1 : std::min<int64_t>(positions[row], int64_t{params.context} - 1);
        for (size_t h = head * heads; h < (head + 1) * heads; ++h, ++queries.count) {
          queries.q[queries.count] = q + (row * params.heads + h) * head_dim;
          queries.y[queries.count] = y + (row * params.heads + h) * head_dim;
          queries.keys[queries.count] = std::max<int64_t>(last + 1, 0);
          queries.first[queries.count] =
              params.window == 0 ? 0 : std::max<int64_t>(last + 1 - int64_t{params.window}, 0);
        }
      }
      const size_t at =
          slot < 0 ? 0 : static_cast<size_t>(slot) * params.context * stride + head * head_dim;
      Attend(queries, k + at, v + at, stride, params.scale);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(AttentionT);
void Attention(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(AttentionT)(call); }

}  // namespace hetllm::native
#endif
