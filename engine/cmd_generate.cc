#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/commands.h"
#include "engine/error.h"
#include "engine/generator.h"
#include "engine/report.h"
#include "engine/setup.h"
#include "engine/text_stream.h"

namespace hetllm {
namespace {

struct Options {
  RunOptions run;
  std::vector<std::string> prompts;
  uint32_t max_new = 128;
  SamplerOptions sampling;
  bool ignore_end = false;
  std::string output = "text";
  std::string report;
};

// Streams the text of the first prompt while it is made; the others follow whole.
class Streamer {
 public:
  Streamer(const Tokenizer& tokenizer, const std::vector<std::string>& prompts)
      : tokenizer_(tokenizer), prompts_(prompts) {
    Heading(0);
  }
  Streamer(const Streamer&) = delete;
  Streamer& operator=(const Streamer&) = delete;
  ~Streamer() {
    if (!finished_) {  // an error will follow on its own line
      std::fputs("\n", stdout);
      std::fflush(stdout);
    }
  }

  void Show(size_t sequence, int32_t token) {
    if (sequence == 0) {
      Print(token);
      std::fflush(stdout);
    }
  }

  void Finish(const std::vector<Sequence>& sequences) {
    finished_ = true;
    EndLine();
    for (size_t i = 1; i < sequences.size(); ++i) {
      Heading(i);
      for (size_t at = sequences[i].prompt; at < sequences[i].tokens.size(); ++at) {
        Print(sequences[i].tokens[at]);
      }
      EndLine();
    }
    std::fflush(stdout);
  }

 private:
  void Print(int32_t token) {
    text_.Add(tokenizer_.Piece(token));
    at_line_start_ = text_.at_line_start();
  }

  // A text that ends its own line needs no second line break.
  void EndLine() {
    text_.Finish();
    if (!at_line_start_) {
      std::fputs("\n", stdout);
    }
    at_line_start_ = true;
  }

  // With several prompts each text begins with its prompt.
  void Heading(size_t i) {
    if (prompts_.size() > 1) {
      std::printf("[%zu] %s", i + 1, prompts_[i].c_str());
      std::fflush(stdout);
      at_line_start_ = false;
    }
  }

  const Tokenizer& tokenizer_;
  const std::vector<std::string>& prompts_;
  TextStream text_{stdout};
  bool finished_ = false;
  bool at_line_start_ = false;
};

nlohmann::json ResultJson(const Options& options, const Engine& engine,
                          const std::vector<Sequence>& sequences, const Timings& timings) {
  const Tokenizer& tokenizer = *engine.model().tokenizer();
  const auto count = static_cast<uint32_t>(sequences.size());
  auto results = nlohmann::json::array();
  for (size_t i = 0; i < sequences.size(); ++i) {
    const auto& tokens = sequences[i].tokens;
    const auto split = tokens.begin() + static_cast<std::ptrdiff_t>(sequences[i].prompt);
    std::string text;
    for (auto token = split; token != tokens.end(); ++token) {
      text += tokenizer.Piece(*token);
    }
    results.push_back({{"prompt", options.prompts[i]},
                       {"promptTokens", std::vector<int32_t>(tokens.begin(), split)},
                       {"tokens", std::vector<int32_t>(split, tokens.end())},
                       {"text", text}});
  }
  return {{"apiVersion", "het/v1"},
          {"model", engine.model().path()},
          {"activations", engine.options().limits.q8 ? "q8" : "f32"},
          {"results", results},
          {"plan", PlanJson(engine)},
          {"stages", StagesJson(engine.Report())},
          {"timings", TimingsJson(engine, timings, count)}};
}

void WriteReport(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  const bool written = file && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (!file || std::fclose(file) != 0 || !written) {
    throw Error(Cat("cannot write the report to '", path, "': ", std::strerror(errno)));
  }
}

void Generate(const Options& options) {
  const Model model(options.run.model);
  if (!model.tokenizer()) {
    throw Error(Cat("'", model.path(),
                    "' has no tokenizer, so it takes no text; `hetllm logits` "
                    "takes token ids"));
  }
  RunShape shape;
  std::vector<std::vector<int32_t>> prompts;
  shape.prompts = static_cast<uint32_t>(options.prompts.size());
  shape.prompt_tokens = 0;
  for (const std::string& text : options.prompts) {
    prompts.push_back(model.tokenizer()->Encode(text));
    if (prompts.back().empty()) {
      throw Error("an empty prompt gives this model nothing to start from", Exit::kUsage);
    }
    shape.prompt_tokens += prompts.back().size();
    shape.longest_prompt =
        std::max(shape.longest_prompt, static_cast<uint32_t>(prompts.back().size()));
  }
  shape.max_new = options.max_new;
  shape.greedy = options.sampling.greedy();

  const het::api::Session session = OpenSession(options.run);
  const auto engine = MakeEngine(session, model, options.run, shape);
  GenerateOptions generate;
  generate.max_new = options.max_new;
  generate.sampling = options.sampling;
  generate.stop_at_end = !options.ignore_end;
  Generator generator(*engine, generate);
  engine->ResetStats();
  if (options.output == "json") {
    const std::vector<Sequence> sequences = generator.Run(prompts);
    std::printf("%s\n", Dump(ResultJson(options, *engine, sequences, generator.timings())).c_str());
    return;
  }
  Streamer streamer(*model.tokenizer(), options.prompts);
  const std::vector<Sequence> sequences = generator.Run(
      prompts, [&](size_t sequence, int32_t token) { streamer.Show(sequence, token); });
  streamer.Finish(sequences);
  if (!options.report.empty()) {
    WriteReport(options.report, Dump(ResultJson(options, *engine, sequences, generator.timings())));
  }
  std::fputs(RunTable(*engine, engine->Report(), generator.timings(), shape.prompts).c_str(),
             stderr);
}

}  // namespace

void AddGenerate(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("generate", "Continue one or several prompts");
  AddRunOptions(*command, options->run);
  command->add_option("-p,--prompt", options->prompts, "text; several run as one batch")
      ->required()
      ->allow_extra_args(false);
  command->add_option("-n", options->max_new, "tokens to generate per prompt")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  AddSamplingOptions(*command, options->sampling);
  command->add_flag("--ignore-eos", options->ignore_end, "go on behind the end of text");
  command->add_option("-o,--output", options->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  command->add_option("--report", options->report, "write the JSON of the run to this file, too");
  command->callback([options, &run] { run = [options] { Generate(*options); }; });
}

}  // namespace hetllm
