#include "engine/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>

#include "engine/error.h"
#include "engine/gguf_probe.h"
#include "engine/gguf_writer.h"
#include "engine/synth.h"

namespace hetllm {
namespace {

using ::testing::HasSubstr;

// A small good file in memory, with a way to break it.
class GgufBytes {
 public:
  explicit GgufBytes(const std::function<void(GgufWriter&)>& declare) {
    GgufWriter writer;
    declare(writer);
    bytes_ = writer.Header();
    for (size_t i = 0; i < writer.tensor_count(); ++i) {
      bytes_.resize(bytes_.size() + (writer.tensor_bytes(i) + 31) / 32 * 32, std::byte{1});
    }
  }
  std::vector<std::byte>& bytes() { return bytes_; }

  // Replaces the first `from` by `to` (same length).
  GgufBytes& Replace(const std::string& from, const std::string& to) {
    const auto raw = std::as_bytes(std::span(from));
    const auto at = std::search(bytes_.begin(), bytes_.end(), raw.begin(), raw.end());
    EXPECT_NE(at, bytes_.end());
    std::memcpy(&*at, to.data(), to.size());
    return *this;
  }
  template <typename T>
  GgufBytes& Put(size_t at, T value) {
    std::memcpy(&bytes_[at], &value, sizeof(T));
    return *this;
  }
  // Position right behind the first occurrence of `text`.
  size_t Behind(const std::string& text) const {
    const auto raw = std::as_bytes(std::span(text));
    const auto at = std::search(bytes_.begin(), bytes_.end(), raw.begin(), raw.end());
    EXPECT_NE(at, bytes_.end());
    return static_cast<size_t>(at - bytes_.begin()) + text.size();
  }
  std::string Failure() const { return ProbeGguf(bytes_); }
  Gguf Parse() const { return Gguf::Parse(bytes_, "F"); }

 private:
  std::vector<std::byte> bytes_;
};

GgufBytes Sample() {
  return GgufBytes([](GgufWriter& writer) {
    writer.SetString("general.architecture", "llama");
    writer.SetUint32("count", 7);
    writer.SetFloat("eps", 0.5f);
    writer.SetBool("flag", true);
    writer.SetStrings("words", std::vector<std::string>{"a", "", "xyz"});
    writer.SetFloats("numbers", std::vector<float>{1.5f, -2});
    writer.SetInts("ids", std::vector<int32_t>{3, -4});
    writer.AddTensor("first", WeightType::kF32, std::vector<uint64_t>{5, 3});
    writer.AddTensor("second", WeightType::kQ4_0, std::vector<uint64_t>{64, 2});
  });
}

TEST(Gguf, ReadsWhatTheWriterWrote) {
  GgufBytes sample = Sample();
  const Gguf file = sample.Parse();
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.GetString("general.architecture"), "llama");
  EXPECT_EQ(file.GetUint("count"), 7u);
  EXPECT_EQ(file.GetFloat("eps"), 0.5);
  EXPECT_EQ(file.GetBool("flag"), true);
  EXPECT_THAT(*file.GetStrings("words"), ::testing::ElementsAre("a", "", "xyz"));
  EXPECT_THAT(*file.GetFloats("numbers"), ::testing::ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(*file.GetInts("ids"), ::testing::ElementsAre(3, -4));
  EXPECT_EQ(file.GetUint("nothing"), std::nullopt);
  const GgufTensor* second = file.FindTensor("second");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->type, WeightType::kQ4_0);
  EXPECT_EQ(second->bytes, 4u * 18);
  EXPECT_EQ(second->rows(), 2u);
  EXPECT_EQ(file.FindTensor("third"), nullptr);
}

TEST(Gguf, ReadsVersion2AsWell) { EXPECT_EQ(Sample().Put<uint32_t>(4, 2).Parse().version(), 2u); }

TEST(Gguf, RefusesAGetterOfAnotherTypeByName) {
  const GgufBytes sample = Sample();
  const Gguf file = sample.Parse();
  try {
    file.GetString("count");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'count' is of type uint32; string is expected"));
  }
  EXPECT_THROW(file.GetUint("eps"), Error);
  EXPECT_THROW(file.GetInts("words"), Error);
}

TEST(Gguf, NamesWhatIsWrongWithTheHeader) {
  EXPECT_THAT(ProbeGguf({}), HasSubstr("it is empty"));
  EXPECT_THAT(Sample().Replace("GGUF", "GGML").Failure(), HasSubstr("begins with 'GGML'"));
  EXPECT_THAT(Sample().Put<uint32_t>(4, 1).Failure(), HasSubstr("version 1; versions 2 and 3"));
  EXPECT_THAT(Sample().Put<uint32_t>(4, 0x03000000).Failure(), HasSubstr("big-endian"));
}

TEST(Gguf, RefusesAbsurdCountsWithoutTakingMemory) {
  EXPECT_THAT(Sample().Put<uint64_t>(8, UINT64_MAX).Failure(), HasSubstr("tensors, more than"));
  EXPECT_THAT(Sample().Put<uint64_t>(16, uint64_t{1} << 60).Failure(),
              HasSubstr("metadata entries, more than"));
  GgufBytes words = Sample();
  words.Put<uint64_t>(words.Behind("words") + 8, uint64_t{1} << 61);
  EXPECT_THAT(words.Failure(), HasSubstr("'words' claims"));
  GgufBytes numbers = Sample();
  numbers.Put<uint64_t>(numbers.Behind("numbers") + 8, (uint64_t{1} << 62) + 1);  // times 4: 4
  EXPECT_THAT(numbers.Failure(), HasSubstr("'numbers' claims"));
}

TEST(Gguf, RefusesTextsPastTheEnd) {
  GgufBytes text = Sample();
  text.Put<uint64_t>(text.Behind("architecture") + 4, 1 << 20);
  EXPECT_THAT(text.Failure(), HasSubstr("it ends at byte"));
  text.Put<uint64_t>(text.Behind("architecture") + 4, UINT64_MAX - 3);
  EXPECT_THAT(text.Failure(), HasSubstr("it ends at byte"));
}

TEST(Gguf, RefusesUnknownTypesByName) {
  GgufBytes value = Sample();
  value.Put<uint32_t>(value.Behind("count"), 77);
  EXPECT_THAT(value.Failure(), HasSubstr("'count' has the unknown type 77"));
  GgufBytes tensor = Sample();
  tensor.Put<uint32_t>(tensor.Behind("second") + 4 + 16, 16);
  EXPECT_THAT(tensor.Failure(), HasSubstr("'second' has type 16 (IQ2_XXS)"));
}

TEST(Gguf, RefusesTensorsThatCannotBe) {
  GgufBytes dimensions = Sample();
  dimensions.Put<uint32_t>(dimensions.Behind("first"), 5);
  EXPECT_THAT(dimensions.Failure(), HasSubstr("5 dimensions"));
  GgufBytes huge = Sample();
  huge.Put<uint64_t>(huge.Behind("first") + 4, uint64_t{1} << 63);
  EXPECT_THAT(huge.Failure(), HasSubstr("impossible dimension"));
  GgufBytes wide = Sample();
  wide.Put<uint64_t>(wide.Behind("first") + 4, uint64_t{1} << 61);
  EXPECT_THAT(wide.Failure(), HasSubstr("more than memory can address"));
  GgufBytes ragged = Sample();
  ragged.Put<uint64_t>(ragged.Behind("second") + 4, 65);
  EXPECT_THAT(ragged.Failure(), HasSubstr("multiple of 32"));
}

TEST(Gguf, RefusesMisplacedTensors) {
  GgufBytes unaligned = Sample();
  unaligned.Put<uint64_t>(unaligned.Behind("second") + 4 + 16 + 4, 65);
  EXPECT_THAT(unaligned.Failure(), HasSubstr("no multiple of the alignment 32"));
  GgufBytes overlapping = Sample();
  overlapping.Put<uint64_t>(overlapping.Behind("second") + 4 + 16 + 4, 32);
  EXPECT_THAT(overlapping.Failure(), HasSubstr("'first' and 'second' overlap"));
  GgufBytes outside = Sample();
  outside.Put<uint64_t>(outside.Behind("second") + 4 + 16 + 4, uint64_t{1} << 63);
  EXPECT_THAT(outside.Failure(), HasSubstr("downloaded completely"));
}

TEST(Gguf, RefusesDuplicatesAndWrongAlignment) {
  const GgufBytes tensors([](GgufWriter& writer) {
    writer.AddTensor("same", WeightType::kF32, std::vector<uint64_t>{8});
    writer.AddTensor("same", WeightType::kF32, std::vector<uint64_t>{8});
  });
  EXPECT_THAT(tensors.Failure(), HasSubstr("tensor 'same' is there twice"));
  const GgufBytes twice([](GgufWriter& writer) {
    writer.SetUint32("same", 1);
    writer.SetUint32("same", 2);
  });
  EXPECT_THAT(twice.Failure(), HasSubstr("'same' is there twice"));
  for (const uint32_t alignment : {0u, 3u, 4u, 48u, 1u << 30}) {
    const GgufBytes file(
        [&](GgufWriter& writer) { writer.SetUint32("general.alignment", alignment); });
    EXPECT_THAT(file.Failure(), HasSubstr("general.alignment is")) << alignment;
  }
}

TEST(Gguf, RefusesArraysNestedWithoutEnd) {
  GgufBytes file([](GgufWriter& writer) { writer.SetInts("deep", std::vector<int32_t>(64)); });
  // Turn the array's body into arrays of one array each.
  size_t at = file.Behind("deep") + 4;
  for (int depth = 0; depth < 8; ++depth, at += 12) {
    file.Put<uint32_t>(at, 9).Put<uint64_t>(at + 4, 1);
  }
  EXPECT_THAT(file.Failure(), HasSubstr("nests arrays deeper"));
}

TEST(Gguf, EveryTruncationIsOneError) {
  const std::vector<std::byte> whole = Sample().bytes();
  ASSERT_EQ(ProbeGguf(whole), "");
  const size_t last_byte = whole.size() - 24;  // padding of the last tensor may be missing
  for (size_t size = 0; size < last_byte; ++size) {
    EXPECT_THAT(ProbeGguf({whole.data(), size}), HasSubstr("not a usable GGUF file")) << size;
  }
}

// A few seconds of fuzzing without a fuzzer: seeded mutations of good files, under whatever
// sanitizer the build has.
TEST(Gguf, SurvivesMutations) {
  char path[] = "/tmp/gguf_test_XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  close(fd);
  SynthSpec spec;
  spec.layers = 1, spec.embd = 32, spec.ff = 32, spec.heads = 2, spec.kv_heads = 1;
  spec.vocab = kSmallestVocabulary;
  WriteSynth(spec, path);
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  unlink(path);
  const auto raw = std::as_bytes(std::span(text));
  std::vector<std::vector<std::byte>> seeds = {{raw.begin(), raw.end()}, Sample().bytes()};
  ASSERT_EQ(ProbeGguf(seeds[0]), "");

  std::mt19937_64 random(20240607);
  const uint64_t interesting[] = {0,   1,        7,          8,          9,          31,        32,
                                  255, 1u << 31, UINT32_MAX, 1ull << 61, 1ull << 63, UINT64_MAX};
  const auto begin = std::chrono::steady_clock::now();
  size_t refused = 0;
  for (int round = 0; round < 40000; ++round) {
    std::vector<std::byte> bytes = seeds[static_cast<size_t>(round % 2)];
    for (uint64_t edits = 1 + random() % 4; edits > 0; --edits) {
      // Mostly the head of the file, where the structure is.
      const size_t reach = random() % 4 == 0 ? bytes.size() : std::min<size_t>(bytes.size(), 400);
      const size_t at = random() % reach;
      if (random() % 2 == 0) {
        bytes[at] = static_cast<std::byte>(random());
      } else {
        const uint64_t value = interesting[random() % std::size(interesting)];
        std::memcpy(&bytes[at], &value, std::min<size_t>(8, bytes.size() - at));
      }
    }
    if (random() % 8 == 0) {
      bytes.resize(random() % bytes.size());
    }
    refused += ProbeGguf(bytes).empty() ? 0 : 1;
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(4)) {
      break;  // a slow sanitizer build
    }
  }
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace hetllm
