// libFuzzer: whatever people say, the control tokens of a prompt are those of its frames. And any
// bytes are a template or none.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/chat_template.h"
#include "engine/synth.h"

namespace hetllm {
namespace {

// A byte vocabulary with the control tokens of all families.
Tokenizer MakeTokenizer() {
  Vocabulary vocabulary = SynthVocabulary(kSmallestVocabulary);
  vocabulary.add_space_prefix = false;
  for (const char* text : {"<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>",
                           "<|eot_id|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"}) {
    vocabulary.tokens.push_back({text, 0, TokenType::kControl});
  }
  return Tokenizer(std::move(vocabulary));
}

std::vector<int32_t> ControlTokens(const Tokenizer& tokenizer, ChatFamily family,
                                   const std::vector<Turn>& turns) {
  std::vector<int32_t> control;
  for (const int32_t token : ChatPrompt(tokenizer, family, turns)) {
    const auto& entry = tokenizer.vocabulary().tokens.at(static_cast<size_t>(token));
    if (entry.type == TokenType::kControl) control.push_back(token);
  }
  return control;
}

}  // namespace
}  // namespace hetllm

// The turns are the lines of the input; who says one is in its first byte.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hetllm::ChatFamily;
  using hetllm::Turn;
  static const hetllm::Tokenizer tokenizer = hetllm::MakeTokenizer();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)hetllm::RecognizeTemplate(text);
  std::vector<Turn> turns, silent;
  for (size_t begin = 0; begin < size;) {
    const size_t end = std::min(text.find('\n', begin), size);
    const auto role = static_cast<Turn::Role>(data[begin] % 3);
    turns.push_back({role, std::string(text.substr(begin, end - begin))});
    silent.push_back({role, ""});
    begin = end + 1;
  }
  for (const ChatFamily family : {ChatFamily::kChatMl, ChatFamily::kLlama2, ChatFamily::kLlama3,
                                  ChatFamily::kMistral, ChatFamily::kZephyr, ChatFamily::kPhi3}) {
    if (hetllm::ControlTokens(tokenizer, family, turns) !=
        hetllm::ControlTokens(tokenizer, family, silent)) {
      std::abort();
    }
  }
  return 0;
}
