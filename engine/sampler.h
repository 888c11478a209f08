// Sampler: chooses a token from logits: the best one at temperature 0, else at random with
// softmax(logits / temperature).
//
// One per sequence: equal seeds and logits give equal tokens, whatever runs beside. Used by one
// thread.
#ifndef HET_ENGINE_SAMPLER_H_
#define HET_ENGINE_SAMPLER_H_

#include <cstdint>
#include <span>
#include <vector>

namespace hetllm {

class Sampler {
 public:
  Sampler(double temperature, uint64_t seed) : temperature_(temperature), state_(seed) {}
  // The first of equals at temperature 0. NaN is never chosen while there is a number. `logits` is
  // not empty.
  int32_t Choose(std::span<const float> logits);

 private:
  double Uniform();  // [0, 1)

  const double temperature_;
  uint64_t state_;
  std::vector<double> weights_;
};

}  // namespace hetllm

#endif  // HET_ENGINE_SAMPLER_H_
