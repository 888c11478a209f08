#include "engine/sampler.h"

#include <cmath>

namespace hetllm {

double Sampler::Uniform() {
  // splitmix64 (Steele, Lea, Flood 2014), the upper 53 bits.
  uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

int32_t Sampler::Choose(std::span<const float> logits) {
  size_t best = 0;
  for (size_t i = 1; i < logits.size(); ++i) {
    if (logits[i] > logits[best] || std::isnan(logits[best])) {
      best = i;
    }
  }
  if (temperature_ <= 0 || !std::isfinite(logits[best])) {
    return static_cast<int32_t>(best);
  }
  weights_.resize(logits.size());
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double exponent = (double{logits[i]} - logits[best]) / temperature_;
    weights_[i] = std::isnan(exponent) ? 0 : std::exp(exponent);
    sum += weights_[i];
  }
  double left = Uniform() * sum;
  for (size_t i = 0; i < logits.size(); ++i) {
    left -= weights_[i];
    if (left < 0 && weights_[i] > 0) {
      return static_cast<int32_t>(i);
    }
  }
  return static_cast<int32_t>(best);  // rounding at the very end
}

}  // namespace hetllm
