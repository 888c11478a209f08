#include "engine/unicode.h"

#include <algorithm>
#include <array>
#include <iterator>

namespace hetllm {
namespace {

struct Range {
  uint32_t first, last;
};

#include "engine/unicode_tables.inc"

template <size_t kCount>
bool Has(const Range (&ranges)[kCount], uint32_t code) {
  const Range* after =
      std::upper_bound(std::begin(ranges), std::end(ranges), code,
                       [](uint32_t c, const Range& range) { return c < range.first; });
  return after != std::begin(ranges) && code <= after[-1].last;
}

CharacterClass Find(uint32_t code) {
  return Has(kLetters, code)       ? CharacterClass::kLetter
         : Has(kNumbers, code)     ? CharacterClass::kNumber
         : Has(kPunctuation, code) ? CharacterClass::kPunctuation
         : Has(kSpaces, code)      ? CharacterClass::kSpace
                                   : CharacterClass::kOther;
}

// Bytes of the sequence that this byte begins; 0: none.
size_t SequenceBytes(unsigned char lead) {
  return lead < 0x80                   ? 1
         : lead >= 0xC2 && lead < 0xE0 ? 2
         : lead >= 0xE0 && lead < 0xF0 ? 3
         : lead >= 0xF0 && lead < 0xF5 ? 4
                                       : 0;
}

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

CharacterClass ClassOf(uint32_t code) {
  static const std::array<CharacterClass, 256> latin = [] {
    std::array<CharacterClass, 256> classes;
    for (uint32_t c = 0; c < classes.size(); ++c) classes[c] = Find(c);
    return classes;
  }();
  return code < latin.size() ? latin[code] : Find(code);
}

Character FirstCharacter(std::string_view text) {
  constexpr uint32_t kNone = 0xFFFFFFFF;
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t size = SequenceBytes(lead);
  if (size == 0 || size > text.size()) {
    return {kNone, 1};
  }
  uint32_t code = size == 1 ? lead : lead & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) {
    if (!IsContinuation(text[i])) {
      return {kNone, 1};
    }
    code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  if (code < kLeast[size] || code > 0x10FFFF || surrogate) {
    return {kNone, 1};
  }
  return {code, size};
}

std::string Utf8Of(uint32_t code) {
  std::string out;
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
  return out;
}

size_t WholeCharacters(std::string_view text) {
  // At most three bytes can be the beginning of a character.
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const char c = text[text.size() - back];
    if (!IsContinuation(c)) {
      const bool begun = SequenceBytes(static_cast<unsigned char>(c)) > back;
      return begun ? text.size() - back : text.size();
    }
  }
  return text.size();
}

}  // namespace hetllm
