#include "engine/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/error.h"
#include "engine/synth.h"
#include "engine/unicode.h"

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

// All bytes as tokens 0..255 in the order of the alphabet's characters' bytes, then the merged
// texts.
Vocabulary ByteLevel(const std::vector<std::string>& merges, PreRules pre = PreRules::kGpt2) {
  Vocabulary vocabulary;
  vocabulary.kind = TokenizerKind::kByteLevel;
  vocabulary.pre = pre;
  vocabulary.add_bos = vocabulary.add_space_prefix = false;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    vocabulary.tokens.push_back({Utf8Of(printable ? byte : next++), 0, TokenType::kNormal});
  }
  for (const std::string& merge : merges) {
    std::string text = merge;
    text.erase(text.find(' '), 1);
    vocabulary.tokens.push_back({text, 0, TokenType::kNormal});
  }
  vocabulary.merges = merges;
  return vocabulary;
}

TEST(ByteLevel, MergesByTheEarliestRule) {
  // "abc": "b c" comes first, so "a b" finds no b any more.
  const Tokenizer tokenizer(ByteLevel({"b c", "a b", "a bc"}));
  EXPECT_THAT(tokenizer.Encode("abc"), ElementsAre(258));
  EXPECT_THAT(tokenizer.Encode("ab"), ElementsAre(257));
  EXPECT_THAT(tokenizer.Encode("bcb"), ElementsAre(256, 'b'));
}

TEST(ByteLevel, MergesOnlyInsideWords) {
  const Tokenizer tokenizer(ByteLevel({"o l", "\u0120 w"}));  // U+0120 is the space
  EXPECT_THAT(tokenizer.Encode("o w"), ElementsAre('o', 257));
  EXPECT_THAT(tokenizer.Encode("o\nl"), ElementsAre('o', '\n', 'l'));
  EXPECT_EQ(tokenizer.Decode({'o', 257}), "o w");
}

TEST(ByteLevel, TakesWholeWordsWithoutMergesWhereTheFileSaysSo) {
  Vocabulary vocabulary = ByteLevel({"a b"});
  vocabulary.tokens.push_back({"xyz", 0, TokenType::kNormal});
  EXPECT_THAT(Tokenizer(vocabulary).Encode("xyz"), ElementsAre('x', 'y', 'z'));
  vocabulary.whole_words = true;
  EXPECT_THAT(Tokenizer(vocabulary).Encode("xyz"), ElementsAre(257));
}

TEST(ByteLevel, RoundTripsAnyBytes) {
  for (const PreRules pre :
       {PreRules::kDefault, PreRules::kGpt2, PreRules::kLlama3, PreRules::kQwen2}) {
    const Tokenizer tokenizer(ByteLevel({"e n", "t h", "th e", "\u0120 t", "\u00c3 \u00a9"}, pre));
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    for (const std::string& text :
         {all, std::string("the \u00e9t\u00e9  then\n\n\u4e2d\u6587 12345 \U0001F600"),
          std::string("\xFF\xFE broken \xE2\x82")}) {
      EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(text)), text);
    }
  }
}

TEST(ByteLevel, TakesSpecialTokensFromTextOnlyWhenAsked) {
  Vocabulary vocabulary = ByteLevel({"a b"});
  vocabulary.tokens.push_back({"<|im_end|>", 0, TokenType::kControl});
  const Tokenizer tokenizer(std::move(vocabulary));
  EXPECT_EQ(tokenizer.Encode("ab<|im_end|>").size(), 11u);
  EXPECT_THAT(tokenizer.Encode("ab<|im_end|>a", Tokenizer::Specials::kParse),
              ElementsAre(256, 257, 'a'));
  EXPECT_TRUE(tokenizer.EndsText(257));
  EXPECT_EQ(tokenizer.Piece(257), "");
  EXPECT_EQ(tokenizer.Find("<|im_end|>"), 257);
}

TEST(ByteLevel, SaysWhichByteHasNoToken) {
  Vocabulary vocabulary = ByteLevel({});
  vocabulary.tokens.pop_back();
  const Tokenizer tokenizer(std::move(vocabulary));
  EXPECT_THROW(tokenizer.Encode("\xFF"), Error);
}

TEST(ByteLevel, RefusesMergesThatAreNone) {
  Vocabulary vocabulary = ByteLevel({"a b"});
  vocabulary.merges.push_back("ab");
  EXPECT_THROW(Tokenizer{vocabulary}, Error);
}

TEST(Tokenizer, RefusesByteTokensThatAreNone) {
  Vocabulary vocabulary;
  vocabulary.tokens = {{"<0xZZ>", 0, TokenType::kByte}};
  EXPECT_THROW(Tokenizer{vocabulary}, Error);
}

}  // namespace
}  // namespace hetllm
