// libFuzzer: any bytes are text, and come back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "engine/pretokenizer.h"
#include "engine/synth.h"
#include "engine/tokenizer.h"
#include "engine/unicode.h"

namespace hetllm {
namespace {

Tokenizer MakeByteLevel(PreRules pre) {
  Vocabulary vocabulary;
  vocabulary.kind = TokenizerKind::kByteLevel;
  vocabulary.pre = pre;
  vocabulary.add_bos = vocabulary.add_space_prefix = false;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
    vocabulary.tokens.push_back({Utf8Of(printable ? byte : next++), 0, TokenType::kNormal});
  }
  for (const char* merge : {"a b", "ab ab", "1 2", "\u0120 a", "\u010a \u010a"}) {
    std::string text = merge;
    text.erase(text.find(' '), 1);
    vocabulary.tokens.push_back({text, 0, TokenType::kNormal});
    vocabulary.merges.emplace_back(merge);
  }
  return Tokenizer(std::move(vocabulary));
}

void Check(const Tokenizer& tokenizer, const std::string& text) {
  if (tokenizer.Decode(tokenizer.Encode(text)) != text) std::abort();
  (void)tokenizer.Encode(text, Tokenizer::Specials::kParse);
}

}  // namespace
}  // namespace hetllm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hetllm::PreRules;
  static const hetllm::Tokenizer tokenizers[] = {
      hetllm::MakeByteLevel(PreRules::kDefault), hetllm::MakeByteLevel(PreRules::kGpt2),
      hetllm::MakeByteLevel(PreRules::kLlama3), hetllm::MakeByteLevel(PreRules::kQwen2)};
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const hetllm::Tokenizer& tokenizer : tokenizers) hetllm::Check(tokenizer, text);
  if (hetllm::WholeCharacters(text) > text.size()) std::abort();
  return 0;
}
