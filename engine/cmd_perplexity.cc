#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/commands.h"
#include "engine/error.h"
#include "engine/interrupt.h"
#include "engine/report.h"
#include "engine/setup.h"
#include "engine/text_file.h"

namespace hetllm {
namespace {

struct Options {
  RunOptions run;
  std::string file;
  uint32_t window = 512;
  uint32_t windows = 0;
  std::string output = "text";
};

// Natural logarithm of the probability that the logits give a token.
double LogProbability(std::span<const float> logits, int32_t token) {
  double largest = -HUGE_VAL, sum = 0;
  for (const float logit : logits) largest = std::max(largest, double{logit});
  for (const float logit : logits) sum += std::exp(logit - largest);
  return logits[static_cast<size_t>(token)] - largest - std::log(sum);
}

struct Total {
  double sum = 0, squares = 0;
  uint64_t count = 0;

  void Add(double loss) {
    sum += loss;
    squares += loss * loss;
    ++count;
  }
  double mean() const { return sum / static_cast<double>(count); }
  double Perplexity() const { return std::exp(mean()); }
  // Of the perplexity, from the deviation of the mean loss.
  double Error() const {
    const auto n = static_cast<double>(count);
    const double variance = n > 1 ? (squares / n - mean() * mean()) / (n - 1) : 0;
    return Perplexity() * std::sqrt(std::max(variance, 0.0));
  }
};

// The text is cut into windows that know nothing of each other; tokens of the second half of each
// count, since those before have too little in front of them.
class Measure {
 public:
  Measure(Engine& engine, const Options& options) : engine_(engine), options_(options) {}

  void Window(std::vector<int32_t> tokens) {
    const Vocabulary& vocabulary = engine_.model().tokenizer()->vocabulary();
    const std::vector<int32_t> targets = tokens;
    if (vocabulary.add_bos && vocabulary.bos) {
      tokens[0] = *vocabulary.bos;
    }
    const size_t rows = engine_.options().workload.prefill.rows,
                 vocab = engine_.model().shape().vocab;
    const size_t first = tokens.size() / 2;
    for (size_t begin = 0; begin + 1 < tokens.size(); begin += rows) {
      ThrowIfInterrupted();
      Microbatch batch;
      std::vector<int32_t> next;
      for (size_t at = begin; at < std::min(begin + rows, tokens.size() - 1); ++at) {
        batch.Add(tokens[at], static_cast<int32_t>(at), 0, at >= first);
        if (at >= first) {
          next.push_back(targets[at + 1]);
        }
      }
      engine_.Run(batch);
      for (size_t i = 0; i < next.size(); ++i) {
        total_.Add(-LogProbability(std::span(batch.logits).subspan(i * vocab, vocab), next[i]));
      }
    }
  }
  const Total& total() const { return total_; }

 private:
  Engine& engine_;
  const Options& options_;
  Total total_;
};

void Perplexity(const Options& options) {
  const Model model(options.run.model);
  if (!model.tokenizer()) {
    throw Error(Cat("'", model.path(), "' has no tokenizer, so it takes no text"));
  }
  const std::vector<int32_t> tokens = model.tokenizer()->Encode(ReadTextFile(options.file));
  size_t windows = tokens.size() / options.window;
  if (windows == 0) {
    throw Error(
        Cat("'", options.file, "' has ", tokens.size(), " tokens, fewer than one window of ",
            options.window, "; a longer text or a smaller --window works"),
        Exit::kUsage);
  }
  if (options.windows != 0) {
    windows = std::min<size_t>(windows, options.windows);
  }
  RunShape shape;
  shape.prompt_tokens = options.window;
  shape.longest_prompt = options.window;
  shape.max_new = 0;
  shape.greedy = false;
  shape.all_logits = true;
  const het::api::Session session = OpenSession(options.run);
  const auto engine = MakeEngine(session, model, options.run, shape);
  Measure measure(*engine, options);
  for (size_t i = 0; i < windows; ++i) {
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(i * options.window);
    measure.Window({begin, begin + options.window});
    if (options.output == "text") {
      std::printf("[%zu] %.4f\n", i + 1, measure.total().Perplexity());
      std::fflush(stdout);
    }
  }
  const Total& total = measure.total();
  if (options.output == "json") {
    std::printf("%s\n", Dump({{"apiVersion", "het/v1"},
                              {"model", model.path()},
                              {"window", options.window},
                              {"windows", windows},
                              {"tokens", total.count},
                              {"perplexity", total.Perplexity()},
                              {"error", total.Error()}})
                            .c_str());
  } else {
    std::printf("perplexity %.4f +- %.4f over %llu tokens of %zu windows of %u\n",
                total.Perplexity(), total.Error(), static_cast<unsigned long long>(total.count),
                windows, options.window);
  }
}

}  // namespace

void AddPerplexity(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("perplexity", "How well a model foresees a text (lower is better)");
  AddRunOptions(*command, options->run);
  command->add_option("-f,--file", options->file, "the text; - is standard input")->required();
  command->add_option("-w,--window", options->window, "tokens that are seen together")
      ->check(CLI::Range(8, 1 << 20))
      ->capture_default_str();
  command->add_option("--windows", options->windows, "only the first so many (default: all)");
  command->add_option("-o,--output", options->output, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  command->callback([options, &run] { run = [options] { Perplexity(*options); }; });
}

}  // namespace hetllm
