#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/commands.h"
#include "engine/error.h"
#include "engine/mapped_file.h"
#include "engine/model.h"
#include "engine/report.h"
#include "engine/text_file.h"

namespace hetllm {
namespace {

// The file's vocabulary, without its weights being looked at.
struct Words {
  explicit Words(const std::string& path)
      : file(path), gguf(Gguf::Parse(file.bytes(), path)), tokenizer(Tokenizer::FromGguf(gguf)) {
    if (!tokenizer) {
      throw Error(Cat("'", path, "' has no tokenizer"));
    }
  }
  MappedFile file;
  Gguf gguf;
  std::optional<Tokenizer> tokenizer;
};

struct Options {
  std::string model;
  std::string text;
  std::string file;
  std::vector<int64_t> tokens;
  bool special = false;
  bool no_bos = false;
  std::string output = "text";
};

void Tokenize(const Options& options) {
  const Words words(options.model);
  const std::string text = options.file.empty() ? options.text : ReadTextFile(options.file);
  const auto specials =
      options.special ? Tokenizer::Specials::kParse : Tokenizer::Specials::kAsText;
  std::vector<int32_t> tokens;
  if (options.no_bos) {
    words.tokenizer->Append(text, specials, tokens);
  } else {
    tokens = words.tokenizer->Encode(text, specials);
  }
  if (options.output == "json") {
    auto pieces = nlohmann::json::array();
    for (const int32_t token : tokens) {
      pieces.push_back(words.tokenizer->vocabulary().tokens[static_cast<size_t>(token)].text);
    }
    std::printf("%s\n",
                Dump({{"apiVersion", "het/v1"}, {"tokens", tokens}, {"pieces", pieces}}).c_str());
    return;
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::printf("%s%d", i == 0 ? "" : ",", tokens[i]);
  }
  std::printf("\n");
}

void Detokenize(const Options& options) {
  const Words words(options.model);
  std::vector<int32_t> tokens;
  for (const int64_t token : options.tokens) {
    if (token < 0 || static_cast<uint64_t>(token) >= words.tokenizer->size()) {
      throw Error(Cat("--tokens: ", token, " is no token of this model; 0 to ",
                      words.tokenizer->size() - 1, " are"),
                  Exit::kUsage);
    }
    tokens.push_back(static_cast<int32_t>(token));
  }
  const std::string text = words.tokenizer->Decode(tokens);
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace

void AddTokenize(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("tokenize", "Print the tokens of a text, separated by commas");
  command->add_option("-m,--model", options->model, "GGUF file")->required();
  auto* text = command->add_option("-p,--prompt", options->text, "the text");
  auto* file =
      command->add_option("-f,--file", options->file, "a file with the text; - is standard input");
  text->excludes(file);
  command->add_flag("--special", options->special, "names of control tokens are those tokens");
  command->add_flag("--no-bos", options->no_bos,
                    "without the tokens that the model puts around a text");
  command->add_option("-o,--output", options->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  command->callback([options, text, file, &run] {
    if (text->count() + file->count() == 0) {
      throw CLI::RequiredError("-p or -f");
    }
    run = [options] { Tokenize(*options); };
  });
}

void AddDetokenize(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("detokenize", "Print the text of tokens, byte for byte");
  command->add_option("-m,--model", options->model, "GGUF file")->required();
  command->add_option("--tokens", options->tokens, "ids, separated by commas")
      ->required()
      ->delimiter(',');
  command->callback([options, &run] { run = [options] { Detokenize(*options); }; });
}

}  // namespace hetllm
