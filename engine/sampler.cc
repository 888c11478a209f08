#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

namespace hetllm {

double Sampler::Uniform() {
  // splitmix64 (Steele, Lea, Flood 2014), the upper 53 bits.
  uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

// Once per token, however often it was there (Keskar et al. 2019).
void Sampler::Penalize(std::span<const int32_t> before) {
  if (options_.repeat_penalty == 1) {
    return;
  }
  const size_t count = std::min<size_t>(before.size(), options_.repeat_last);
  std::vector<int32_t> recent(before.end() - static_cast<std::ptrdiff_t>(count), before.end());
  std::sort(recent.begin(), recent.end());
  recent.erase(std::unique(recent.begin(), recent.end()), recent.end());
  const auto penalty = static_cast<float>(options_.repeat_penalty);
  for (const int32_t token : recent) {
    if (token >= 0 && static_cast<size_t>(token) < logits_.size()) {
      float& logit = logits_[static_cast<size_t>(token)];
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
}

// The candidates, the best first where some are to be left out.
void Sampler::KeepTopK() {
  candidates_.clear();
  for (size_t i = 0; i < logits_.size(); ++i) {
    if (!std::isnan(logits_[i])) {
      candidates_.push_back({static_cast<int32_t>(i), logits_[i], 0});
    }
  }
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  if (options_.top_k != 0 && options_.top_k < candidates_.size()) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(),
                      better);
    candidates_.resize(options_.top_k);
  } else if (options_.top_p < 1 || options_.min_p > 0) {
    std::sort(candidates_.begin(), candidates_.end(), better);
  }
}

// top_p and min_p, of probabilities at temperature 1.
void Sampler::KeepLikely() {
  if (options_.top_p >= 1 && options_.min_p <= 0) {
    return;
  }
  double sum = 0;
  for (Candidate& candidate : candidates_) {
    candidate.weight = std::exp(double{candidate.logit} - candidates_[0].logit);
    sum += candidate.weight;
  }
  double reached = 0;
  size_t keep = 0;
  while (keep < candidates_.size() && (keep == 0 || reached < options_.top_p * sum) &&
         (keep == 0 || candidates_[keep].weight >= options_.min_p)) {
    reached += candidates_[keep].weight;
    ++keep;
  }
  candidates_.resize(keep);
}

int32_t Sampler::Choose(std::span<const float> logits, std::span<const int32_t> before) {
  logits_.assign(logits.begin(), logits.end());
  Penalize(before);
  size_t best = 0;
  for (size_t i = 1; i < logits_.size(); ++i) {
    if (logits_[i] > logits_[best] || std::isnan(logits_[best])) {
      best = i;
    }
  }
  if (options_.temperature <= 0 || !std::isfinite(logits_[best])) {
    return static_cast<int32_t>(best);
  }
  KeepTopK();
  KeepLikely();
  double sum = 0;
  for (Candidate& candidate : candidates_) {
    candidate.weight = std::exp((double{candidate.logit} - logits_[best]) / options_.temperature);
    sum += candidate.weight;
  }
  double left = Uniform() * sum;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.weight;
    if (left < 0 && candidate.weight > 0) {
      return candidate.token;
    }
  }
  return static_cast<int32_t>(best);  // rounding at the very end
}

}  // namespace hetllm
