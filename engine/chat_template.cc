#include "engine/chat_template.h"

#include <algorithm>
#include <iterator>

namespace hetllm {
namespace {

struct Name {
  std::string_view name;
  ChatFamily family;
};
constexpr Name kNames[] = {{"chatml", ChatFamily::kChatMl}, {"llama2", ChatFamily::kLlama2},
                           {"llama3", ChatFamily::kLlama3}, {"mistral", ChatFamily::kMistral},
                           {"zephyr", ChatFamily::kZephyr}, {"phi3", ChatFamily::kPhi3}};

std::string_view RoleName(Turn::Role role) {
  return role == Turn::Role::kSystem ? "system" : role == Turn::Role::kUser ? "user" : "assistant";
}

// Text of the template is parsed for special tokens, text of people is not.
class Prompt {
 public:
  explicit Prompt(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
    const Vocabulary& vocabulary = tokenizer.vocabulary();
    if (vocabulary.add_bos && vocabulary.bos) {
      tokens_.push_back(*vocabulary.bos);
    }
  }
  Prompt& Frame(std::string_view text) {
    tokenizer_.Append(text, Tokenizer::Specials::kParse, tokens_);
    return *this;
  }
  Prompt& Said(std::string_view text) {
    tokenizer_.Append(text, Tokenizer::Specials::kAsText, tokens_);
    return *this;
  }
  Prompt& End() {
    if (tokenizer_.vocabulary().eos) {
      tokens_.push_back(*tokenizer_.vocabulary().eos);
    }
    return *this;
  }
  std::vector<int32_t> Take() { return std::move(tokens_); }

 private:
  const Tokenizer& tokenizer_;
  std::vector<int32_t> tokens_;
};

// [INST] of llama2 and mistral: the system's text goes into the first turn of the user.
void Instruct(Prompt& prompt, ChatFamily family, const std::vector<Turn>& turns) {
  std::string system;
  for (const Turn& turn : turns) {
    switch (turn.role) {
      case Turn::Role::kSystem:
        system = turn.text;
        break;
      case Turn::Role::kUser:
        prompt.Frame("[INST] ");
        if (!system.empty() && family == ChatFamily::kLlama2) {
          prompt.Frame("<<SYS>>\n").Said(system).Frame("\n<</SYS>>\n\n");
        } else if (!system.empty()) {
          prompt.Said(system + "\n\n");
        }
        system.clear();
        prompt.Said(turn.text).Frame(" [/INST]");
        break;
      case Turn::Role::kAssistant:
        prompt.Said(turn.text).End();
        break;
    }
  }
}

}  // namespace

std::optional<ChatFamily> ChatFamilyOf(std::string_view name) {
  const Name* found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const Name& known) { return known.name == name; });
  return found == std::end(kNames) ? std::nullopt : std::optional(found->family);
}

std::string_view ChatFamilyName(ChatFamily family) {
  return std::find_if(std::begin(kNames), std::end(kNames),
                      [&](const Name& known) { return known.family == family; })
      ->name;
}

std::string ChatFamilyNames() {
  std::string names;
  for (const Name& known : kNames) names += (names.empty() ? "" : ", ") + std::string(known.name);
  return names;
}

std::optional<ChatFamily> RecognizeTemplate(std::string_view jinja) {
  const auto has = [&](std::string_view text) {
    return jinja.find(text) != std::string_view::npos;
  };
  if (has("<|im_start|>")) return ChatFamily::kChatMl;
  if (has("<|start_header_id|>") && has("<|end_header_id|>")) return ChatFamily::kLlama3;
  if (has("[INST]")) return has("<<SYS>>") ? ChatFamily::kLlama2 : ChatFamily::kMistral;
  if (has("<|assistant|>") && has("<|end|>")) return ChatFamily::kPhi3;
  if (has("<|user|>")) return ChatFamily::kZephyr;
  return std::nullopt;
}

std::vector<int32_t> ChatPrompt(const Tokenizer& tokenizer, ChatFamily family,
                                const std::vector<Turn>& turns) {
  Prompt prompt(tokenizer);
  if (family == ChatFamily::kLlama2 || family == ChatFamily::kMistral) {
    Instruct(prompt, family, turns);
    return prompt.Take();
  }
  for (const Turn& turn : turns) {
    const std::string role(RoleName(turn.role));
    switch (family) {
      case ChatFamily::kChatMl:
        prompt.Frame("<|im_start|>" + role + "\n").Said(turn.text).Frame("<|im_end|>\n");
        break;
      case ChatFamily::kLlama3:
        prompt.Frame("<|start_header_id|>" + role + "<|end_header_id|>\n\n")
            .Said(turn.text)
            .Frame("<|eot_id|>");
        break;
      case ChatFamily::kPhi3:
        prompt.Frame("<|" + role + "|>\n").Said(turn.text).Frame("<|end|>\n");
        break;
      default:
        prompt.Frame("<|" + role + "|>\n").Said(turn.text).End().Frame("\n");
    }
  }
  switch (family) {
    case ChatFamily::kChatMl:
      prompt.Frame("<|im_start|>assistant\n");
      break;
    case ChatFamily::kLlama3:
      prompt.Frame("<|start_header_id|>assistant<|end_header_id|>\n\n");
      break;
    default:
      prompt.Frame("<|assistant|>\n");
  }
  return prompt.Take();
}

}  // namespace hetllm
