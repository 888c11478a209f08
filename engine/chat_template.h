// ChatTemplate: how the turns of a conversation become one prompt, for the common model families.
//
// A file carries its template as a Jinja program; this recognises which family it is of (by what it
// writes) instead of running it. Text of a turn is always plain text: names of control tokens in it
// are not taken as tokens. Pure; thread-safe.
#ifndef HET_ENGINE_CHAT_TEMPLATE_H_
#define HET_ENGINE_CHAT_TEMPLATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tokenizer.h"

namespace hetllm {

enum class ChatFamily { kChatMl, kLlama2, kLlama3, kMistral, kZephyr, kPhi3 };

struct Turn {
  enum class Role { kSystem, kUser, kAssistant };
  Role role;
  std::string text;
};

// "chatml", "llama2", "llama3", "mistral", "zephyr", "phi3"; nothing for others.
std::optional<ChatFamily> ChatFamilyOf(std::string_view name);
std::string_view ChatFamilyName(ChatFamily family);
std::string ChatFamilyNames();
// The family of a file's template; nothing when it is of none of them.
std::optional<ChatFamily> RecognizeTemplate(std::string_view jinja);

// The prompt that asks for the assistant's next turn: a conversation, the last turn of the user.
// With BOS as the vocabulary says.
std::vector<int32_t> ChatPrompt(const Tokenizer& tokenizer, ChatFamily family,
                                const std::vector<Turn>& turns);

}  // namespace hetllm

#endif  // HET_ENGINE_CHAT_TEMPLATE_H_
