#include "engine/pretokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "engine/unicode.h"

namespace hetllm {
namespace {

using testing::ElementsAre;

std::vector<std::string> Words(std::string_view text, PreRules rules) {
  std::vector<std::string> words;
  for (const std::string_view word : Pretokenize(text, rules)) words.emplace_back(word);
  return words;
}

TEST(Pretokenizer, Gpt2KeepsASpaceWithItsWord) {
  EXPECT_THAT(Words("Hello world's  end 2024!?", PreRules::kGpt2),
              ElementsAre("Hello", " world", "'s", " ", " end", " 2024", "!?"));
  EXPECT_THAT(Words("a  \n b  ", PreRules::kGpt2), ElementsAre("a", "  \n", " b", "  "));
  EXPECT_THAT(Words("WE'LL we'll", PreRules::kGpt2), ElementsAre("WE", "'", "LL", " we", "'ll"));
}

TEST(Pretokenizer, Llama3TakesThreeDigitsAndLineBreaksWithSymbols) {
  EXPECT_THAT(Words("12345 x=10;\n\n  y", PreRules::kLlama3),
              ElementsAre("123", "45", " x", "=", "10", ";\n\n", " ", " y"));
  EXPECT_THAT(Words("WE'LL\r\n (yes)", PreRules::kLlama3),
              ElementsAre("WE", "'LL", "\r\n", " (", "yes", ")"));
  EXPECT_THAT(Words("a \n \n b", PreRules::kLlama3), ElementsAre("a", " \n \n", " b"));
}

TEST(Pretokenizer, Qwen2TakesDigitsOneByOne) {
  EXPECT_THAT(Words("in 2024", PreRules::kQwen2), ElementsAre("in", " ", "2", "0", "2", "4"));
}

TEST(Pretokenizer, DefaultCutsPunctuationAndGroupsOfThreeDigits) {
  EXPECT_THAT(Words("a,b <= 12345 c", PreRules::kDefault),
              ElementsAre("a", ",", "b", " ", "<=", " ", "123", "45", " c"));
}

TEST(Pretokenizer, KnowsLettersAndNumbersOfOtherScripts) {
  // Cyrillic, a Han character, Arabic-Indic digits, a no-break space, an emoji.
  EXPECT_THAT(Words("\u043f\u0440\u0438 \u4e2d\u0661\u0662\u00a0\U0001F600", PreRules::kGpt2),
              ElementsAre("\u043f\u0440\u0438", " \u4e2d", "\u0661\u0662", "\u00a0", "\U0001F600"));
}

TEST(Pretokenizer, LosesNothingOfAnyBytes) {
  std::mt19937 random(1);
  const std::string alphabet[] = {"a",          "B",  "'",    "s",      " ",    "\n",      "\r",
                                  "7",          "!",  "\xC3", "\xA9",   "\xFF", "\u00e9",  "\u4e2d",
                                  "\U0001F600", "\t", "$",    "\u2028", "'ll",  "\xE2\x80"};
  for (int round = 0; round < 500; ++round) {
    std::string text;
    for (int i = static_cast<int>(random() % 40); i > 0; --i)
      text += alphabet[random() % std::size(alphabet)];
    for (const PreRules rules :
         {PreRules::kDefault, PreRules::kGpt2, PreRules::kLlama3, PreRules::kQwen2}) {
      std::string joined;
      for (const std::string& word : Words(text, rules)) {
        EXPECT_FALSE(word.empty());
        joined += word;
      }
      EXPECT_EQ(joined, text);
    }
  }
}

TEST(Unicode, RefusesWhatIsNoUtf8) {
  for (const std::string text :
       {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80", "\xE2\x82"}) {
    EXPECT_EQ(FirstCharacter(text).code, 0xFFFFFFFF) << text;
    EXPECT_EQ(FirstCharacter(text).bytes, 1u);
  }
  for (const uint32_t code : {0x41u, 0xE9u, 0x7FFu, 0x20ACu, 0xFFFDu, 0x1F600u, 0x10FFFFu}) {
    const std::string text = Utf8Of(code);
    EXPECT_EQ(FirstCharacter(text).code, code);
    EXPECT_EQ(FirstCharacter(text).bytes, text.size());
  }
}

TEST(Unicode, HoldsBackOnlyTheBeginningOfACharacter) {
  const std::string euro = "\u20ac", face = "\U0001F600";
  EXPECT_EQ(WholeCharacters("ab" + euro.substr(0, 1)), 2u);
  EXPECT_EQ(WholeCharacters("ab" + euro.substr(0, 2)), 2u);
  EXPECT_EQ(WholeCharacters("ab" + euro), 5u);
  EXPECT_EQ(WholeCharacters(face.substr(0, 3)), 0u);
  EXPECT_EQ(WholeCharacters("\x80\x80\x80\x80"), 4u);  // no beginning: nothing to wait for
  EXPECT_EQ(WholeCharacters("a\xFF"), 2u);
  EXPECT_EQ(WholeCharacters(""), 0u);
}

}  // namespace
}  // namespace hetllm
