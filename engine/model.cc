#include "engine/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <unordered_set>

#include "engine/error.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", 0, false}, {"mistral", 0, false}, {"qwen2", 1, false}, {"qwen3", 1, true}};
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
  ReadArchitecture();
  ReadShape();
  ReadRope();
  FindTensors();
  RefuseWhatIsNotRun();
  tokenizer_ = Tokenizer::FromGguf(gguf_);
  if (tokenizer_ && tokenizer_->size() != shape_.vocab) {
    Fail("the tokenizer has ", tokenizer_->size(), " tokens, but the embedding has ", shape_.vocab,
         " rows");
  }
}

void Model::ReadArchitecture() {
  const auto name = gguf_.GetString("general.architecture");
  if (!name) {
    Fail("no metadata 'general.architecture': the file does not say what model it is");
  }
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == *name) {
      architecture_ = &architecture;
      return;
    }
    known += Cat(known.empty() ? "" : ", ", architecture.name);
  }
  Fail("the model is of architecture '", Printable(*name), "'; this version runs: ", known);
}

std::string Model::Key(std::string_view name) const { return Cat(architecture_->name, '.', name); }

void Model::ReadShape() {
  title_ = Printable(gguf_.GetString("general.name").value_or("unnamed"));
  const auto number = [&](const char* key, uint64_t high) {
    return static_cast<uint32_t>(gguf_.RequireUint(Key(key), 1, high));
  };
  shape_.blocks = number("block_count", kMaxBlocks);
  shape_.embd = number("embedding_length", kMaxDimension);
  shape_.ff = number("feed_forward_length", kMaxDimension);
  shape_.heads = number("attention.head_count", kMaxHeads);
  shape_.kv_heads = gguf_.Has(Key("attention.head_count_kv"))
                        ? number("attention.head_count_kv", kMaxHeads)
                        : shape_.heads;
  shape_.trained_context =
      gguf_.Has(Key("context_length")) ? number("context_length", uint64_t{1} << 30) : 2048;
  if (shape_.heads % shape_.kv_heads != 0) {
    Fail(shape_.heads, " heads cannot share ", shape_.kv_heads, " KV heads evenly");
  }
  if (gguf_.Has(Key("attention.key_length"))) {
    shape_.head_dim = number("attention.key_length", 1 << 16);
    const auto value = gguf_.GetUint(Key("attention.value_length")).value_or(shape_.head_dim);
    if (value != shape_.head_dim) {
      Fail("keys of ", shape_.head_dim, " and values of ", value,
           " elements; this version needs them equal");
    }
  } else if (shape_.embd % shape_.heads != 0) {
    Fail("an embedding of ", shape_.embd, " cannot be cut into ", shape_.heads, " heads");
  } else {
    shape_.head_dim = shape_.embd / shape_.heads;
  }
  shape_.rope_dim = gguf_.Has(Key("rope.dimension_count")) ? number("rope.dimension_count", 1 << 16)
                                                           : shape_.head_dim;
  if (shape_.rope_dim > shape_.head_dim || shape_.rope_dim % 2 != 0) {
    Fail("RoPE over ", shape_.rope_dim, " of ", shape_.head_dim,
         " elements of a head: an even number of at most the head is possible");
  }
  shape_.rope_base = static_cast<float>(gguf_.GetFloat(Key("rope.freq_base")).value_or(10000.0));
  shape_.window = static_cast<uint32_t>(
      std::min<uint64_t>(gguf_.GetUint(Key("attention.sliding_window")).value_or(0), 1u << 30));
  shape_.eps = static_cast<float>(gguf_.RequireFloat(Key("attention.layer_norm_rms_epsilon")));
  if (!(shape_.rope_base > 0) || !(shape_.eps >= 0)) {
    Fail("rope.freq_base ", shape_.rope_base, " and layer_norm_rms_epsilon ", shape_.eps,
         " cannot be");
  }
}

namespace {

// The pair whose angle makes `turns` turns over a context of `length` tokens (Peng et al. 2023,
// YaRN).
double PairOfTurns(double turns, double length, uint32_t rope_dim, double base) {
  return rope_dim * std::log(length / (turns * 2 * std::numbers::pi)) / (2 * std::log(base));
}

}  // namespace

// The angle of a pair per position: base^(-2i/rope_dim), divided by the pair's factor in
// rope_freqs.weight, and scaled as the file says: linear divides all angles by `factor`; YaRN (Peng
// et al. 2023) divides those that turn slowly, keeps those that turn fast, goes linearly in
// between, and makes attention a little sharper.
void Model::ReadRope() {
  const uint32_t pairs = shape_.rope_dim / 2;
  rope_factors_ = OptionalVector("rope_freqs.weight", pairs);
  double factor = gguf_.GetFloat(Key("rope.scaling.factor"))
                      .value_or(gguf_.GetFloat(Key("rope.scale_linear")).value_or(1.0));
  const auto type =
      gguf_.GetString(Key("rope.scaling.type")).value_or(factor == 1 ? "none" : "linear");
  if (type == "none") {
    factor = 1;
  } else if (type != "linear" && type != "yarn") {
    Fail("RoPE scaling '", Printable(type),
         "' is not implemented (none, linear and yarn are); without it the results would be wrong");
  }
  if (factor == 0) {
    factor = 1;  // "not set" in some files
  }
  if (!(factor >= 1e-3 && factor <= 1e6)) {
    Fail("a RoPE scaling factor of ", factor, " cannot be");
  }
  const double attention = gguf_.GetFloat(Key("rope.scaling.attn_factor")).value_or(1.0);
  double low = 0, high = 0;
  if (type == "yarn") {
    constexpr double kFast = 32, kSlow = 1;  // turns, the paper's values for Llama
    const auto length =
        static_cast<double>(gguf_.GetUint(Key("rope.scaling.original_context_length"))
                                .value_or(shape_.trained_context));
    low = std::max(0.0, std::floor(PairOfTurns(kFast, length, shape_.rope_dim, shape_.rope_base)));
    high = std::min(shape_.rope_dim - 1.0,
                    std::ceil(PairOfTurns(kSlow, length, shape_.rope_dim, shape_.rope_base)));
    shape_.rope_magnitude = static_cast<float>(attention * (1 + 0.1 * std::log(factor)));
  }
  for (uint32_t i = 0; i < pairs; ++i) {
    double frequency = std::pow(double{shape_.rope_base}, -2.0 * i / shape_.rope_dim);
    if (rope_factors_ != nullptr) {
      float divisor;
      std::memcpy(&divisor, rope_factors_->data + i * sizeof(float), sizeof(float));
      if (!(divisor > 0) || !std::isfinite(divisor)) {
        Fail("rope_freqs.weight has ", divisor, " for pair ", i, "; a positive number is needed");
      }
      frequency /= divisor;
    }
    if (type == "yarn") {
      const double ramp = std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);
      frequency *= (1 - ramp) + ramp / factor;
    } else {
      frequency /= factor;
    }
    shape_.rope_frequencies.push_back(static_cast<float>(frequency));
    shape_.rope_frequencies.push_back(
        static_cast<float>(frequency - double{shape_.rope_frequencies.back()}));
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

const GgufTensor* Model::Vector(const std::string& name, uint64_t size) const {
  const GgufTensor* tensor = Tensor(name, size, 1);
  if (tensor->type != WeightType::kF32) {
    Fail("tensor '", name, "' is of type ", WeightTypeName(tensor->type),
         "; norms and biases are needed as f32");
  }
  return tensor;
}

const GgufTensor* Model::OptionalVector(const std::string& name, uint64_t size) const {
  return gguf_.FindTensor(name) == nullptr ? nullptr : Vector(name, size);
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
    block.attn_norm = Vector(name + "attn_norm.weight", shape_.embd);
    block.q = Tensor(name + "attn_q.weight", shape_.embd, shape_.q_dim());
    block.k = Tensor(name + "attn_k.weight", shape_.embd, shape_.kv_dim());
    block.v = Tensor(name + "attn_v.weight", shape_.embd, shape_.kv_dim());
    block.o = Tensor(name + "attn_output.weight", shape_.q_dim(), shape_.embd);
    block.ffn_norm = Vector(name + "ffn_norm.weight", shape_.embd);
    block.gate = Tensor(name + "ffn_gate.weight", shape_.embd, shape_.ff);
    block.up = Tensor(name + "ffn_up.weight", shape_.embd, shape_.ff);
    block.down = Tensor(name + "ffn_down.weight", shape_.ff, shape_.embd);
    block.q_bias = OptionalVector(name + "attn_q.bias", shape_.q_dim());
    block.k_bias = OptionalVector(name + "attn_k.bias", shape_.kv_dim());
    block.v_bias = OptionalVector(name + "attn_v.bias", shape_.kv_dim());
    block.o_bias = OptionalVector(name + "attn_output.bias", shape_.embd);
    const bool norms = architecture_->qk_norms;
    block.q_norm = norms ? Vector(name + "attn_q_norm.weight", shape_.head_dim) : nullptr;
    block.k_norm = norms ? Vector(name + "attn_k_norm.weight", shape_.head_dim) : nullptr;
    blocks_.push_back(block);
  }
  output_norm_ = Vector("output_norm.weight", shape_.embd);
  head_ = gguf_.FindTensor("output.weight") == nullptr
              ? embedding_
              : Tensor("output.weight", shape_.embd, shape_.vocab);
}

void Model::RefuseWhatIsNotRun() const {
  if (gguf_.GetUint(Key("expert_count")).value_or(0) != 0) {
    Fail("mixtures of experts are not implemented");
  }
  std::unordered_set<const GgufTensor*> used = {rope_factors_};
  for (size_t layer = 0; layer < layer_count(); ++layer) {
    for (const GgufTensor* tensor : LayerTensors(layer)) {
      used.insert(tensor);
    }
  }
  for (const GgufTensor& tensor : gguf_.tensors()) {
    if (!used.contains(&tensor)) {
      Fail("tensor '", Printable(tensor.name), "' is no part of the ", architecture_->name,
           " architecture as this version runs it; without it the results would be wrong");
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
  std::vector<const GgufTensor*> tensors = {b.attn_norm, b.q,      b.k,      b.v,      b.o,
                                            b.ffn_norm,  b.gate,   b.up,     b.down,   b.q_bias,
                                            b.k_bias,    b.v_bias, b.o_bias, b.q_norm, b.k_norm};
  std::erase(tensors, nullptr);
  return tensors;
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
      if (BlockElements(tensor->type) > 1) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace hetllm
