// Model: a GGUF file of an architecture that the engine runs: its shape, and its tensors by
// pipeline layer.
//
// Pipeline layers are numbered 0 (embedding), 1 .. blocks (transformer blocks), blocks + 1 (final
// norm and head): the unit that the planner places. Weights stay in the mapping of the file.
// Immutable once made, thread-safe. Everything that kernels rely on (shapes, types, ranges) is
// checked by the constructor, which throws one Error for what does not fit; what would change the
// result and is not implemented (other RoPE scalings, experts) is refused, not ignored.
#ifndef HET_ENGINE_MODEL_H_
#define HET_ENGINE_MODEL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/gguf.h"
#include "engine/mapped_file.h"
#include "engine/tokenizer.h"

namespace hetllm {

// The architectures that are run. They differ in how RoPE pairs elements and in q/k norms; biases,
// sliding windows and RoPE scaling are taken from the file.
struct Architecture {
  std::string_view name;
  uint32_t rope_pairing;  // as RopeParams
  bool qk_norms;
};

struct Shape {
  uint32_t blocks = 0;
  uint32_t embd = 0;
  uint32_t ff = 0;
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t rope_dim = 0;
  uint32_t vocab = 0;
  uint32_t trained_context = 0;
  uint32_t window = 0;  // tokens that attention sees; 0: all
  float rope_base = 10000;
  float rope_magnitude = 1;             // as RopeParams
  std::vector<float> rope_frequencies;  // [rope_dim/2][2], scaling included
  float eps = 1e-5f;

  uint32_t q_dim() const { return heads * head_dim; }
  uint32_t kv_dim() const { return kv_heads * head_dim; }
};

struct BlockTensors {
  const GgufTensor* attn_norm;
  const GgufTensor* q;
  const GgufTensor* k;
  const GgufTensor* v;
  const GgufTensor* o;
  const GgufTensor* ffn_norm;
  const GgufTensor* gate;
  const GgufTensor* up;
  const GgufTensor* down;
  // Null where the model has none.
  const GgufTensor* q_bias;
  const GgufTensor* k_bias;
  const GgufTensor* v_bias;
  const GgufTensor* o_bias;
  const GgufTensor* q_norm;  // [head_dim], over every head
  const GgufTensor* k_norm;
};

class Model {
 public:
  explicit Model(const std::string& path);

  const std::string& path() const { return gguf_.name(); }
  const Gguf& gguf() const { return gguf_; }
  const Architecture& architecture() const { return *architecture_; }
  const Shape& shape() const { return shape_; }
  const std::string& title() const { return title_; }
  bool tied() const { return head_ == embedding_; }
  // Nothing when the file has none.
  const std::optional<Tokenizer>& tokenizer() const { return tokenizer_; }

  size_t layer_count() const { return shape_.blocks + 2; }
  size_t head_layer() const { return shape_.blocks + 1; }
  // "embedding", "block 3", "head".
  std::string LayerName(size_t layer) const;
  // Layers of equal signature cost the same: kind and the types of the weights.
  std::string LayerSignature(size_t layer) const;
  std::vector<const GgufTensor*> LayerTensors(size_t layer) const;
  uint64_t WeightBytes(size_t layer) const;
  uint64_t KvBytesPerToken(size_t layer) const;
  // Multiplications and additions of the matrices for one token.
  uint64_t FlopsPerToken(size_t layer) const;

  const GgufTensor& embedding() const { return *embedding_; }
  const GgufTensor& output_norm() const { return *output_norm_; }
  const GgufTensor& head() const { return *head_; }
  const BlockTensors& block(size_t index) const { return blocks_[index]; }
  // True when every matrix is of a type that q8 activations exist for.
  bool CanUseQ8() const;

 private:
  void ReadArchitecture();
  void ReadShape();
  // "llama.block_count" of "block_count".
  std::string Key(std::string_view name) const;
  void ReadRope();
  void FindTensors();
  void RefuseWhatIsNotRun() const;
  const GgufTensor* Tensor(const std::string& name, uint64_t n_in, uint64_t n_out) const;
  const GgufTensor* Vector(const std::string& name, uint64_t size) const;
  const GgufTensor* OptionalVector(const std::string& name, uint64_t size) const;
  template <typename... Parts>
  [[noreturn]] void Fail(const Parts&... parts) const;

  MappedFile file_;
  Gguf gguf_;
  const Architecture* architecture_ = nullptr;
  std::string title_;
  Shape shape_;
  std::optional<Tokenizer> tokenizer_;
  const GgufTensor* embedding_ = nullptr;
  const GgufTensor* output_norm_ = nullptr;
  const GgufTensor* head_ = nullptr;
  const GgufTensor* rope_factors_ = nullptr;  // read at once: no layer has it
  std::vector<BlockTensors> blocks_;
};

}  // namespace hetllm

#endif  // HET_ENGINE_MODEL_H_
