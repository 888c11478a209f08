// rope: rotary position embedding in place.
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/kernels/native/call.h"
#include "engine/kernels/native/kernel_list.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/native/rope.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "engine/kernels/native/dequantize-inl.h"
#include "hwy/highway.h"

#ifndef HETLLM_ROPE_ONCE
#define HETLLM_ROPE_ONCE
namespace hetllm::native {

// The rotations of recently used positions. All layers of a model rotate by the same angles, so a
// thread works out the cosines once per token and not once per layer. Angles are exact to double
// precision: a float angle is off by 1e-3 at position 20,000.
class Rotations {
 public:
  // cos(angle(i)) and sin(angle(i)), `pairs` each, valid until the next call.
  struct Row {
    const float* cosines;
    const float* sines;
  };
  Row At(int32_t position, const float* frequencies, uint32_t pairs, float magnitude) {
    const size_t bytes = 2 * pairs * sizeof(float);
    if (frequencies_.size() != 2 * pairs || magnitude != magnitude_ ||
        std::memcmp(frequencies, frequencies_.data(), bytes) != 0) {
      Reset(frequencies, pairs, magnitude);
    }
    Entry& entry = entries_[static_cast<uint32_t>(position) % entries_.size()];
    if (!entry.filled || entry.position != position) {
      entry.values.resize(2 * pairs);
      for (uint32_t i = 0; i < pairs; ++i) {
        const double angle =
            position * (double{frequencies_[2 * i]} + double{frequencies_[2 * i + 1]});
        entry.values[i] = static_cast<float>(std::cos(angle) * magnitude);
        entry.values[pairs + i] = static_cast<float>(std::sin(angle) * magnitude);
      }
      entry.position = position;
      entry.filled = true;
    }
    return {entry.values.data(), entry.values.data() + pairs};
  }

 private:
  struct Entry {
    bool filled = false;
    int32_t position = 0;
    std::vector<float> values;
  };

  void Reset(const float* frequencies, uint32_t pairs, float magnitude) {
    frequencies_.assign(frequencies, frequencies + 2 * pairs);
    magnitude_ = magnitude;
    for (Entry& entry : entries_) entry.filled = false;
  }

  std::vector<float> frequencies_;  // as in the kernel's buffer
  float magnitude_ = 0;
  std::array<Entry, 64> entries_;
};

}  // namespace hetllm::native
#endif

HWY_BEFORE_NAMESPACE();
namespace hetllm::native {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files

// Pairs (2i, 2i + 1).
HWY_INLINE void RotateAdjacent(float* HWY_RESTRICT x, Rotations::Row by, size_t pairs) {
  for (size_t i = 0; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * by.cosines[i] - b * by.sines[i];
    x[2 * i + 1] = a * by.sines[i] + b * by.cosines[i];
  }
}

// Pairs (i, i + pairs).
HWY_INLINE void RotateHalves(float* HWY_RESTRICT x, Rotations::Row by, size_t pairs) {
  const DF df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= pairs; i += lanes) {
    const auto a = hn::LoadU(df, x + i), b = hn::LoadU(df, x + pairs + i);
    const auto cosine = hn::LoadU(df, by.cosines + i), sine = hn::LoadU(df, by.sines + i);
    hn::StoreU(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), df, x + i);
    hn::StoreU(hn::MulAdd(a, sine, hn::Mul(b, cosine)), df, x + pairs + i);
  }
  for (; i < pairs; ++i) {
    const float a = x[i], b = x[pairs + i];
    x[i] = a * by.cosines[i] - b * by.sines[i];
    x[pairs + i] = a * by.sines[i] + b * by.cosines[i];
  }
}

void RopeT(const het_native_call* call) {
  const auto& params = ParamsOf<RopeParams>(call);
  auto* x = Buffer<float>(call, 0);
  const auto* positions = Buffer<const int32_t>(call, 1);
  const auto* frequencies = Buffer<const float>(call, 2);
  thread_local Rotations rotations;
  const uint32_t pairs = std::min(params.rope_dim, params.head_dim) / 2;
  if (pairs == 0) return;
  const GroupRange range = Groups(call, params.rows);
  for (uint64_t r = range.begin; r < range.end; ++r) {
    const Rotations::Row by = rotations.At(positions[r], frequencies, pairs, params.magnitude);
    float* row = x + r * params.heads * params.head_dim;
    for (uint32_t h = 0; h < params.heads; ++h, row += params.head_dim) {
      if (params.pairing == 0) {
        RotateAdjacent(row, by, pairs);
      } else {
        RotateHalves(row, by, pairs);
      }
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace hetllm::native
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hetllm::native {

HWY_EXPORT(RopeT);
void Rope(const het_native_call* call) { HWY_DYNAMIC_DISPATCH(RopeT)(call); }

}  // namespace hetllm::native
#endif
