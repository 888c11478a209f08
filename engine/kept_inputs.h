// KeptInputs: what the stages of a pipeline got as input, in host memory, so that the keys and
// values of a lost stage can be computed again by its layers alone.
//
// A boundary is a layer before which a stage began. Per boundary and sequence the activations f32
// [position][embd] of all positions up to the first gap are held: 4 * embd bytes for a token. Used
// by one thread. Errors: std::bad_alloc.
#ifndef HET_ENGINE_KEPT_INPUTS_H_
#define HET_ENGINE_KEPT_INPUTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "engine/microbatch.h"

namespace hetllm {

// Per place of the KV cache: the tokens whose keys it holds, or should hold.
using CachedTokens = std::vector<std::vector<int32_t>>;

class KeptInputs {
 public:
  explicit KeptInputs(size_t embd) : embd_(embd) {}

  // Begins the boundaries among these that are new.
  void AddBoundaries(const std::vector<size_t>& layers);
  // Forgets those that are not among these.
  void ForgetOthers(const std::vector<size_t>& layers);
  // Takes the inputs of a micro-batch that is done: batch.inputs, one per boundary, in order.
  void Keep(const Microbatch& batch);
  // The activations of one row at a boundary.
  void Keep(size_t layer, int32_t slot, int32_t position, const float* row);

  // The last boundary at or before `layer` that has every token of `cached`; 0, where the tokens
  // themselves are the input, when there is none.
  size_t From(size_t layer, const CachedTokens& cached) const;
  const float* Row(size_t layer, int32_t slot, int32_t position) const;
  bool Has(size_t layer) const { return boundaries_.contains(layer); }

 private:
  // Whole positions without a gap; a row that would leave one is not kept.
  using Rows = std::vector<float>;

  const size_t embd_;
  std::map<size_t, std::vector<Rows>> boundaries_;  // layer -> per slot
};

}  // namespace hetllm

#endif  // HET_ENGINE_KEPT_INPUTS_H_
