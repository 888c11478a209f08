#include "engine/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "engine/error.h"
#include "engine/half.h"
#include "engine/kernels/reference_weights.h"
#include "engine/model.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

class TemporaryFile {
 public:
  TemporaryFile() {
    close(mkstemp(path_));
    unlink(path_);
  }
  ~TemporaryFile() { unlink(path_); }
  const char* path() const { return path_; }

 private:
  char path_[32] = "/tmp/synth_test_XXXXXX";
};

SynthSpec Small(WeightType type) {
  SynthSpec spec;
  spec.layers = 3, spec.embd = 192, spec.ff = 320, spec.heads = 6, spec.kv_heads = 2;
  if (BlockElements(type) == 256) spec.embd = 256, spec.ff = 512, spec.heads = 8;
  spec.vocab = 500;
  spec.type = type;
  return spec;
}

std::string Read(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<double> Values(const GgufTensor& tensor) {
  std::vector<double> values;
  for (const std::byte* at = tensor.data; at < tensor.data + tensor.bytes;
       at += BlockBytes(tensor.type)) {
    for (uint32_t i = 0; i < BlockElements(tensor.type); ++i) {
      values.push_back(reference::Element(tensor.type, reinterpret_cast<const uint8_t*>(at), i));
    }
  }
  return values;
}

class SynthTypes : public testing::TestWithParam<WeightType> {};

TEST_P(SynthTypes, MakesAModelWithTheAskedShapeAndScale) {
  const TemporaryFile file;
  const SynthSpec spec = Small(GetParam());
  const uint64_t bytes = WriteSynth(spec, file.path());
  EXPECT_EQ(bytes, std::filesystem::file_size(file.path()));
  const Model model(file.path());
  EXPECT_EQ(model.shape().blocks, 3u);
  EXPECT_EQ(model.shape().vocab, 500u);
  EXPECT_EQ(model.shape().head_dim, 32u);
  EXPECT_EQ(model.shape().kv_dim(), 64u);
  EXPECT_FALSE(model.tied());
  ASSERT_TRUE(model.tokenizer());
  EXPECT_EQ(model.head().type, GetParam());
  for (const GgufTensor* tensor : {model.block(1).q, model.block(2).gate}) {
    double sum = 0, squares = 0;
    const std::vector<double> values = Values(*tensor);
    for (const double value : values) {
      sum += value;
      squares += value * value;
    }
    const auto n = static_cast<double>(values.size());
    EXPECT_NEAR(std::sqrt(squares / n) * std::sqrt(spec.embd), 1.0, 0.05);
    EXPECT_NEAR(sum / n * std::sqrt(spec.embd), 0.0, 0.02);
  }
}

INSTANTIATE_TEST_SUITE_P(AllTypes, SynthTypes,
                         testing::Values(WeightType::kF32, WeightType::kF16, WeightType::kBF16,
                                         WeightType::kQ8_0, WeightType::kQ4_0, WeightType::kQ4_K,
                                         WeightType::kQ5_K, WeightType::kQ6_K),
                         [](const auto& info) { return std::string(WeightTypeName(info.param)); });

TEST(Synth, WritesEveryArchitecture) {
  for (const char* name : {"llama", "mistral", "qwen2", "qwen3"}) {
    const TemporaryFile file;
    SynthSpec spec = Small(WeightType::kF16);
    spec.architecture = name;
    spec.head_dim = 48;
    spec.window = 100;
    spec.rope_scaling = "yarn";
    WriteSynth(spec, file.path());
    const Model model(file.path());
    EXPECT_EQ(model.architecture().name, name);
    EXPECT_EQ(model.shape().q_dim(), 6u * 48);
    EXPECT_EQ(model.shape().window, 100u);
    EXPECT_GT(model.shape().rope_magnitude, 1.1f);
    EXPECT_EQ(model.block(0).q_bias != nullptr, spec.architecture == "qwen2");
    EXPECT_EQ(model.block(0).q_norm != nullptr, spec.architecture == "qwen3");
  }
}

TEST(Synth, MixesTypesAsFilesCalledQ4KMDo) {
  const TemporaryFile file;
  SynthSpec spec = Small(WeightType::kQ4_K);
  spec.mixed = true;
  WriteSynth(spec, file.path());
  const Model model(file.path());
  EXPECT_EQ(model.head().type, WeightType::kQ6_K);
  EXPECT_EQ(model.block(0).v->type, WeightType::kQ4_K);
  EXPECT_EQ(model.block(2).v->type, WeightType::kQ6_K);
  EXPECT_EQ(model.block(2).down->type, WeightType::kQ6_K);
  EXPECT_EQ(model.block(2).gate->type, WeightType::kQ4_K);
}

TEST(Synth, EqualSeedsGiveEqualFilesAndOthersDoNot) {
  const TemporaryFile a, b, c;
  SynthSpec spec = Small(WeightType::kQ4_0);
  WriteSynth(spec, a.path());
  WriteSynth(spec, b.path());
  spec.seed = 2;
  WriteSynth(spec, c.path());
  EXPECT_EQ(Read(a.path()), Read(b.path()));
  EXPECT_NE(Read(a.path()), Read(c.path()));
}

TEST(Synth, TiedModelsHaveNoHeadOfTheirOwn) {
  const TemporaryFile file;
  SynthSpec spec = Small(WeightType::kF32);
  spec.tied = true;
  WriteSynth(spec, file.path());
  const Model model(file.path());
  EXPECT_TRUE(model.tied());
  EXPECT_EQ(model.WeightBytes(model.head_layer()), 192u * 500 * 4 + 192 * 4);
}

TEST(Synth, PiecesAreUnique) {
  std::set<std::string> seen;
  for (const auto& token : SynthVocabulary(40000).tokens) {
    EXPECT_TRUE(seen.insert(token.text).second) << token.text;
  }
}

TEST(Synth, RefusesSpecsThatCannotBe) {
  const auto refuses = [](auto change) {
    SynthSpec spec = Small(WeightType::kQ8_0);
    change(spec);
    try {
      CheckSynthSpec(spec);
    } catch (const Error& error) {
      return error.exit() == Exit::kUsage;
    }
    return false;
  };
  EXPECT_FALSE(refuses([](SynthSpec&) {}));
  EXPECT_TRUE(refuses([](SynthSpec& s) { s.kv_heads = 4; }));
  EXPECT_TRUE(refuses([](SynthSpec& s) { s.kv_heads = 0; }));
  EXPECT_TRUE(refuses([](SynthSpec& s) { s.embd = 200; }));
  EXPECT_TRUE(refuses([](SynthSpec& s) { s.ff = 100; }));
  EXPECT_TRUE(refuses([](SynthSpec& s) { s.vocab = 200; }));
  EXPECT_TRUE(refuses([](SynthSpec& s) { s.layers = 0; }));
}

TEST(Synth, AFailedWriteLeavesNothingBehind) {
  const TemporaryFile file;
  rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small = {64 * 1024, old.rlim_max};  // stands in for a full disk
  signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  try {
    WriteSynth(Small(WeightType::kF32), file.path());
  } catch (const Error& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_THAT(message, testing::HasSubstr(std::string("for '") + file.path()));
  EXPECT_FALSE(std::filesystem::exists(file.path()));
  EXPECT_FALSE(std::filesystem::exists(std::string(file.path()) + ".part"));
}

TEST(Half, RoundsToNearestEven) {
  EXPECT_EQ(HalfFromFloat(1.0f), 0x3C00);
  EXPECT_EQ(HalfFromFloat(-2.0f), 0xC000);
  EXPECT_EQ(HalfFromFloat(65504.0f), 0x7BFF);
  EXPECT_EQ(HalfFromFloat(65520.0f), 0x7C00);
  EXPECT_EQ(HalfFromFloat(1.0f + 1.0f / 2048), 0x3C00);  // a tie: to even
  EXPECT_EQ(HalfFromFloat(1.0f + 3.0f / 2048), 0x3C02);
  EXPECT_EQ(HalfFromFloat(std::ldexp(1.0f, -24)), 1);
  EXPECT_EQ(HalfFromFloat(std::ldexp(1.0f, -26)), 0);
  for (uint32_t half = 0; half < 0x10000; ++half) {
    const float value = FloatFromHalf(static_cast<uint16_t>(half));
    if (!std::isnan(value)) {
      ASSERT_EQ(HalfFromFloat(value), half);
    }
  }
}

}  // namespace
}  // namespace hetllm
