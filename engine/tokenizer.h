// Tokenizer: text to tokens and back for vocabularies of SentencePiece BPE (`tokenizer.ggml.model`
// = `llama`).
//
// Encoding replaces spaces by U+2581, starts from single characters and merges the neighbouring
// pair whose joined text has the best score (the leftmost of equals) until none is in the
// vocabulary; a character that is no piece becomes its bytes. Prompts are plain text: a control
// token's name inside a prompt ("<s>") is not taken as that token. User-defined tokens match before
// everything else.
//
// Owns its vocabulary; immutable, thread-safe. A vocabulary that cannot work is thrown as Error by
// the constructor.
#ifndef HET_ENGINE_TOKENIZER_H_
#define HET_ENGINE_TOKENIZER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/gguf.h"

namespace hetllm {

// tokenizer.ggml.token_type
enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct Vocabulary {
  struct Token {
    std::string text;
    float score = 0;
    TokenType type = TokenType::kNormal;
  };
  std::vector<Token> tokens;
  std::optional<int32_t> bos, eos, eot, unknown;
  bool add_bos = true;
  bool add_eos = false;
  bool add_space_prefix = true;
};

class Tokenizer {
 public:
  explicit Tokenizer(Vocabulary vocabulary);
  Tokenizer(Tokenizer&&) = default;  // no copies: the tables point into the vocabulary
  Tokenizer& operator=(Tokenizer&&) = default;
  // From the file's metadata. Nothing when the file carries no tokenizer; Error when it carries one
  // that is not known (named, with those that are) or not usable.
  static std::optional<Tokenizer> FromGguf(const Gguf& file);

  size_t size() const { return vocabulary_.tokens.size(); }
  const Vocabulary& vocabulary() const { return vocabulary_; }

  // With BOS and EOS as the vocabulary says. Any bytes are text.
  std::vector<int32_t> Encode(std::string_view text) const;
  // The bytes of one token; a control token has none. A character may be spread over several byte
  // tokens.
  std::string Piece(int32_t token) const;
  // The text of a whole sequence: the space that Encode put in front is taken away.
  std::string Decode(const std::vector<int32_t>& tokens) const;
  // True for the tokens that end a text.
  bool EndsText(int32_t token) const;

 private:
  void EncodeFragment(std::string_view text, std::vector<int32_t>& out) const;
  void AppendSymbol(std::string_view symbol, std::vector<int32_t>& out) const;

  Vocabulary vocabulary_;
  std::unordered_map<std::string_view, int32_t> mergeable_;  // normal (and user-defined) pieces
  std::vector<int32_t> user_defined_;                        // longest first
  std::vector<int32_t> byte_tokens_;                         // [256], -1: none
};

}  // namespace hetllm

#endif  // HET_ENGINE_TOKENIZER_H_
