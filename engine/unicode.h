// Unicode as the tokenizers need it: UTF-8 and the classes of characters.
//
// Pure functions, thread-safe. Bytes that are no UTF-8 are characters of one byte and of no class.
#ifndef HET_ENGINE_UNICODE_H_
#define HET_ENGINE_UNICODE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hetllm {

enum class CharacterClass : uint8_t { kOther, kLetter, kNumber, kPunctuation, kSpace };

// General categories L, N and P, and the property White_Space.
CharacterClass ClassOf(uint32_t code);

// The character at the front of a text that is not empty, and its bytes. A byte that begins no
// valid sequence (overlong and surrogates included) is 0xFFFFFFFF, of one byte.
struct Character {
  uint32_t code;
  size_t bytes;
};
Character FirstCharacter(std::string_view text);

// A code point, at most 0x10FFFF, as UTF-8.
std::string Utf8Of(uint32_t code);

// How much of a stream can be shown: all but the beginning of a character at its end that may go on
// with the next bytes.
size_t WholeCharacters(std::string_view text);

}  // namespace hetllm

#endif  // HET_ENGINE_UNICODE_H_
