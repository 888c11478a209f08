#include "base/uuid.h"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <random>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace het {
namespace {

std::string Format(uint64_t high, uint64_t low, unsigned version) {
  high = (high & ~uint64_t{0xf000}) | (uint64_t{version} << 12);
  low = (low & ~(uint64_t{3} << 62)) | (uint64_t{2} << 62);
  return absl::StrFormat("%08x-%04x-%04x-%04x-%012x", high >> 32, (high >> 16) & 0xffff,
                         high & 0xffff, low >> 48, low & 0xffffffffffff);
}

// FNV-1a over the text, finished by the splitmix64 mixer so that short names differ in all bits.
uint64_t Hash(absl::string_view text, uint64_t seed) {
  uint64_t h = 0xcbf29ce484222325 ^ seed;
  for (unsigned char c : text) h = (h ^ c) * 0x100000001b3;
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
  h = (h ^ (h >> 27)) * 0x94d049bb133111eb;
  return h ^ (h >> 31);
}

}  // namespace

std::string NewUuid() {
  std::array<uint64_t, 2> bits;
  if (getrandom(bits.data(), sizeof(bits), 0) != static_cast<ssize_t>(sizeof(bits))) {
    std::random_device device;
    for (uint64_t& word : bits) word = (uint64_t{device()} << 32) | device();
  }
  return Format(bits[0], bits[1], 4);
}

std::string UuidFromName(absl::string_view name) {
  return Format(Hash(name, 0), Hash(name, 0x9e3779b97f4a7c15), 8);
}

bool IsUuid(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(text[i])) return false;
  }
  return true;
}

}  // namespace het
