#include "engine/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "engine/error.h"
#include "engine/gguf_writer.h"

namespace hetllm {
namespace {

using ::testing::HasSubstr;

// A tiny llama file as its parts, to be changed and written.
struct Parts {
  std::map<std::string, std::string> texts = {{"general.architecture", "llama"}};
  std::map<std::string, uint32_t> numbers = {{"llama.block_count", 2},
                                             {"llama.embedding_length", 32},
                                             {"llama.feed_forward_length", 64},
                                             {"llama.attention.head_count", 4},
                                             {"llama.attention.head_count_kv", 2}};
  std::map<std::string, float> floats = {{"llama.attention.layer_norm_rms_epsilon", 1e-5f}};
  struct Tensor {
    WeightType type;
    std::vector<uint64_t> ne;
  };
  std::map<std::string, Tensor> tensors;

  Parts() {
    const auto add = [&](const std::string& name, uint64_t n_in, uint64_t n_out) {
      tensors[name + ".weight"] = {WeightType::kF32, {n_in, n_out}};
    };
    add("token_embd", 32, 10);
    for (const std::string block : {"blk.0.", "blk.1."}) {
      add(block + "attn_q", 32, 32);
      add(block + "attn_k", 32, 16);
      add(block + "attn_v", 32, 16);
      add(block + "attn_output", 32, 32);
      add(block + "ffn_gate", 32, 64);
      add(block + "ffn_up", 32, 64);
      add(block + "ffn_down", 64, 32);
      tensors[block + "attn_norm.weight"] = {WeightType::kF32, {32}};
      tensors[block + "ffn_norm.weight"] = {WeightType::kF32, {32}};
    }
    tensors["output_norm.weight"] = {WeightType::kF32, {32}};
  }
};

class ModelTest : public testing::Test {
 protected:
  ModelTest() { close(mkstemp(path_)); }
  ~ModelTest() override { unlink(path_); }

  Model Load(const Parts& parts) {
    GgufWriter writer;
    for (const auto& [key, value] : parts.texts) writer.SetString(key, value);
    for (const auto& [key, value] : parts.numbers) writer.SetUint32(key, value);
    for (const auto& [key, value] : parts.floats) writer.SetFloat(key, value);
    for (const auto& [name, tensor] : parts.tensors) {
      writer.AddTensor(name, tensor.type, tensor.ne);
    }
    writer.Write(path_, [](size_t, uint64_t, std::span<std::byte> out) {
      std::fill(out.begin(), out.end(), std::byte{0});
    });
    return Model(path_);
  }

  // The message that refuses the changed file.
  std::string Refusal(const std::function<void(Parts&)>& change) {
    Parts parts;
    change(parts);
    try {
      Load(parts);
      return "";
    } catch (const Error& error) {
      return error.what();
    }
  }

 private:
  char path_[32] = "/tmp/model_test_XXXXXX";
};

TEST_F(ModelTest, ReadsTheShapeAndNumbersLayersFromEmbeddingToHead) {
  const Model model = Load(Parts());
  EXPECT_EQ(model.shape().vocab, 10u);
  EXPECT_EQ(model.shape().head_dim, 8u);
  EXPECT_EQ(model.shape().rope_dim, 8u);
  EXPECT_FLOAT_EQ(model.shape().rope_base, 10000.0f);
  EXPECT_TRUE(model.tied());
  EXPECT_FALSE(model.tokenizer());
  EXPECT_EQ(model.layer_count(), 4u);
  EXPECT_EQ(model.LayerName(0), "embedding");
  EXPECT_EQ(model.LayerName(2), "block 1");
  EXPECT_EQ(model.LayerName(3), "head");
  EXPECT_EQ(model.LayerSignature(1), model.LayerSignature(2));
  EXPECT_EQ(model.KvBytesPerToken(0), 0u);
  EXPECT_EQ(model.KvBytesPerToken(1), 2u * 16 * 4);
  EXPECT_EQ(model.FlopsPerToken(3), 2u * 32 * 10);
}

TEST_F(ModelTest, TellsBlocksOfOtherTypesApart) {
  Parts parts;
  parts.tensors["blk.1.ffn_down.weight"].type = WeightType::kQ8_0;
  const Model model = Load(parts);
  EXPECT_NE(model.LayerSignature(1), model.LayerSignature(2));
  EXPECT_TRUE(model.CanUseQ8());
}

TEST_F(ModelTest, RefusesOtherArchitecturesByName) {
  EXPECT_THAT(Refusal([](Parts& p) { p.texts["general.architecture"] = "mamba"; }),
              AllOf(HasSubstr("'mamba'"), HasSubstr("runs: llama, mistral, qwen2, qwen3")));
  EXPECT_THAT(Refusal([](Parts& p) { p.texts.clear(); }), HasSubstr("general.architecture"));
}

TEST_F(ModelTest, RefusesWhatWouldChangeTheResult) {
  EXPECT_THAT(Refusal([](Parts& p) { p.texts["llama.rope.scaling.type"] = "longrope"; }),
              HasSubstr("RoPE scaling 'longrope' is not implemented"));
  EXPECT_THAT(Refusal([](Parts& p) { p.numbers["llama.expert_count"] = 8; }),
              HasSubstr("mixtures of experts"));
  EXPECT_THAT(Refusal([](Parts& p) {
                p.tensors["blk.0.attn_q_norm.weight"] = {WeightType::kF32, {8}};
              }),
              HasSubstr("'blk.0.attn_q_norm.weight' is no part of the llama"));
}

TEST_F(ModelTest, TakesBiasesAndRefusesMisshapenOnes) {
  Parts parts;
  parts.tensors["blk.0.attn_q.bias"] = {WeightType::kF32, {32}};
  const Model model = Load(parts);
  EXPECT_NE(model.block(0).q_bias, nullptr);
  EXPECT_EQ(model.block(1).q_bias, nullptr);
  EXPECT_NE(model.LayerSignature(1), model.LayerSignature(2));
  EXPECT_THAT(Refusal([](Parts& p) {
                p.tensors["blk.0.attn_q.bias"] = {WeightType::kF32, {16}};
              }),
              HasSubstr("'blk.0.attn_q.bias' is 16 x 1"));
}

// The pairs of a head of 8 at base 10000 turn by 1, 0.1, 0.01, 0.001 per position.
std::vector<double> Frequencies(const Model& model) {
  std::vector<double> sums;
  const auto& pairs = model.shape().rope_frequencies;
  for (size_t i = 0; i < pairs.size(); i += 2) sums.push_back(double{pairs[i]} + pairs[i + 1]);
  return sums;
}

TEST_F(ModelTest, ScalesRopeAsTheFileSays) {
  using testing::DoubleNear;
  using testing::ElementsAre;
  const auto near = [](double value) { return DoubleNear(value, 1e-12); };
  EXPECT_THAT(Frequencies(Load(Parts())), ElementsAre(near(1), near(0.1), near(0.01), near(0.001)));
  Parts linear;
  linear.floats["llama.rope.scaling.factor"] = 4;
  EXPECT_THAT(Frequencies(Load(linear)),
              ElementsAre(near(0.25), near(0.025), near(0.0025), near(0.00025)));
  Parts yarn = linear;
  yarn.texts["llama.rope.scaling.type"] = "yarn";
  yarn.numbers["llama.rope.scaling.original_context_length"] = 4096;
  const Model model = Load(yarn);
  // Pair 0 turns 652 times over the context, pair 3 less than once; pair 2 lies two thirds between
  // pairs 1 (floor of 1.31) and 3 (ceiling of 2.81): half.
  EXPECT_THAT(Frequencies(model),
              ElementsAre(near(1), near(0.1), near(0.01 * (0.5 + 0.5 / 4)), near(0.00025)));
  EXPECT_FLOAT_EQ(model.shape().rope_magnitude, 1 + 0.1f * std::log(4.0f));
}

TEST_F(ModelTest, RefusesRopeFactorsThatCannotBe) {
  // Written as zeros.
  EXPECT_THAT(Refusal([](Parts& p) {
                p.tensors["rope_freqs.weight"] = {WeightType::kF32, {4}};
              }),
              HasSubstr("rope_freqs.weight has 0 for pair 0"));
  EXPECT_THAT(Refusal([](Parts& p) {
                p.tensors["rope_freqs.weight"] = {WeightType::kF32, {5}};
              }),
              HasSubstr("'rope_freqs.weight' is 5 x 1"));
}

TEST_F(ModelTest, RefusesMissingAndMisshapenTensors) {
  EXPECT_THAT(Refusal([](Parts& p) { p.tensors.erase("blk.1.attn_k.weight"); }),
              HasSubstr("no tensor 'blk.1.attn_k.weight'"));
  EXPECT_THAT(Refusal([](Parts& p) {
                p.tensors["blk.0.ffn_up.weight"].ne = {64, 32};
              }),
              HasSubstr("is 64 x 32; the metadata asks for 32 x 64"));
  EXPECT_THAT(Refusal([](Parts& p) { p.tensors["output_norm.weight"].type = WeightType::kF16; }),
              HasSubstr("norms and biases are needed as f32"));
  EXPECT_THAT(Refusal([](Parts& p) { p.numbers["llama.block_count"] = 4096; }),
              HasSubstr("no tensor 'blk.4095.attn_norm.weight'"));
}

TEST_F(ModelTest, RefusesNumbersThatCannotBe) {
  EXPECT_THAT(Refusal([](Parts& p) { p.numbers["llama.block_count"] = 0; }),
              HasSubstr("block_count' is 0"));
  EXPECT_THAT(Refusal([](Parts& p) { p.numbers["llama.attention.head_count_kv"] = 3; }),
              HasSubstr("4 heads cannot share 3"));
  EXPECT_THAT(Refusal([](Parts& p) { p.numbers["llama.attention.head_count"] = 3; }),
              HasSubstr("cannot share"));
  EXPECT_THAT(Refusal([](Parts& p) { p.numbers["llama.rope.dimension_count"] = 10; }),
              HasSubstr("RoPE over 10 of 8"));
  EXPECT_THAT(Refusal([](Parts& p) { p.floats.clear(); }), HasSubstr("rms_epsilon"));
}

}  // namespace
}  // namespace hetllm
