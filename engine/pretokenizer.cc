#include "engine/pretokenizer.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "engine/unicode.h"

namespace hetllm {
namespace {

struct Name {
  std::string_view name;
  PreRules rules;
};
constexpr Name kNames[] = {
    {"default", PreRules::kDefault}, {"gpt-2", PreRules::kGpt2},
    {"gpt2", PreRules::kGpt2},       {"llama-bpe", PreRules::kLlama3},
    {"llama3", PreRules::kLlama3},   {"llama-v3", PreRules::kLlama3},
    {"qwen2", PreRules::kQwen2},     {"deepseek-r1-qwen", PreRules::kQwen2},
};

// A text as characters with their classes; one place more, behind the end.
struct Characters {
  struct Entry {
    size_t at;  // byte
    uint32_t code;
    CharacterClass kind;
  };
  std::vector<Entry> entries;
  std::string_view text;

  explicit Characters(std::string_view all) : text(all) {
    for (size_t at = 0; at < all.size();) {
      const Character character = FirstCharacter(all.substr(at));
      entries.push_back({at, character.code, ClassOf(character.code)});
      at += character.bytes;
    }
    entries.push_back({all.size(), 0, CharacterClass::kOther});
  }
  size_t size() const { return entries.size() - 1; }
  std::string_view Part(size_t begin, size_t end) const {
    return text.substr(entries[begin].at, entries[end].at - entries[begin].at);
  }
};

// What the rules look at: characters [0, end) of a fragment, all others being "nothing".
class View {
 public:
  View(const Characters& all, size_t end) : all_(all), end_(end) {}
  size_t end() const { return end_; }
  bool Letter(size_t i) const { return Is(i, CharacterClass::kLetter); }
  bool Number(size_t i) const { return Is(i, CharacterClass::kNumber); }
  bool Space(size_t i) const { return Is(i, CharacterClass::kSpace); }
  bool Punctuation(size_t i) const { return Is(i, CharacterClass::kPunctuation); }
  // Neither space nor letter nor number.
  bool Symbol(size_t i) const { return i < end_ && !Letter(i) && !Number(i) && !Space(i); }
  bool Code(size_t i, uint32_t code) const { return i < end_ && all_.entries[i].code == code; }
  bool Digit(size_t i) const {
    return i < end_ && all_.entries[i].code >= '0' && all_.entries[i].code <= '9';
  }
  bool LineBreak(size_t i) const { return Code(i, '\r') || Code(i, '\n'); }

  // The first place from i on where `test` does not hold.
  template <class Test>
  size_t Run(size_t i, const Test& test) const {
    while (i < end_ && test(i)) ++i;
    return i;
  }

 private:
  bool Is(size_t i, CharacterClass kind) const { return i < end_ && all_.entries[i].kind == kind; }

  const Characters& all_;
  const size_t end_;
};

// 's 't 're 've 'm 'll 'd at i: the end of it, or i.
size_t Contraction(const View& v, size_t i, bool any_case) {
  if (!v.Code(i, '\'')) return i;
  const auto is = [&](size_t at, char c) {
    return v.Code(at, static_cast<uint32_t>(c)) ||
           (any_case && v.Code(at, static_cast<uint32_t>(c - 32)));
  };
  if (is(i + 1, 's') || is(i + 1, 't') || is(i + 1, 'm') || is(i + 1, 'd')) {
    return i + 2;
  }
  if ((is(i + 1, 'r') && is(i + 2, 'e')) || (is(i + 1, 'v') && is(i + 2, 'e')) ||
      (is(i + 1, 'l') && is(i + 2, 'l'))) {
    return i + 3;
  }
  return i;
}

// \s+(?!\S): spaces, but not the last one before something else. The end of it, or i.
size_t SpacesBeforeNothing(const View& v, size_t i) {
  const size_t end = v.Run(i, [&](size_t k) { return v.Space(k); });
  return end == v.end() || end == i ? end : end - 1;
}

size_t MatchGpt2(const View& v, size_t i, bool lone_spaces) {
  if (const size_t end = Contraction(v, i, false); end > i) return end;
  const size_t word = v.Code(i, ' ') ? i + 1 : i;
  if (v.Letter(word)) return v.Run(word, [&](size_t k) { return v.Letter(k); });
  if (v.Number(word)) return v.Run(word, [&](size_t k) { return v.Number(k); });
  if (v.Symbol(word)) return v.Run(word, [&](size_t k) { return v.Symbol(k); });
  if (const size_t end = SpacesBeforeNothing(v, i); end > i) return end;
  return lone_spaces ? v.Run(i, [&](size_t k) { return v.Space(k); }) : i;
}

size_t MatchLlama3(const View& v, size_t i, size_t digits) {
  if (const size_t end = Contraction(v, i, true); end > i) return end;
  const bool joins = i < v.end() && !v.LineBreak(i) && !v.Letter(i) && !v.Number(i);
  const size_t letters = joins && v.Letter(i + 1) ? i + 1 : i;
  if (v.Letter(letters)) return v.Run(letters, [&](size_t k) { return v.Letter(k); });
  if (v.Number(i)) return v.Run(i, [&](size_t k) { return v.Number(k) && k < i + digits; });
  const size_t symbols = v.Code(i, ' ') && v.Symbol(i + 1) ? i + 1 : i;
  if (v.Symbol(symbols)) {
    const size_t end = v.Run(symbols, [&](size_t k) { return v.Symbol(k); });
    return v.Run(end, [&](size_t k) { return v.LineBreak(k); });
  }
  // \s*[\r\n]+: up to the last line break of the spaces.
  const size_t spaces = v.Run(i, [&](size_t k) { return v.Space(k); });
  for (size_t end = spaces; end > i; --end) {
    if (v.LineBreak(end - 1)) return end;
  }
  if (const size_t end = SpacesBeforeNothing(v, i); end > i) return end;
  return spaces;
}

size_t MatchPunctuation(const View& v, size_t i) {
  return v.Run(i, [&](size_t k) {
    return v.Punctuation(k) ||
           std::any_of(std::begin("$+<=>^~|"), std::end("$+<=>^~|") - 1,
                       [&](char c) { return v.Code(k, static_cast<uint32_t>(c)); });
  });
}

struct Piece {
  size_t begin, end;
};

// Cuts every piece at the matches of a rule: what lies between them are pieces, too.
template <class Match>
std::vector<Piece> Cut(const Characters& all, const std::vector<Piece>& pieces,
                       const Match& match) {
  std::vector<Piece> out;
  for (const Piece& piece : pieces) {
    const View view(all, piece.end);
    size_t begin = piece.begin;
    for (size_t i = piece.begin; i < piece.end;) {
      const size_t end = match(view, i);
      if (end == i) {
        ++i;
        continue;
      }
      if (i > begin) out.push_back({begin, i});
      out.push_back({i, end});
      begin = i = end;
    }
    if (begin < piece.end) out.push_back({begin, piece.end});
  }
  return out;
}

}  // namespace

std::optional<PreRules> PreRulesOf(std::string_view name) {
  const Name* found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const Name& known) { return known.name == name; });
  return found == std::end(kNames) ? std::nullopt : std::optional(found->rules);
}

std::string PreRulesNames() {
  std::string names;
  for (const Name& known : kNames) names += (names.empty() ? "" : ", ") + std::string(known.name);
  return names;
}

std::vector<std::string_view> Pretokenize(std::string_view text, PreRules rules) {
  const Characters all(text);
  std::vector<Piece> pieces;
  if (all.size() > 0) pieces.push_back({0, all.size()});
  switch (rules) {
    case PreRules::kDefault:
      pieces = Cut(all, pieces, MatchPunctuation);
      pieces = Cut(all, pieces, [](const View& v, size_t i) { return MatchGpt2(v, i, false); });
      pieces = Cut(all, pieces, [](const View& v, size_t i) {
        return v.Run(i, [&](size_t k) { return v.Number(k); });
      });
      pieces = Cut(all, pieces, [](const View& v, size_t i) {
        return v.Digit(i) && v.Digit(i + 1) && v.Digit(i + 2) ? i + 3 : i;
      });
      break;
    case PreRules::kGpt2:
      pieces = Cut(all, pieces, [](const View& v, size_t i) { return MatchGpt2(v, i, true); });
      break;
    case PreRules::kLlama3:
      pieces = Cut(all, pieces, [](const View& v, size_t i) { return MatchLlama3(v, i, 3); });
      break;
    case PreRules::kQwen2:
      pieces = Cut(all, pieces, [](const View& v, size_t i) { return MatchLlama3(v, i, 1); });
      break;
  }
  std::vector<std::string_view> words;
  words.reserve(pieces.size());
  for (const Piece& piece : pieces) words.push_back(all.Part(piece.begin, piece.end));
  return words;
}

}  // namespace hetllm
