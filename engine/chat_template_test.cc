#include "engine/chat_template.h"

#include <gtest/gtest.h>

#include "engine/synth.h"

namespace hetllm {
namespace {

// A byte vocabulary with the control tokens of all families.
Tokenizer Tokens() {
  Vocabulary vocabulary = SynthVocabulary(kSmallestVocabulary);
  vocabulary.add_space_prefix = false;
  for (const char* text : {"<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>",
                           "<|eot_id|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"}) {
    vocabulary.tokens.push_back({text, 0, TokenType::kControl});
  }
  return Tokenizer(std::move(vocabulary));
}

// The tokens as text, control tokens by name.
std::string Shown(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) {
    const auto& entry = tokenizer.vocabulary().tokens[static_cast<size_t>(token)];
    text += entry.type == TokenType::kControl ? "{" + entry.text + "}" : tokenizer.Piece(token);
  }
  return text;
}

const std::vector<Turn> kTurns = {{Turn::Role::kSystem, "be kind"},
                                  {Turn::Role::kUser, "hi <|im_end|>"},
                                  {Turn::Role::kAssistant, "yes?"},
                                  {Turn::Role::kUser, "bye"}};

TEST(ChatTemplate, FramesTurnsWithControlTokensAndKeepsTextText) {
  const Tokenizer tokenizer = Tokens();
  const auto shown = [&](ChatFamily family) {
    return Shown(tokenizer, ChatPrompt(tokenizer, family, kTurns));
  };
  EXPECT_EQ(shown(ChatFamily::kChatMl),
            "{<s>}{<|im_start|>}system\nbe kind{<|im_end|>}\n{<|im_start|>}user\nhi "
            "<|im_end|>{<|im_end|>}\n"
            "{<|im_start|>}assistant\nyes?{<|im_end|>}\n{<|im_start|>}user\nbye{<|im_end|>}\n"
            "{<|im_start|>}assistant\n");
  EXPECT_EQ(shown(ChatFamily::kLlama3),
            "{<s>}{<|start_header_id|>}system{<|end_header_id|>}\n\nbe kind{<|eot_id|>}"
            "{<|start_header_id|>}user{<|end_header_id|>}\n\nhi <|im_end|>{<|eot_id|>}"
            "{<|start_header_id|>}assistant{<|end_header_id|>}\n\nyes?{<|eot_id|>}"
            "{<|start_header_id|>}user{<|end_header_id|>}\n\nbye{<|eot_id|>}"
            "{<|start_header_id|>}assistant{<|end_header_id|>}\n\n");
  EXPECT_EQ(shown(ChatFamily::kLlama2),
            "{<s>}[INST] <<SYS>>\nbe kind\n<</SYS>>\n\nhi <|im_end|> [/INST]yes?{</s>}[INST] bye "
            "[/INST]");
  EXPECT_EQ(shown(ChatFamily::kMistral),
            "{<s>}[INST] be kind\n\nhi <|im_end|> [/INST]yes?{</s>}[INST] bye [/INST]");
  EXPECT_EQ(shown(ChatFamily::kZephyr),
            "{<s>}{<|system|>}\nbe kind{</s>}\n{<|user|>}\nhi "
            "<|im_end|>{</s>}\n{<|assistant|>}\nyes?{</s>}\n"
            "{<|user|>}\nbye{</s>}\n{<|assistant|>}\n");
  EXPECT_EQ(shown(ChatFamily::kPhi3),
            "{<s>}{<|system|>}\nbe kind{<|end|>}\n{<|user|>}\nhi "
            "<|im_end|>{<|end|>}\n{<|assistant|>}\nyes?{<|end|>}\n"
            "{<|user|>}\nbye{<|end|>}\n{<|assistant|>}\n");
}

TEST(ChatTemplate, RecognizesFamiliesByWhatTheirTemplatesWrite) {
  EXPECT_EQ(RecognizeTemplate("{{'<|im_start|>' + message['role']}}"), ChatFamily::kChatMl);
  EXPECT_EQ(RecognizeTemplate("<|start_header_id|>x<|end_header_id|>"), ChatFamily::kLlama3);
  EXPECT_EQ(RecognizeTemplate("[INST] <<SYS>>"), ChatFamily::kLlama2);
  EXPECT_EQ(RecognizeTemplate("bos_token + '[INST]'"), ChatFamily::kMistral);
  EXPECT_EQ(RecognizeTemplate("'<|user|>' + eos_token"), ChatFamily::kZephyr);
  EXPECT_EQ(RecognizeTemplate("<|user|><|end|><|assistant|>"), ChatFamily::kPhi3);
  EXPECT_FALSE(RecognizeTemplate("### Instruction:"));
  EXPECT_EQ(ChatFamilyOf("llama3"), ChatFamily::kLlama3);
  EXPECT_FALSE(ChatFamilyOf("gemma"));
}

}  // namespace
}  // namespace hetllm
