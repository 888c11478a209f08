#include "engine/tokenizer.h"

#include <algorithm>
#include <cmath>
#include <queue>

#include "engine/error.h"

namespace hetllm {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

// Bytes of the UTF-8 character at the front; a byte that begins none stands alone.
size_t CharacterBytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t size = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  return std::min(size, text.size());
}

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

struct Symbol {
  std::string_view text;  // empty: merged away
  int before;
  int after;
};

struct Pair {
  float score;
  int left;
  int right;
  size_t bytes;  // of the joined text: a pair whose symbols changed since is stale
  bool operator<(const Pair& other) const {
    return score != other.score ? score < other.score : left > other.left;
  }
};

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
  std::stable_sort(user_defined_.begin(), user_defined_.end(), [&](int32_t a, int32_t b) {
    return tokens[static_cast<size_t>(a)].text.size() > tokens[static_cast<size_t>(b)].text.size();
  });
}

std::optional<Tokenizer> Tokenizer::FromGguf(const Gguf& file) {
  const auto model = file.GetString("tokenizer.ggml.model");
  const auto texts = file.GetStrings("tokenizer.ggml.tokens");
  if (!model && !texts) {
    return std::nullopt;
  }
  if (model != "llama") {
    throw Error(Cat("'", file.name(), "' has a tokenizer of kind '", Printable(model.value_or("")),
                    "'; this version knows: llama (SentencePiece)"));
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
  vocabulary.add_bos = file.GetBool("tokenizer.ggml.add_bos_token").value_or(true);
  vocabulary.add_eos = file.GetBool("tokenizer.ggml.add_eos_token").value_or(false);
  vocabulary.add_space_prefix = file.GetBool("tokenizer.ggml.add_space_prefix").value_or(true);
  return Tokenizer(std::move(vocabulary));
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text) const {
  std::vector<int32_t> out;
  if (vocabulary_.add_bos && vocabulary_.bos) {
    out.push_back(*vocabulary_.bos);
  }
  // Cut at user-defined tokens; every plain fragment is a text of its own, with its own space
  // prefix.
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const auto match = std::find_if(user_defined_.begin(), user_defined_.end(), [&](int32_t id) {
      return text.substr(at).starts_with(vocabulary_.tokens[static_cast<size_t>(id)].text);
    });
    if (match == user_defined_.end()) {
      ++at;
      continue;
    }
    EncodeFragment(text.substr(begin, at - begin), out);
    out.push_back(*match);
    at += vocabulary_.tokens[static_cast<size_t>(*match)].text.size();
    begin = at;
  }
  EncodeFragment(text.substr(begin), out);
  if (vocabulary_.add_eos && vocabulary_.eos) {
    out.push_back(*vocabulary_.eos);
  }
  return out;
}

void Tokenizer::EncodeFragment(std::string_view text, std::vector<int32_t>& out) const {
  if (text.empty()) {
    return;
  }
  std::string escaped = ReplaceAll(text, " ", kSpace);
  if (vocabulary_.add_space_prefix) {
    escaped.insert(0, kSpace);
  }
  std::vector<Symbol> symbols;
  for (std::string_view rest = escaped; !rest.empty();) {
    const size_t size = CharacterBytes(rest);
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
    const auto found = mergeable_.find({a.data(), a.size() + b.size()});
    if (found != mergeable_.end()) {
      const float score = vocabulary_.tokens[static_cast<size_t>(found->second)].score;
      pairs.push({score, left, right, a.size() + b.size()});
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
    AppendSymbol(symbols[static_cast<size_t>(i)].text, out);
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
  return token == vocabulary_.eos || token == vocabulary_.eot;
}

}  // namespace hetllm
