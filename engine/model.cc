#include "engine/model.h"

#include <algorithm>
#include <unordered_set>

#include "engine/error.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

constexpr std::string_view kArchitectures[] = {"llama"};
// Bounds that keep every product of two of them inside 64 bits and every dimension inside 31.
constexpr uint64_t kMaxBlocks = 4096;
constexpr uint64_t kMaxDimension = 1 << 24;
constexpr uint64_t kMaxHeads = 1 << 14;

}  // namespace

template <typename... Parts>
void Model::Fail(const Parts&... parts) const {
  throw Error(Cat("'", path(), "': ", parts...));
}

Model::Model(const std::string& path) : file_(path), gguf_(Gguf::Parse(file_.bytes(), path)) {
  ReadShape();
  FindTensors();
  RefuseWhatIsNotRun();
  tokenizer_ = Tokenizer::FromGguf(gguf_);
  if (tokenizer_ && tokenizer_->size() != shape_.vocab) {
    Fail("the tokenizer has ", tokenizer_->size(), " tokens, but the embedding has ", shape_.vocab,
         " rows");
  }
}

void Model::ReadShape() {
  const auto architecture = gguf_.GetString("general.architecture");
  if (!architecture) {
    Fail("no metadata 'general.architecture': the file does not say what model it is");
  }
  if (std::find(std::begin(kArchitectures), std::end(kArchitectures), *architecture) ==
      std::end(kArchitectures)) {
    std::string known;
    for (const std::string_view name : kArchitectures) {
      known += Cat(known.empty() ? "" : ", ", name);
    }
    Fail("the model is of architecture '", Printable(*architecture),
         "'; this version runs: ", known);
  }
  title_ = Printable(gguf_.GetString("general.name").value_or("unnamed"));
  const auto number = [&](const char* key, uint64_t high) {
    return static_cast<uint32_t>(gguf_.RequireUint(Cat("llama.", key), 1, high));
  };
  shape_.blocks = number("block_count", kMaxBlocks);
  shape_.embd = number("embedding_length", kMaxDimension);
  shape_.ff = number("feed_forward_length", kMaxDimension);
  shape_.heads = number("attention.head_count", kMaxHeads);
  shape_.kv_heads = gguf_.Has("llama.attention.head_count_kv")
                        ? number("attention.head_count_kv", kMaxHeads)
                        : shape_.heads;
  shape_.trained_context =
      gguf_.Has("llama.context_length") ? number("context_length", uint64_t{1} << 30) : 2048;
  if (shape_.heads % shape_.kv_heads != 0) {
    Fail(shape_.heads, " heads cannot share ", shape_.kv_heads, " KV heads evenly");
  }
  if (gguf_.Has("llama.attention.key_length")) {
    shape_.head_dim = number("attention.key_length", 1 << 16);
    const auto value = gguf_.GetUint("llama.attention.value_length").value_or(shape_.head_dim);
    if (value != shape_.head_dim) {
      Fail("keys of ", shape_.head_dim, " and values of ", value,
           " elements; this version needs them equal");
    }
  } else if (shape_.embd % shape_.heads != 0) {
    Fail("an embedding of ", shape_.embd, " cannot be cut into ", shape_.heads, " heads");
  } else {
    shape_.head_dim = shape_.embd / shape_.heads;
  }
  shape_.rope_dim = gguf_.Has("llama.rope.dimension_count")
                        ? number("rope.dimension_count", 1 << 16)
                        : shape_.head_dim;
  if (shape_.rope_dim > shape_.head_dim || shape_.rope_dim % 2 != 0) {
    Fail("RoPE over ", shape_.rope_dim, " of ", shape_.head_dim,
         " elements of a head: an even number of at most the head is possible");
  }
  shape_.rope_base = static_cast<float>(gguf_.GetFloat("llama.rope.freq_base").value_or(10000.0));
  shape_.eps = static_cast<float>(gguf_.RequireFloat("llama.attention.layer_norm_rms_epsilon"));
  if (!(shape_.rope_base > 0) || !(shape_.eps >= 0)) {
    Fail("rope.freq_base ", shape_.rope_base, " and layer_norm_rms_epsilon ", shape_.eps,
         " cannot be");
  }
}

const GgufTensor* Model::Tensor(const std::string& name, uint64_t n_in, uint64_t n_out) const {
  const GgufTensor* tensor = gguf_.FindTensor(name);
  if (tensor == nullptr) {
    Fail("there is no tensor '", name, "', which this model needs");
  }
  if (tensor->ne[0] != n_in || tensor->ne[1] != n_out || tensor->rows() != n_out) {
    Fail("tensor '", name, "' is ", tensor->ne[0], " x ", tensor->rows(),
         "; the metadata asks for ", n_in, " x ", n_out);
  }
  return tensor;
}

const GgufTensor* Model::Norm(const std::string& name) const {
  const GgufTensor* tensor = Tensor(name, shape_.embd, 1);
  if (tensor->type != WeightType::kF32) {
    Fail("tensor '", name, "' is of type ", WeightTypeName(tensor->type),
         "; norms are needed as f32");
  }
  return tensor;
}

void Model::FindTensors() {
  const GgufTensor* table = gguf_.FindTensor("token_embd.weight");
  if (table == nullptr) {
    Fail("there is no tensor 'token_embd.weight', which this model needs");
  }
  if (table->ne[1] > kMaxDimension) {
    Fail("a vocabulary of ", table->ne[1], " tokens; at most ", kMaxDimension, " are possible");
  }
  shape_.vocab = static_cast<uint32_t>(table->ne[1]);
  embedding_ = Tensor("token_embd.weight", shape_.embd, shape_.vocab);
  // The blocks must be in the file before they take memory here.
  const std::string last = Cat("blk.", shape_.blocks - 1, ".attn_norm.weight");
  Tensor(last, shape_.embd, 1);
  for (uint32_t i = 0; i < shape_.blocks; ++i) {
    const std::string name = Cat("blk.", i, ".");
    BlockTensors block;
    block.attn_norm = Norm(name + "attn_norm.weight");
    block.q = Tensor(name + "attn_q.weight", shape_.embd, shape_.q_dim());
    block.k = Tensor(name + "attn_k.weight", shape_.embd, shape_.kv_dim());
    block.v = Tensor(name + "attn_v.weight", shape_.embd, shape_.kv_dim());
    block.o = Tensor(name + "attn_output.weight", shape_.q_dim(), shape_.embd);
    block.ffn_norm = Norm(name + "ffn_norm.weight");
    block.gate = Tensor(name + "ffn_gate.weight", shape_.embd, shape_.ff);
    block.up = Tensor(name + "ffn_up.weight", shape_.embd, shape_.ff);
    block.down = Tensor(name + "ffn_down.weight", shape_.ff, shape_.embd);
    blocks_.push_back(block);
  }
  output_norm_ = Norm("output_norm.weight");
  head_ = gguf_.FindTensor("output.weight") == nullptr
              ? embedding_
              : Tensor("output.weight", shape_.embd, shape_.vocab);
}

void Model::RefuseWhatIsNotRun() const {
  const auto scaling = gguf_.GetString("llama.rope.scaling.type").value_or("none");
  if (scaling != "none") {
    Fail("RoPE scaling '", Printable(scaling),
         "' is not implemented; without it the results "
         "would be wrong");
  }
  if (gguf_.GetUint("llama.expert_count").value_or(0) != 0) {
    Fail("mixtures of experts are not implemented");
  }
  std::unordered_set<const GgufTensor*> used;
  for (size_t layer = 0; layer < layer_count(); ++layer) {
    for (const GgufTensor* tensor : LayerTensors(layer)) {
      used.insert(tensor);
    }
  }
  for (const GgufTensor& tensor : gguf_.tensors()) {
    if (!used.contains(&tensor)) {
      Fail("tensor '", Printable(tensor.name),
           "' is no part of the llama architecture as this "
           "version runs it; without it the results would be wrong");
    }
  }
}

std::string Model::LayerName(size_t layer) const {
  return layer == 0 ? "embedding" : layer == head_layer() ? "head" : Cat("block ", layer - 1);
}

std::string Model::LayerSignature(size_t layer) const {
  std::string signature = layer == 0 ? "embedding" : layer == head_layer() ? "head" : "block";
  for (const GgufTensor* tensor : LayerTensors(layer)) {
    signature += Cat(' ', WeightTypeName(tensor->type));
  }
  return signature;
}

std::vector<const GgufTensor*> Model::LayerTensors(size_t layer) const {
  if (layer == 0) {
    return {embedding_};
  }
  if (layer == head_layer()) {
    return {output_norm_, head_};
  }
  const BlockTensors& b = blocks_[layer - 1];
  return {b.attn_norm, b.q, b.k, b.v, b.o, b.ffn_norm, b.gate, b.up, b.down};
}

uint64_t Model::WeightBytes(size_t layer) const {
  uint64_t bytes = 0;
  for (const GgufTensor* tensor : LayerTensors(layer)) {
    bytes += tensor->bytes;
  }
  return bytes;
}

uint64_t Model::KvBytesPerToken(size_t layer) const {
  const bool block = layer != 0 && layer != head_layer();
  return block ? uint64_t{2} * shape_.kv_dim() * sizeof(float) : 0;
}

uint64_t Model::FlopsPerToken(size_t layer) const {
  if (layer == 0) {
    return 0;
  }
  uint64_t elements = 0;
  for (const GgufTensor* tensor : LayerTensors(layer)) {
    elements += tensor->rows() > 1 ? tensor->ne[0] * tensor->rows() : 0;
  }
  return 2 * elements;
}

bool Model::CanUseQ8() const {
  for (size_t layer = 1; layer < layer_count(); ++layer) {
    for (const GgufTensor* tensor : LayerTensors(layer)) {
      if (tensor->type == WeightType::kQ4_0 || tensor->type == WeightType::kQ8_0) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace hetllm
