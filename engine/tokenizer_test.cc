#include "engine/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/error.h"
#include "engine/synth.h"

namespace hetllm {
namespace {

using ::testing::ElementsAre;

// <unk> <s> </s>, 256 bytes, then `pieces` with falling scores.
Vocabulary Words(const std::vector<std::string>& pieces) {
  Vocabulary vocabulary = SynthVocabulary(kSmallestVocabulary);
  vocabulary.tokens.resize(259);
  for (const std::string& piece : pieces) {
    vocabulary.tokens.push_back(
        {piece, -static_cast<float>(vocabulary.tokens.size()), TokenType::kNormal});
  }
  vocabulary.add_bos = false;
  vocabulary.add_space_prefix = false;
  return vocabulary;
}
constexpr int32_t kFirst = 259;  // the first piece
constexpr int32_t Byte(int value) { return 3 + value; }

TEST(Tokenizer, MergesTheBestScoreFirst) {
  // "abc": "bc" beats "ab", so the result is a + bc although ab would be possible.
  const Tokenizer tokenizer(Words({"bc", "ab", "a", "b", "c"}));
  EXPECT_THAT(tokenizer.Encode("abc"), ElementsAre(kFirst + 2, kFirst + 0));
}

TEST(Tokenizer, MergesTheLeftmostOfEquals) {
  const Tokenizer tokenizer(Words({"aa", "a"}));
  EXPECT_THAT(tokenizer.Encode("aaa"), ElementsAre(kFirst, kFirst + 1));
}

TEST(Tokenizer, ReachesLongPiecesOnlyThroughShorterOnes) {
  const Tokenizer tokenizer(Words({"abc", "a", "b", "c"}));
  EXPECT_THAT(tokenizer.Encode("abc"), ElementsAre(kFirst + 1, kFirst + 2, kFirst + 3));
}

TEST(Tokenizer, FallsBackToBytes) {
  const Tokenizer tokenizer(Words({"a"}));
  EXPECT_THAT(tokenizer.Encode("a\xC3\xA9\n"),
              ElementsAre(kFirst, Byte(0xC3), Byte(0xA9), Byte('\n')));
  EXPECT_EQ(tokenizer.Decode({kFirst, Byte(0xC3), Byte(0xA9)}), "a\xC3\xA9");
}

TEST(Tokenizer, TakesBrokenUtf8AsBytes) {
  const Tokenizer tokenizer(Words({"a"}));
  EXPECT_THAT(tokenizer.Encode("\xFF\x80\xE2"), ElementsAre(Byte(0xFF), Byte(0x80), Byte(0xE2)));
}

TEST(Tokenizer, UsesTheUnknownTokenWithoutBytes) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"?", 0, TokenType::kUnknown}, {"a", 0, TokenType::kNormal}};
  vocabulary.unknown = 0;
  vocabulary.add_space_prefix = false;
  EXPECT_THAT(Tokenizer(vocabulary).Encode("ab"), ElementsAre(1, 0));
  vocabulary.unknown.reset();
  EXPECT_THROW(Tokenizer(vocabulary).Encode("ab"), Error);
}

TEST(Tokenizer, PutsASpaceAndBosInFrontAndTakesTheSpaceAway) {
  Vocabulary vocabulary =
      Words({"\xE2\x96\x81"
             "a",
             "\xE2\x96\x81", "a"});
  vocabulary.add_bos = true;
  vocabulary.add_space_prefix = true;
  const Tokenizer tokenizer(std::move(vocabulary));
  const std::vector<int32_t> tokens = tokenizer.Encode("a a");
  EXPECT_THAT(tokens, ElementsAre(1, kFirst, kFirst));
  EXPECT_EQ(tokenizer.Decode(tokens), "a a");
  EXPECT_EQ(tokenizer.Piece(kFirst), " a");
  EXPECT_THAT(tokenizer.Encode(""), ElementsAre(1));
}

TEST(Tokenizer, DoesNotTakeControlTokensFromText) {
  const Tokenizer tokenizer(Words({"<s", "<", "s", ">"}));
  EXPECT_THAT(tokenizer.Encode("<s>"), ElementsAre(kFirst, kFirst + 3));
}

TEST(Tokenizer, MatchesUserDefinedTokensFirst) {
  Vocabulary vocabulary = Words({"a", "ab"});
  vocabulary.tokens.push_back({"<|x|>", 0, TokenType::kUserDefined});
  vocabulary.tokens.push_back({"<|x|>y", 0, TokenType::kUserDefined});
  const Tokenizer tokenizer(std::move(vocabulary));
  EXPECT_THAT(tokenizer.Encode("a<|x|>ya"), ElementsAre(kFirst, kFirst + 3, kFirst));
  EXPECT_EQ(tokenizer.Decode({kFirst, kFirst + 3}), "a<|x|>y");
}

TEST(Tokenizer, RoundTripsAnyTextOfASynthVocabulary) {
  const Tokenizer tokenizer(SynthVocabulary(5000));
  EXPECT_EQ(tokenizer.size(), 5000u);
  for (const std::string text :
       {"tenose la", "  two  spaces ", "caf\xC3\xA9 \xF0\x9F\x98\x80", "x\ny\tz", "<s>"}) {
    EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
  }
  // Words of generated syllables take fewer tokens than letters.
  EXPECT_LT(tokenizer.Encode("tenose tenose").size(), 6u);
}

TEST(Tokenizer, EndsTextAtEosAndEot) {
  Vocabulary vocabulary = Words({"a", "b"});
  vocabulary.eot = kFirst + 1;
  const Tokenizer tokenizer(std::move(vocabulary));
  EXPECT_TRUE(tokenizer.EndsText(2));
  EXPECT_TRUE(tokenizer.EndsText(kFirst + 1));
  EXPECT_FALSE(tokenizer.EndsText(kFirst));
}

TEST(Tokenizer, RefusesByteTokensThatAreNone) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"<0xZZ>", 0, TokenType::kByte}};
  EXPECT_THROW(Tokenizer{vocabulary}, Error);
}

}  // namespace
}  // namespace hetllm
