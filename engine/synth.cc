#include "engine/synth.h"

#include <algorithm>
#include <array>
#include <bit>
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

// Which of the blocks have attn_v and ffn_down in Q6_K in files called Q4_K_M: the first and the
// last eighth, and every third between.
bool MoreBits(uint32_t block, uint32_t blocks) {
  return block < blocks / 8 || block >= 7 * blocks / 8 || (block - blocks / 8) % 3 == 2;
}

std::vector<TensorPlan> PlanTensors(const SynthSpec& spec) {
  const uint64_t embd = spec.embd;
  const uint64_t q = uint64_t{spec.HeadDim()} * spec.heads;
  const uint64_t kv = uint64_t{spec.HeadDim()} * spec.kv_heads;
  const double in = 1 / std::sqrt(static_cast<double>(embd));
  const double residual = 1 / std::sqrt(2.0 * spec.layers);
  const double from_q = residual / std::sqrt(static_cast<double>(q));
  const double from_ff = residual / std::sqrt(static_cast<double>(spec.ff));
  const WeightType better = spec.mixed ? WeightType::kQ6_K : spec.type;
  std::vector<TensorPlan> plan;
  // Tied: the table is the head too, and logits should stay O(1).
  plan.push_back({"token_embd.weight",
                  spec.tied ? better : spec.type,
                  {embd, spec.vocab},
                  spec.tied ? in : 1.0});
  for (uint32_t i = 0; i < spec.layers; ++i) {
    const std::string block = Cat("blk.", i, ".");
    const WeightType some = MoreBits(i, spec.layers) ? better : spec.type;
    plan.push_back({block + "attn_norm.weight", WeightType::kF32, {embd}, 0});
    plan.push_back({block + "attn_q.weight", spec.type, {embd, q}, in});
    plan.push_back({block + "attn_k.weight", spec.type, {embd, kv}, in});
    plan.push_back({block + "attn_v.weight", some, {embd, kv}, in});
    if (spec.architecture == "qwen2") {
      plan.push_back({block + "attn_q.bias", WeightType::kF32, {q}, 0.2});
      plan.push_back({block + "attn_k.bias", WeightType::kF32, {kv}, 0.2});
      plan.push_back({block + "attn_v.bias", WeightType::kF32, {kv}, 0.2});
    }
    if (spec.architecture == "qwen3") {
      plan.push_back({block + "attn_q_norm.weight", WeightType::kF32, {spec.HeadDim()}, 0});
      plan.push_back({block + "attn_k_norm.weight", WeightType::kF32, {spec.HeadDim()}, 0});
    }
    plan.push_back({block + "attn_output.weight", spec.type, {q, embd}, from_q});
    plan.push_back({block + "ffn_norm.weight", WeightType::kF32, {embd}, 0});
    plan.push_back({block + "ffn_gate.weight", spec.type, {embd, spec.ff}, in});
    plan.push_back({block + "ffn_up.weight", spec.type, {embd, spec.ff}, in});
    plan.push_back({block + "ffn_down.weight", some, {spec.ff, embd}, from_ff});
  }
  plan.push_back({"output_norm.weight", WeightType::kF32, {embd}, 0});
  if (!spec.tied) {
    plan.push_back({"output.weight", better, {embd, spec.vocab}, in});
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

template <typename Encode>
void FillPlain16(Random& random, double deviation, std::span<std::byte> out, Encode encode) {
  std::vector<uint16_t> values(4096);  // evenly spaced over the range, zero mean
  for (size_t i = 0; i < values.size(); ++i) {
    const double place = (static_cast<double>(i) + 0.5) / static_cast<double>(values.size());
    values[i] = encode(static_cast<float>((2 * place - 1) * deviation * kSqrt3));
  }
  uint64_t bits = 0;
  for (size_t i = 0; i < out.size(); i += 2) {
    bits = i % 8 == 0 ? random.Next() : bits >> 16;
    std::memcpy(&out[i], &values[bits & 4095], 2);
  }
}

// The upper half of a float, to nearest even.
uint16_t BfloatFromFloat(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
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

void FillRandom(Random& random, std::span<std::byte> out) {
  for (size_t i = 0; i < out.size(); i += 8) {
    const uint64_t word = random.Next();
    std::memcpy(&out[i], &word, std::min<size_t>(8, out.size() - i));
  }
}

// Q4_K and Q5_K: every run's minimum is its scale, and dmin is d times the middle of the codes.
void FillMinimums(Random& random, double deviation, uint32_t levels, std::span<std::byte> out) {
  FillRandom(random, out);
  constexpr double kSquareOfScales = 2341.5;  // mean, of 32 .. 63
  const double d = deviation / std::sqrt(kSquareOfScales * (levels * levels - 1.0) / 12);
  const uint16_t halves[2] = {HalfFromFloat(static_cast<float>(d)),
                              HalfFromFloat(static_cast<float>(d * (levels - 1) / 2))};
  const size_t block = levels == 16 ? 144 : 176;
  for (size_t i = 0; i < out.size(); i += block) {
    std::memcpy(&out[i], halves, 4);
    const uint64_t word = random.Next();
    uint8_t six[8], packed[12];
    for (size_t run = 0; run < 8; ++run) {
      six[run] = static_cast<uint8_t>(32 | (word >> (8 * run) & 31));
    }
    for (size_t run = 0; run < 4; ++run) {
      const auto above = static_cast<uint8_t>(six[run + 4] >> 4 << 6);
      packed[run] = packed[run + 4] = six[run] | above;
      packed[run + 8] = static_cast<uint8_t>((six[run + 4] & 15) | six[run + 4] << 4);
    }
    std::memcpy(&out[i + 4], packed, 12);
  }
}

void FillQ6(Random& random, double deviation, std::span<std::byte> out) {
  FillRandom(random, out);
  constexpr double kSquareOfScales = 2341.5;                        // mean, of 32 .. 63
  const double d = deviation / std::sqrt(kSquareOfScales * 341.5);  // mean square of -32..31
  const uint16_t half = HalfFromFloat(static_cast<float>(d));
  for (size_t i = 0; i < out.size(); i += 210) {
    for (size_t run = 0; run < 16; ++run) {
      const auto bits = static_cast<int>(out[i + 192 + run]);
      const int size = 32 | (bits & 31);
      out[i + 192 + run] = static_cast<std::byte>(bits < 128 ? size : -size);
    }
    std::memcpy(&out[i + 208], &half, 2);
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
      return FillPlain16(random, tensor.deviation, out, HalfFromFloat);
    case WeightType::kBF16:
      return FillPlain16(random, tensor.deviation, out, BfloatFromFloat);
    case WeightType::kQ4_K:
      return FillMinimums(random, tensor.deviation, 16, out);
    case WeightType::kQ5_K:
      return FillMinimums(random, tensor.deviation, 32, out);
    case WeightType::kQ6_K:
      return FillQ6(random, tensor.deviation, out);
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
  const auto& known = {"llama", "mistral", "qwen2", "qwen3"};
  Refuse(std::find(known.begin(), known.end(), spec.architecture) == known.end(),
         Cat("--arch ", spec.architecture, ": llama, mistral, qwen2 and qwen3 are possible"));
  Refuse(!spec.rope_scaling.empty() && spec.rope_scaling != "linear" && spec.rope_scaling != "yarn",
         Cat("--rope-scaling ", spec.rope_scaling, ": linear and yarn are possible"));
  Refuse(!(spec.rope_factor >= 1 && spec.rope_factor <= 1000), "--rope-factor: 1 to 1000");
  Refuse(spec.head_dim % 2 != 0 || spec.head_dim > 1024,
         Cat("--head-dim ", spec.head_dim, ": an even number up to 1024"));
  Refuse(spec.layers < 1 || spec.layers > 1000, Cat("--layers ", spec.layers, ": 1 to 1000"));
  Refuse(spec.heads < 1 || spec.heads > 1024, Cat("--heads ", spec.heads, ": 1 to 1024"));
  Refuse(spec.kv_heads < 1 || spec.heads % spec.kv_heads != 0,
         Cat("--kv-heads ", spec.kv_heads, ": --heads ", spec.heads, " must be a multiple of it"));
  Refuse(
      spec.embd < 1 || spec.embd > (1u << 17) ||
          (spec.head_dim == 0 && (spec.embd % spec.heads != 0 || spec.embd / spec.heads % 2 != 0)),
      Cat("--embd ", spec.embd, ": an even multiple of --heads ", spec.heads, " up to 131072"));
  Refuse(spec.ff < 1 || spec.ff > (1u << 20), Cat("--ff ", spec.ff, ": 1 to 1048576"));
  Refuse(spec.context < 1, "--context 0: at least 1");
  const uint32_t block = BlockElements(spec.type);
  Refuse(spec.embd % block != 0 || spec.ff % block != 0 || spec.HeadDim() * spec.heads % block != 0,
         Cat("--embd ", spec.embd, " --ff ", spec.ff, " --heads ", spec.heads, " of ",
             spec.HeadDim(), ": multiples of ", block, " for --type ", WeightTypeName(spec.type)));
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

// general.file_type, as ggml numbers what a file mostly is.
uint32_t FileType(const SynthSpec& spec) {
  switch (spec.type) {
    case WeightType::kF32:
      return 0;
    case WeightType::kF16:
      return 1;
    case WeightType::kQ4_0:
      return 2;
    case WeightType::kQ8_0:
      return 7;
    case WeightType::kQ4_K:
      return spec.mixed ? 15 : 14;
    case WeightType::kQ5_K:
      return 16;
    case WeightType::kQ6_K:
      return 18;
    case WeightType::kBF16:
      return 32;
  }
  return 0;
}

void SetMetadata(const SynthSpec& spec, GgufWriter& writer) {
  const std::string& name = spec.architecture;
  const auto key = [&](const char* rest) { return Cat(name, '.', rest); };
  writer.SetString("general.architecture", name);
  writer.SetString("general.name", Cat("synthetic ", spec.layers, "x", spec.embd));
  writer.SetUint32("general.file_type", FileType(spec));
  if (BlockElements(spec.type) > 1) {
    writer.SetUint32("general.quantization_version", 2);
  }
  writer.SetUint32(key("context_length"), spec.context);
  writer.SetUint32(key("embedding_length"), spec.embd);
  writer.SetUint32(key("block_count"), spec.layers);
  writer.SetUint32(key("feed_forward_length"), spec.ff);
  writer.SetUint32(key("attention.head_count"), spec.heads);
  writer.SetUint32(key("attention.head_count_kv"), spec.kv_heads);
  writer.SetFloat(key("attention.layer_norm_rms_epsilon"), 1e-5f);
  if (spec.head_dim != 0) {
    writer.SetUint32(key("attention.key_length"), spec.head_dim);
    writer.SetUint32(key("attention.value_length"), spec.head_dim);
  }
  if (spec.window != 0) {
    writer.SetUint32(key("attention.sliding_window"), spec.window);
  }
  writer.SetUint32(key("rope.dimension_count"), spec.HeadDim());
  writer.SetFloat(key("rope.freq_base"), 10000.0f);
  if (!spec.rope_scaling.empty()) {
    writer.SetString(key("rope.scaling.type"), spec.rope_scaling);
    writer.SetFloat(key("rope.scaling.factor"), spec.rope_factor);
    writer.SetUint32(
        key("rope.scaling.original_context_length"),
        std::max(1u, static_cast<uint32_t>(static_cast<float>(spec.context) / spec.rope_factor)));
  }
  writer.SetUint32(key("vocab_size"), spec.vocab);

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
