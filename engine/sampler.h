// Sampler: chooses a token from logits: the best one at temperature 0, else at random.
//
// In this order: tokens that were there lately lose (repetition penalty), then only the top_k best
// stay, then the fewest whose probabilities reach top_p, then those with at least min_p of the best
// one's probability; of the rest one is drawn with softmax(logits / temperature).
//
// One per sequence: equal seeds, logits and recent tokens give equal tokens, whatever runs beside.
// Used by one thread.
#ifndef HET_ENGINE_SAMPLER_H_
#define HET_ENGINE_SAMPLER_H_

#include <cstdint>
#include <span>
#include <vector>

namespace hetllm {

struct SamplerOptions {
  double temperature = 0;
  uint32_t top_k = 0;         // 0: all
  double top_p = 1;           // 1: all
  double min_p = 0;           // 0: all
  double repeat_penalty = 1;  // divides positive logits, multiplies negative ones; 1: none
  uint32_t repeat_last = 64;  // tokens that count as lately
  uint64_t seed = 1;

  // True when the best token is always taken as it is.
  bool greedy() const { return temperature <= 0 && repeat_penalty == 1; }
};

class Sampler {
 public:
  explicit Sampler(const SamplerOptions& options) : options_(options), state_(options.seed) {}
  // The first of equals at temperature 0. NaN is never chosen while there is a number. `logits` is
  // not empty; `before` are the sequence's tokens so far.
  int32_t Choose(std::span<const float> logits, std::span<const int32_t> before = {});

 private:
  struct Candidate {
    int32_t token;
    float logit;
    double weight;
  };

  double Uniform();  // [0, 1)
  void Penalize(std::span<const int32_t> before);
  void KeepTopK();
  void KeepLikely();

  const SamplerOptions options_;
  uint64_t state_;
  std::vector<float> logits_;
  std::vector<Candidate> candidates_;  // the best first, once they were chosen among
};

}  // namespace hetllm

#endif  // HET_ENGINE_SAMPLER_H_
