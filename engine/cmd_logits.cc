#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "engine/commands.h"
#include "engine/error.h"
#include "engine/setup.h"

namespace hetllm {
namespace {

struct Options {
  RunOptions run;
  std::vector<int64_t> tokens;
  std::string output;
};

class Output {
 public:
  explicit Output(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wb")) {
    if (file_ == nullptr) {
      Fail();
    }
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() {
    if (file_ != nullptr) {
      std::fclose(file_);
    }
  }
  void Write(const std::vector<float>& values) {
    if (std::fwrite(values.data(), sizeof(float), values.size(), file_) != values.size()) {
      Fail();
    }
  }
  void Close() {
    if (std::fclose(std::exchange(file_, nullptr)) != 0) {
      Fail();
    }
  }

 private:
  [[noreturn]] void Fail() {
    throw Error(Cat("cannot write '", path_, "': ", std::strerror(errno)));
  }

  const std::string path_;
  FILE* file_;
};

void Logits(const Options& options) {
  const Model model(options.run.model);
  const uint32_t vocab = model.shape().vocab;
  for (const int64_t token : options.tokens) {
    if (token < 0 || token >= vocab) {
      throw Error(Cat("--tokens: ", token, " is no token of this model; 0 to ", vocab - 1, " are"),
                  Exit::kUsage);
    }
  }
  RunShape shape;
  shape.prompt_tokens = options.tokens.size();
  shape.longest_prompt = static_cast<uint32_t>(options.tokens.size());
  shape.max_new = 0;
  shape.greedy = false;
  shape.all_logits = true;
  const het::api::Session session = OpenSession(options.run);
  const auto engine = MakeEngine(session, model, options.run, shape);
  const size_t rows = engine->options().workload.prefill.rows;
  Output output(options.output);
  for (size_t begin = 0; begin < options.tokens.size(); begin += rows) {
    Microbatch batch;
    for (size_t at = begin; at < std::min(begin + rows, options.tokens.size()); ++at) {
      batch.Add(static_cast<int32_t>(options.tokens[at]), static_cast<int32_t>(at), 0, true);
    }
    engine->Run(batch);
    output.Write(batch.logits);
  }
  output.Close();
}

}  // namespace

void AddLogits(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "logits", "Write the logits of every token: float32, little-endian, one row per token");
  AddRunOptions(*command, options->run);
  command->add_option("--tokens", options->tokens, "ids, separated by commas")
      ->required()
      ->delimiter(',');
  command->add_option("-o,--output", options->output, "file to write")->required();
  command->callback([options, &run] { run = [options] { Logits(*options); }; });
}

}  // namespace hetllm
