// Tokenizer: text to tokens and back, for vocabularies of SentencePiece BPE (`tokenizer.ggml.model`
// = `llama`) and of byte-level BPE (`gpt2`).
//
// SentencePiece: spaces become U+2581; from single characters the neighbouring pair whose joined
// text has the best score (the leftmost of equals) is merged until none is in the vocabulary; a
// character that is no piece becomes its bytes. Byte-level: text is cut into words
// (pretokenizer.h), bytes are written as printable characters, and inside a word the pair of the
// earliest merge rule is joined.
//
// Prompts are plain text: a control token's name inside a prompt ("<s>") is not taken as that token
// unless Specials::kParse asks for it. User-defined tokens match before everything else.
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
#include "engine/pretokenizer.h"

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

enum class TokenizerKind { kSentencePiece, kByteLevel };

struct Vocabulary {
  TokenizerKind kind = TokenizerKind::kSentencePiece;
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
  // Of byte-level vocabularies: "left right", the earliest first; and how text is cut.
  std::vector<std::string> merges;
  PreRules pre = PreRules::kDefault;
  bool whole_words = false;  // a word that is a token needs no merges
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

  enum class Specials { kAsText, kParse };
  // With BOS and EOS as the vocabulary says. Any bytes are text.
  std::vector<int32_t> Encode(std::string_view text, Specials specials = Specials::kAsText) const;
  // The same without BOS and EOS, behind what is in `out`.
  void Append(std::string_view text, Specials specials, std::vector<int32_t>& out) const;
  // The token with exactly this text.
  std::optional<int32_t> Find(std::string_view text) const;
  // The bytes of one token; a control token has none. A character may be spread over several byte
  // tokens.
  std::string Piece(int32_t token) const;
  // The text of a whole sequence: the space that Encode put in front is taken away.
  std::string Decode(const std::vector<int32_t>& tokens) const;
  // True for the tokens that end a text.
  bool EndsText(int32_t token) const;

 private:
  void EncodeFragment(std::string_view text, std::vector<int32_t>& out) const;
  void EncodeSentencePiece(std::string_view text, std::vector<int32_t>& out) const;
  void EncodeWord(std::string_view word, std::vector<int32_t>& out) const;
  void AppendSymbol(std::string_view symbol, std::vector<int32_t>& out) const;
  void AppendBytes(std::string_view written, std::vector<int32_t>& out) const;
  void CheckByteLevel();

  Vocabulary vocabulary_;
  std::unordered_map<std::string_view, int32_t> mergeable_;  // normal (and user-defined) pieces
  std::vector<int32_t> user_defined_;                        // longest first
  std::vector<int32_t> special_;                         // with the control tokens, longest first
  std::vector<bool> ends_;                               // per token
  std::unordered_map<std::string_view, int32_t> all_;    // every token's text
  std::unordered_map<std::string_view, int32_t> ranks_;  // of merges
  std::vector<int32_t> byte_tokens_;                     // [256], -1: none
};

}  // namespace hetllm

#endif  // HET_ENGINE_TOKENIZER_H_
