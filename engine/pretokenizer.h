// Pretokenizer: cuts text into the words that byte-pair merging stays inside, by the rules that
// `tokenizer.ggml.pre` names.
//
// The rules are regular expressions in the models' own tokenizers; here they are matched by hand
// over Unicode classes. Pure functions, thread-safe.
#ifndef HET_ENGINE_PRETOKENIZER_H_
#define HET_ENGINE_PRETOKENIZER_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hetllm {

enum class PreRules {
  // [\p{P}$+<=>^~|]+ , then of the rest gpt2, then digits apart from the rest, three at a time.
  kDefault,
  // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kGpt2,
  // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
  // \s*[\r\n]+|\s+(?!\S)|\s+
  kLlama3,
  // The same with single digits: \p{N}
  kQwen2,
};

// "default", "gpt-2", "llama-bpe", "qwen2" and names that mean the same; nothing for others.
std::optional<PreRules> PreRulesOf(std::string_view name);
// The names, for messages.
std::string PreRulesNames();

// The words in order; together they are the text, whatever bytes it has.
std::vector<std::string_view> Pretokenize(std::string_view text, PreRules rules);

}  // namespace hetllm

#endif  // HET_ENGINE_PRETOKENIZER_H_
