#include "engine/tokenizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <queue>
#include <type_traits>

#include "engine/error.h"
#include "engine/unicode.h"

namespace hetllm {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  size_t begin = 0;
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, begin)) {
    out += text.substr(begin, at - begin);
    out += to;
    begin = at + from.size();
  }
  out += text.substr(begin);
  return out;
}

// The value of a byte token's text "<0xAB>", or -1.
int ByteOf(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') {
    return -1;
  }
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) {
      return -1;
    }
    value = value * 16 + digit;
  }
  return value;
}

// Joins neighbouring symbols of `text`, always the best pair that `Rate` gives a rank (the smallest
// first, the leftmost of equals), until none is left; the symbols are then given to `put`.
// `Rate(left, right)`: nothing for a pair that cannot be joined.
template <class Rate, class Put>
void Merge(std::string_view text, const Rate& rate, const Put& put) {
  struct Symbol {
    std::string_view text;  // empty: merged away
    int before, after;
  };
  using Rank = typename std::invoke_result_t<Rate, std::string_view, std::string_view>::value_type;
  struct Pair {
    Rank rank;
    int left, right;
    size_t bytes;  // of the joined text: a pair whose symbols changed since is stale
    bool operator<(const Pair& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::vector<Symbol> symbols;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t size = FirstCharacter(rest).bytes;
    const int index = static_cast<int>(symbols.size());
    symbols.push_back({rest.substr(0, size), index - 1, index + 1});
    rest.remove_prefix(size);
  }
  symbols.back().after = -1;
  std::priority_queue<Pair> pairs;
  const auto offer = [&](int left, int right) {
    if (left < 0 || right < 0) {
      return;
    }
    const std::string_view a = symbols[static_cast<size_t>(left)].text;
    const std::string_view b = symbols[static_cast<size_t>(right)].text;
    if (const auto rank = rate(a, b)) {
      pairs.push({*rank, left, right, a.size() + b.size()});
    }
  };
  for (size_t i = 1; i < symbols.size(); ++i) {
    offer(static_cast<int>(i - 1), static_cast<int>(i));
  }
  while (!pairs.empty()) {
    const Pair pair = pairs.top();
    pairs.pop();
    Symbol& left = symbols[static_cast<size_t>(pair.left)];
    Symbol& right = symbols[static_cast<size_t>(pair.right)];
    if (left.text.empty() || right.text.empty() ||
        left.text.size() + right.text.size() != pair.bytes) {
      continue;
    }
    left.text = {left.text.data(), pair.bytes};
    right.text = {};
    left.after = right.after;
    if (right.after >= 0) {
      symbols[static_cast<size_t>(right.after)].before = pair.left;
    }
    offer(left.before, pair.left);
    offer(pair.left, left.after);
  }
  for (int i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].after) {
    put(symbols[static_cast<size_t>(i)].text);
  }
}

// How byte-level vocabularies write bytes: printable Latin-1 as itself, the others as characters
// from U+0100 on, in order.
struct ByteAlphabet {
  std::array<std::string, 256> written;
  std::unordered_map<uint32_t, char> bytes;  // of a character

  ByteAlphabet() {
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      const uint32_t code = printable ? byte : next++;
      written[byte] = Utf8Of(code);
      bytes[code] = static_cast<char>(byte);
    }
  }
};

const ByteAlphabet& Alphabet() {
  static const ByteAlphabet& alphabet = *new ByteAlphabet();
  return alphabet;
}

// Names of tokens that end a turn or a text in the common model families.
constexpr std::string_view kEnds[] = {
    "</s>",          "<|eot_id|>", "<|eom_id|>",    "<|end_of_text|>", "<|im_end|>",
    "<|endoftext|>", "<|end|>",    "<end_of_turn>", "<|eot|>"};

std::optional<int32_t> TokenId(const Gguf& file, std::string_view key, size_t count) {
  const auto id = file.GetUint(key);
  if (id && *id >= count) {
    throw Error(
        Cat("'", file.name(), "': ", key, " is ", *id, "; the vocabulary has ", count, " tokens"));
  }
  return id ? std::optional<int32_t>(static_cast<int32_t>(*id)) : std::nullopt;
}

}  // namespace

Tokenizer::Tokenizer(Vocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)), byte_tokens_(256, -1) {
  const auto& tokens = vocabulary_.tokens;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (tokens[i].type == TokenType::kByte) {
      const int byte = ByteOf(tokens[i].text);
      if (byte < 0) {
        throw Error(Cat("the vocabulary's token ", i, " ('", Printable(tokens[i].text),
                        "') is a byte token; '<0x00>' to '<0xFF>' are possible"));
      }
      byte_tokens_[static_cast<size_t>(byte)] = id;
    } else if (tokens[i].type == TokenType::kNormal || tokens[i].type == TokenType::kUserDefined) {
      mergeable_.emplace(tokens[i].text, id);  // the first of equals
      if (tokens[i].type == TokenType::kUserDefined && !tokens[i].text.empty()) {
        user_defined_.push_back(id);
      }
    }
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    all_.emplace(tokens[i].text, id);
    const bool special =
        tokens[i].type == TokenType::kControl || tokens[i].type == TokenType::kUserDefined;
    if (special && !tokens[i].text.empty()) {
      special_.push_back(id);
    }
    ends_.push_back(
        id == vocabulary_.eos || id == vocabulary_.eot ||
        (tokens[i].type != TokenType::kNormal &&
         std::find(std::begin(kEnds), std::end(kEnds), tokens[i].text) != std::end(kEnds)));
  }
  for (std::vector<int32_t>* list : {&user_defined_, &special_}) {
    std::stable_sort(list->begin(), list->end(), [&](int32_t a, int32_t b) {
      return tokens[static_cast<size_t>(a)].text.size() >
             tokens[static_cast<size_t>(b)].text.size();
    });
  }
  for (size_t i = 0; i < vocabulary_.merges.size(); ++i) {
    ranks_.emplace(vocabulary_.merges[i], static_cast<int32_t>(i));  // the first of equals
  }
  if (vocabulary_.kind == TokenizerKind::kByteLevel) {
    CheckByteLevel();
  }
}

// Every byte must have a token, or there is text that cannot be said.
void Tokenizer::CheckByteLevel() {
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const auto found = mergeable_.find(Alphabet().written[byte]);
    byte_tokens_[byte] = found == mergeable_.end() ? -1 : found->second;
  }
  for (const std::string& merge : vocabulary_.merges) {
    const size_t space = merge.find(' ');
    if (space == 0 || space == std::string::npos || space + 1 == merge.size()) {
      throw Error(Cat("the vocabulary's merge '", Printable(merge),
                      "' is not two texts with a space between"));
    }
  }
}

std::optional<Tokenizer> Tokenizer::FromGguf(const Gguf& file) {
  const auto model = file.GetString("tokenizer.ggml.model");
  const auto texts = file.GetStrings("tokenizer.ggml.tokens");
  if (!model && !texts) {
    return std::nullopt;
  }
  if (model != "llama" && model != "gpt2") {
    throw Error(Cat("'", file.name(), "' has a tokenizer of kind '", Printable(model.value_or("")),
                    "'; this version knows: llama (SentencePiece), gpt2 (byte-level BPE)"));
  }
  if (!texts || texts->empty()) {
    throw Error(Cat("'", file.name(), "' names a tokenizer but has no tokens"));
  }
  const auto scores = file.GetFloats("tokenizer.ggml.scores");
  const auto types = file.GetInts("tokenizer.ggml.token_type");
  if ((scores && scores->size() != texts->size()) || (types && types->size() != texts->size())) {
    throw Error(Cat("'", file.name(), "' has ", texts->size(), " tokens but ",
                    scores ? scores->size() : 0, " scores and ", types ? types->size() : 0,
                    " token types"));
  }
  Vocabulary vocabulary;
  if (model == "gpt2") {
    vocabulary.kind = TokenizerKind::kByteLevel;
    vocabulary.add_bos = vocabulary.add_space_prefix = false;
    const auto name = file.GetString("tokenizer.ggml.pre").value_or("default");
    const auto pre = PreRulesOf(name);
    if (!pre) {
      throw Error(Cat("'", file.name(), "' cuts text by the rules '", Printable(name),
                      "' (tokenizer.ggml.pre); this version knows: ", PreRulesNames()));
    }
    vocabulary.pre = *pre;
    if (*pre == PreRules::kLlama3) {
      vocabulary.add_bos = vocabulary.whole_words = true;
    }
    const auto merges = file.GetStrings("tokenizer.ggml.merges");
    if (!merges) {
      throw Error(Cat("'", file.name(), "' has a gpt2 tokenizer but no tokenizer.ggml.merges"));
    }
    vocabulary.merges.assign(merges->begin(), merges->end());
  }
  vocabulary.tokens.resize(texts->size());
  for (size_t i = 0; i < texts->size(); ++i) {
    auto& token = vocabulary.tokens[i];
    token.text = (*texts)[i];
    token.score = scores && !std::isnan((*scores)[i]) ? (*scores)[i] : 0.0f;
    if (types && (*types)[i] >= 1 && (*types)[i] <= 6) {
      token.type = static_cast<TokenType>((*types)[i]);
    }
  }
  vocabulary.bos = TokenId(file, "tokenizer.ggml.bos_token_id", texts->size());
  vocabulary.eos = TokenId(file, "tokenizer.ggml.eos_token_id", texts->size());
  vocabulary.eot = TokenId(file, "tokenizer.ggml.eot_token_id", texts->size());
  vocabulary.unknown = TokenId(file, "tokenizer.ggml.unknown_token_id", texts->size());
  vocabulary.add_bos = file.GetBool("tokenizer.ggml.add_bos_token").value_or(vocabulary.add_bos);
  vocabulary.add_eos = file.GetBool("tokenizer.ggml.add_eos_token").value_or(false);
  vocabulary.add_space_prefix =
      file.GetBool("tokenizer.ggml.add_space_prefix").value_or(vocabulary.add_space_prefix);
  return Tokenizer(std::move(vocabulary));
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text, Specials specials) const {
  std::vector<int32_t> out;
  if (vocabulary_.add_bos && vocabulary_.bos) {
    out.push_back(*vocabulary_.bos);
  }
  Append(text, specials, out);
  if (vocabulary_.add_eos && vocabulary_.eos) {
    out.push_back(*vocabulary_.eos);
  }
  return out;
}

void Tokenizer::Append(std::string_view text, Specials specials, std::vector<int32_t>& out) const {
  // Cut at special tokens; every plain fragment is a text of its own, with its own space prefix.
  const std::vector<int32_t>& list = specials == Specials::kParse ? special_ : user_defined_;
  size_t begin = 0;
  for (size_t at = 0; at < text.size() && !list.empty();) {
    const auto match = std::find_if(list.begin(), list.end(), [&](int32_t id) {
      return text.substr(at).starts_with(vocabulary_.tokens[static_cast<size_t>(id)].text);
    });
    if (match == list.end()) {
      ++at;
      continue;
    }
    EncodeFragment(text.substr(begin, at - begin), out);
    out.push_back(*match);
    at += vocabulary_.tokens[static_cast<size_t>(*match)].text.size();
    begin = at;
  }
  EncodeFragment(text.substr(begin), out);
}

std::optional<int32_t> Tokenizer::Find(std::string_view text) const {
  const auto found = all_.find(text);
  return found == all_.end() ? std::nullopt : std::optional(found->second);
}

void Tokenizer::EncodeFragment(std::string_view text, std::vector<int32_t>& out) const {
  if (text.empty()) {
    return;
  }
  if (vocabulary_.kind == TokenizerKind::kSentencePiece) {
    return EncodeSentencePiece(text, out);
  }
  for (const std::string_view word : Pretokenize(text, vocabulary_.pre)) {
    EncodeWord(word, out);
  }
}

void Tokenizer::EncodeSentencePiece(std::string_view text, std::vector<int32_t>& out) const {
  std::string escaped = ReplaceAll(text, " ", kSpace);
  if (vocabulary_.add_space_prefix) {
    escaped.insert(0, kSpace);
  }
  // The better the score, the earlier.
  const auto rate = [&](std::string_view a, std::string_view b) -> std::optional<float> {
    const auto found = mergeable_.find({a.data(), a.size() + b.size()});
    return found == mergeable_.end()
               ? std::nullopt
               : std::optional(-vocabulary_.tokens[static_cast<size_t>(found->second)].score);
  };
  Merge(escaped, rate, [&](std::string_view symbol) { AppendSymbol(symbol, out); });
}

void Tokenizer::EncodeWord(std::string_view word, std::vector<int32_t>& out) const {
  std::string written;
  for (const char c : word) {
    written += Alphabet().written[static_cast<unsigned char>(c)];
  }
  if (vocabulary_.whole_words) {
    if (const auto found = mergeable_.find(written); found != mergeable_.end()) {
      out.push_back(found->second);
      return;
    }
  }
  std::string key;
  const auto rate = [&](std::string_view a, std::string_view b) -> std::optional<int32_t> {
    key.assign(a);
    key += ' ';
    key += b;
    const auto found = ranks_.find(key);
    return found == ranks_.end() ? std::nullopt : std::optional(found->second);
  };
  Merge(written, rate, [&](std::string_view symbol) { AppendBytes(symbol, out); });
}

// A symbol that is no token becomes its bytes.
void Tokenizer::AppendBytes(std::string_view written, std::vector<int32_t>& out) const {
  if (const auto found = mergeable_.find(written); found != mergeable_.end()) {
    out.push_back(found->second);
    return;
  }
  while (!written.empty()) {
    const Character character = FirstCharacter(written);
    const auto byte = static_cast<unsigned char>(Alphabet().bytes.at(character.code));
    if (byte_tokens_[byte] >= 0) {
      out.push_back(byte_tokens_[byte]);
    } else if (vocabulary_.unknown) {
      out.push_back(*vocabulary_.unknown);
    } else {
      throw Error(
          Cat("the vocabulary has no token for the byte ", int{byte}, ", and no unknown token"));
    }
    written.remove_prefix(character.bytes);
  }
}

void Tokenizer::AppendSymbol(std::string_view symbol, std::vector<int32_t>& out) const {
  if (const auto found = mergeable_.find(symbol); found != mergeable_.end()) {
    out.push_back(found->second);
    return;
  }
  const bool has_bytes = std::all_of(symbol.begin(), symbol.end(), [&](char c) {
    return byte_tokens_[static_cast<unsigned char>(c)] >= 0;
  });
  if (has_bytes) {
    for (const char c : symbol) {
      out.push_back(byte_tokens_[static_cast<unsigned char>(c)]);
    }
  } else if (vocabulary_.unknown) {
    out.push_back(*vocabulary_.unknown);
  } else {
    throw Error(Cat("the vocabulary has no token for '", Printable(symbol),
                    "': neither a piece, nor its bytes, nor an unknown token"));
  }
}

std::string Tokenizer::Piece(int32_t token) const {
  if (token < 0 || static_cast<size_t>(token) >= vocabulary_.tokens.size()) {
    return {};
  }
  const auto& entry = vocabulary_.tokens[static_cast<size_t>(token)];
  switch (entry.type) {
    case TokenType::kByte:
      return std::string(1, static_cast<char>(ByteOf(entry.text)));
    case TokenType::kControl:
    case TokenType::kUnused:
      return {};
    case TokenType::kUnknown:
      return "\xE2\x96\x85";  // U+2585, a block where the character was
    case TokenType::kUserDefined:
      return entry.text;
    case TokenType::kNormal:
      break;
  }
  if (vocabulary_.kind == TokenizerKind::kByteLevel) {
    std::string bytes;
    for (std::string_view rest = entry.text; !rest.empty();) {
      const Character character = FirstCharacter(rest);
      const auto found = Alphabet().bytes.find(character.code);
      if (found != Alphabet().bytes.end()) {
        bytes += found->second;
      } else {  // of no byte: as it stands
        bytes += rest.substr(0, character.bytes);
      }
      rest.remove_prefix(character.bytes);
    }
    return bytes;
  }
  return ReplaceAll(entry.text, kSpace, " ");
}

std::string Tokenizer::Decode(const std::vector<int32_t>& tokens) const {
  std::string text;
  for (const int32_t token : tokens) {
    text += Piece(token);
  }
  if (vocabulary_.add_space_prefix && text.starts_with(' ')) {
    text.erase(0, 1);
  }
  return text;
}

bool Tokenizer::EndsText(int32_t token) const {
  return token >= 0 && static_cast<size_t>(token) < ends_.size() &&
         ends_[static_cast<size_t>(token)];
}

}  // namespace hetllm
