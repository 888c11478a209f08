#include "engine/synth.h"

#include <array>
#include <cmath>
#include <cstring>
#include <string_view>

#include "engine/error.h"
#include "engine/gguf_writer.h"
#include "engine/half.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

// splitmix64 (Steele, Lea, Flood 2014): a counter through a mixing function, so any position can be
// a start.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

struct TensorPlan {
  std::string name;
  WeightType type;
  std::vector<uint64_t> ne;
  double deviation;  // 0: all ones (norms)
};

std::vector<TensorPlan> PlanTensors(const SynthSpec& spec) {
  const uint64_t embd = spec.embd;
  const uint64_t kv = embd / spec.heads * spec.kv_heads;
  const double in = 1 / std::sqrt(static_cast<double>(embd));
  const double residual = 1 / std::sqrt(2.0 * spec.layers);
  const double from_ff = residual / std::sqrt(static_cast<double>(spec.ff));
  std::vector<TensorPlan> plan;
  // Tied: the table is the head too, and logits should stay O(1).
  plan.push_back({"token_embd.weight", spec.type, {embd, spec.vocab}, spec.tied ? in : 1.0});
  for (uint32_t i = 0; i < spec.layers; ++i) {
    const std::string block = Cat("blk.", i, ".");
    plan.push_back({block + "attn_norm.weight", WeightType::kF32, {embd}, 0});
    plan.push_back({block + "attn_q.weight", spec.type, {embd, embd}, in});
    plan.push_back({block + "attn_k.weight", spec.type, {embd, kv}, in});
    plan.push_back({block + "attn_v.weight", spec.type, {embd, kv}, in});
    plan.push_back({block + "attn_output.weight", spec.type, {embd, embd}, in * residual});
    plan.push_back({block + "ffn_norm.weight", WeightType::kF32, {embd}, 0});
    plan.push_back({block + "ffn_gate.weight", spec.type, {embd, spec.ff}, in});
    plan.push_back({block + "ffn_up.weight", spec.type, {embd, spec.ff}, in});
    plan.push_back({block + "ffn_down.weight", spec.type, {spec.ff, embd}, from_ff});
  }
  plan.push_back({"output_norm.weight", WeightType::kF32, {embd}, 0});
  if (!spec.tied) {
    plan.push_back({"output.weight", spec.type, {embd, spec.vocab}, in});
  }
  return plan;
}

constexpr double kSqrt3 =
    1.7320508075688772;  // half the width of a uniform distribution of deviation 1

void FillF32(Random& random, double deviation, std::span<std::byte> out) {
  const auto scale = static_cast<float>(deviation * kSqrt3 / 2147483648.0);
  for (size_t i = 0; i < out.size(); i += 4) {
    const float value = static_cast<float>(static_cast<int32_t>(random.Next() >> 32)) * scale;
    std::memcpy(&out[i], &value, 4);
  }
}

void FillF16(Random& random, double deviation, std::span<std::byte> out) {
  std::vector<uint16_t> values(4096);  // evenly spaced over the range, zero mean
  for (size_t i = 0; i < values.size(); ++i) {
    const double place = (static_cast<double>(i) + 0.5) / static_cast<double>(values.size());
    values[i] = HalfFromFloat(static_cast<float>((2 * place - 1) * deviation * kSqrt3));
  }
  uint64_t bits = 0;
  for (size_t i = 0; i < out.size(); i += 2) {
    bits = i % 8 == 0 ? random.Next() : bits >> 16;
    std::memcpy(&out[i], &values[bits & 4095], 2);
  }
}

// Scales near `base`, of both signs: Q4_0's levels -8..7 are not centred, a block's sign makes the
// mean zero.
std::array<uint16_t, 16> BlockScales(double base) {
  std::array<uint16_t, 16> scales;
  for (size_t i = 0; i < scales.size(); ++i) {
    const double size = base * (0.8 + 0.05 * static_cast<double>(i / 2));
    scales[i] = HalfFromFloat(static_cast<float>(i % 2 == 0 ? size : -size));
  }
  return scales;
}

void FillQ4(Random& random, double deviation, std::span<std::byte> out) {
  const auto scales = BlockScales(deviation / std::sqrt(21.5));  // mean square of -8..7
  for (size_t i = 0; i < out.size(); i += 18) {
    const uint64_t words[2] = {random.Next(), random.Next()};
    std::memcpy(&out[i], &scales[(words[0] ^ words[1]) >> 60], 2);
    std::memcpy(&out[i + 2], words, 16);
  }
}

void FillQ8(Random& random, double deviation, std::span<std::byte> out) {
  const auto scales =
      BlockScales(deviation / std::sqrt(127.0 * 128 / 3));  // mean square of -127..127
  for (size_t i = 0; i < out.size(); i += 34) {
    uint64_t words[4];
    for (uint64_t& word : words) {
      word = random.Next();
    }
    std::memcpy(&out[i], &scales[(words[0] ^ words[1]) >> 60], 2);
    std::memcpy(&out[i + 2], words, 32);
    for (size_t k = i + 2; k < i + 34; ++k) {
      out[k] = out[k] == std::byte{0x80} ? std::byte{0x81} : out[k];  // -128 is not used by Q8_0
    }
  }
}

void FillTensor(const TensorPlan& tensor, Random& random, std::span<std::byte> out) {
  if (tensor.deviation == 0) {
    for (size_t i = 0; i < out.size(); i += 4) {
      const float one = 1;
      std::memcpy(&out[i], &one, 4);
    }
    return;
  }
  switch (tensor.type) {
    case WeightType::kF32:
      return FillF32(random, tensor.deviation, out);
    case WeightType::kF16:
      return FillF16(random, tensor.deviation, out);
    case WeightType::kQ4_0:
      return FillQ4(random, tensor.deviation, out);
    case WeightType::kQ8_0:
      return FillQ8(random, tensor.deviation, out);
  }
}

// Pieces that merging can reach: characters, then syllables, then joins of two pieces that are
// there.
std::vector<std::string> SynthPieces(size_t count) {
  const std::string space = "\xE2\x96\x81";
  std::vector<std::string> pieces = {space};
  for (char c = 0x21; c < 0x7F; ++c) {
    pieces.emplace_back(1, c);
  }
  std::vector<std::string> syllables;
  for (const char consonant : std::string_view("tnsrhldcmfpgwybvkxjqz")) {
    for (const char vowel : std::string_view("eaoiu")) {
      syllables.push_back({consonant, vowel});
    }
  }
  const auto join = [&](const std::vector<std::string>& heads,
                        const std::vector<std::string>& tails) {
    std::vector<std::string> joined;
    for (const std::string& tail : tails) {
      for (const std::string& head : heads) {
        if (pieces.size() + joined.size() >= count) {
          return joined;
        }
        joined.push_back(head + tail);
      }
    }
    return joined;
  };
  const auto add = [&](const std::vector<std::string>& more) {
    pieces.insert(pieces.end(), more.begin(), more.end());
  };
  add(syllables);
  add(join({space}, syllables));
  std::vector<std::string> words = syllables;
  while (pieces.size() < count) {
    words = join(words, syllables);
    add(words);
    add(join({space}, words));
  }
  pieces.resize(count);
  return pieces;
}

void Refuse(bool wrong, const std::string& message) {
  if (wrong) {
    throw Error(message, Exit::kUsage);
  }
}

}  // namespace

void CheckSynthSpec(const SynthSpec& spec) {
  Refuse(spec.layers < 1 || spec.layers > 1000, Cat("--layers ", spec.layers, ": 1 to 1000"));
  Refuse(spec.heads < 1 || spec.heads > 1024, Cat("--heads ", spec.heads, ": 1 to 1024"));
  Refuse(spec.kv_heads < 1 || spec.heads % spec.kv_heads != 0,
         Cat("--kv-heads ", spec.kv_heads, ": --heads ", spec.heads, " must be a multiple of it"));
  Refuse(spec.embd < 1 || spec.embd > (1u << 17) || spec.embd % spec.heads != 0 ||
             spec.embd / spec.heads % 2 != 0,
         Cat("--embd ", spec.embd, ": an even multiple of --heads ", spec.heads, " up to 131072"));
  Refuse(spec.ff < 1 || spec.ff > (1u << 20), Cat("--ff ", spec.ff, ": 1 to 1048576"));
  Refuse(spec.context < 1, "--context 0: at least 1");
  const uint32_t block = BlockElements(spec.type);
  Refuse(spec.embd % block != 0 || spec.ff % block != 0,
         Cat("--embd ", spec.embd, " --ff ", spec.ff, ": multiples of ", block, " for --type ",
             WeightTypeName(spec.type)));
  Refuse(spec.vocab < kSmallestVocabulary || spec.vocab > (1u << 20),
         Cat("--vocab ", spec.vocab, ": ", kSmallestVocabulary, " to 1048576"));
}

Vocabulary SynthVocabulary(uint32_t size) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"<unk>", 0, TokenType::kUnknown},
                       {"<s>", 0, TokenType::kControl},
                       {"</s>", 0, TokenType::kControl}};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", byte);
    vocabulary.tokens.push_back({text, 0, TokenType::kByte});
  }
  const size_t pieces = size - vocabulary.tokens.size();
  for (const std::string& piece : SynthPieces(pieces)) {
    const auto rank = static_cast<float>(vocabulary.tokens.size() - 259);
    vocabulary.tokens.push_back({piece, -rank, TokenType::kNormal});
  }
  vocabulary.unknown = 0;
  vocabulary.bos = 1;
  vocabulary.eos = 2;
  return vocabulary;
}

namespace {

void SetMetadata(const SynthSpec& spec, GgufWriter& writer) {
  writer.SetString("general.architecture", "llama");
  writer.SetString("general.name", Cat("synthetic ", spec.layers, "x", spec.embd));
  const bool f16 = spec.type == WeightType::kF16;
  writer.SetUint32("general.file_type", spec.type == WeightType::kF32    ? 0
                                        : f16                            ? 1
                                        : spec.type == WeightType::kQ4_0 ? 2
                                                                         : 7);
  if (spec.type == WeightType::kQ4_0 || spec.type == WeightType::kQ8_0) {
    writer.SetUint32("general.quantization_version", 2);
  }
  writer.SetUint32("llama.context_length", spec.context);
  writer.SetUint32("llama.embedding_length", spec.embd);
  writer.SetUint32("llama.block_count", spec.layers);
  writer.SetUint32("llama.feed_forward_length", spec.ff);
  writer.SetUint32("llama.attention.head_count", spec.heads);
  writer.SetUint32("llama.attention.head_count_kv", spec.kv_heads);
  writer.SetFloat("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.SetUint32("llama.rope.dimension_count", spec.embd / spec.heads);
  writer.SetFloat("llama.rope.freq_base", 10000.0f);
  writer.SetUint32("llama.vocab_size", spec.vocab);

  const Vocabulary vocabulary = SynthVocabulary(spec.vocab);
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> types;
  for (const auto& token : vocabulary.tokens) {
    texts.push_back(token.text);
    scores.push_back(token.score);
    types.push_back(static_cast<int32_t>(token.type));
  }
  writer.SetString("tokenizer.ggml.model", "llama");
  writer.SetStrings("tokenizer.ggml.tokens", texts);
  writer.SetFloats("tokenizer.ggml.scores", scores);
  writer.SetInts("tokenizer.ggml.token_type", types);
  writer.SetUint32("tokenizer.ggml.bos_token_id", 1);
  writer.SetUint32("tokenizer.ggml.eos_token_id", 2);
  writer.SetUint32("tokenizer.ggml.unknown_token_id", 0);
  writer.SetBool("tokenizer.ggml.add_bos_token", true);
  writer.SetBool("tokenizer.ggml.add_eos_token", false);
  writer.SetBool("tokenizer.ggml.add_space_prefix", true);
}

}  // namespace

uint64_t WriteSynth(const SynthSpec& spec, const std::string& path,
                    const std::function<void(uint64_t done, uint64_t all)>& progress) {
  CheckSynthSpec(spec);
  GgufWriter writer;
  SetMetadata(spec, writer);
  const std::vector<TensorPlan> plan = PlanTensors(spec);
  for (const TensorPlan& tensor : plan) {
    writer.AddTensor(tensor.name, tensor.type, tensor.ne);
  }
  const uint64_t all = writer.FileBytes();
  const auto fill = [&](size_t index, uint64_t offset, std::span<std::byte> out) {
    Random random(Random(spec.seed ^ (index << 40) ^ offset).Next());
    FillTensor(plan[index], random, out);
  };
  writer.Write(path, fill, [&](uint64_t done) {
    if (progress) {
      progress(done, all);
    }
  });
  return all;
}

}  // namespace hetllm
