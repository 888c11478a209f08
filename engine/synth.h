// Synthetic models: a valid GGUF file with random weights of any architecture and weight type that
// the engine runs, for benchmarks and tests.
//
// Weights have zero mean and a deviation of 1/sqrt(inputs), divided by sqrt(2 * layers) where they
// join the residual stream, so that activations stay O(1) at every depth. The vocabulary has <unk>,
// <s>, </s>, 256 byte tokens and generated pieces, so any text can be encoded. Other GGUF programs
// load the file. Equal specs give equal bytes.
#ifndef HET_ENGINE_SYNTH_H_
#define HET_ENGINE_SYNTH_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/tokenizer.h"

namespace hetllm {

struct SynthSpec {
  std::string architecture = "llama";
  uint32_t layers = 22;
  uint32_t embd = 2048;
  uint32_t ff = 5632;
  uint32_t heads = 32;
  uint32_t kv_heads = 4;
  uint32_t head_dim = 0;  // 0: embd / heads
  uint32_t vocab = 32000;
  uint32_t context = 2048;  // what the metadata claims
  WeightType type = WeightType::kQ4_0;
  // With Q4_K: some matrices and the head are Q6_K, as in files called Q4_K_M.
  bool mixed = false;
  uint32_t window = 0;       // sliding window; 0: none
  std::string rope_scaling;  // linear or yarn; empty: none
  float rope_factor = 4;     // of the scaling
  uint64_t seed = 1;
  bool tied = false;

  uint32_t HeadDim() const { return head_dim != 0 ? head_dim : embd / heads; }
};

// Throws Error (usage) for a spec that cannot be, with what would work.
void CheckSynthSpec(const SynthSpec& spec);
// The vocabulary that such a model has. At least kSmallestVocabulary tokens.
constexpr uint32_t kSmallestVocabulary = 3 + 256 + 1;
Vocabulary SynthVocabulary(uint32_t size);
// Writes the file and returns its size. `progress` (may be empty) gets the bytes done and the bytes
// in all.
uint64_t WriteSynth(const SynthSpec& spec, const std::string& path,
                    const std::function<void(uint64_t done, uint64_t all)>& progress = nullptr);

}  // namespace hetllm

#endif  // HET_ENGINE_SYNTH_H_
