#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "engine/commands.h"
#include "engine/error.h"
#include "engine/generator.h"
#include "engine/interrupt.h"
#include "engine/report.h"
#include "engine/setup.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

struct Options {
  RunOptions run;
  uint32_t prompt = 128;
  uint32_t max_new = 32;
  uint32_t batch = 8;
  uint32_t repeats = 3;
  bool no_solo = false;
  std::string output = "text";
};

struct Samples {
  std::vector<double> values;

  double Quantile(double q) const {
    if (values.empty()) {
      return 0;
    }
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
  }
  double Mean() const {
    return values.empty() ? 0
                          : std::accumulate(values.begin(), values.end(), 0.0) /
                                static_cast<double>(values.size());
  }
  // Of a sample.
  double Deviation() const {
    double squares = 0;
    for (const double value : values) squares += (value - Mean()) * (value - Mean());
    return values.size() < 2 ? 0 : std::sqrt(squares / static_cast<double>(values.size() - 1));
  }
  nlohmann::json Json() const {
    if (values.empty()) {
      return nullptr;
    }
    return {{"median", Quantile(0.5)}, {"min", Quantile(0)}, {"max", Quantile(1)}};
  }
};

// One placement to measure: all slices together, or one alone.
struct Config {
  std::string name;
  std::vector<SliceSpec> specs;
  // Which of the specs runs; -1: all. The others are leased and stay idle, so that a slice alone is
  // the same processors as in the mix (an OpenCL driver's threads are bound once per process).
  int only = -1;
  Samples prefill, decode;                    // tokens/s, per repeat
  Samples prefill_achieved, decode_achieved;  // of what the plan promised
  nlohmann::json prefill_plan, decode_plan, stages;
  uint32_t threads = 0;  // host cores of the slices
  uint32_t chunk = 0;    // rows of a prefill micro-batch
};

RunShape ShapeOf(const Options& options) {
  RunShape shape;
  shape.prompts = options.batch;
  shape.longest_prompt = options.prompt;
  shape.prompt_tokens = uint64_t{options.prompt} * options.batch;
  shape.max_new = std::max(options.max_new, 1u);
  return shape;
}

std::vector<std::vector<int32_t>> RandomPrompts(const Options& options, uint32_t vocab) {
  std::mt19937 random(7);
  std::vector<std::vector<int32_t>> prompts(options.batch);
  for (auto& prompt : prompts) {
    for (uint32_t i = 0; i < options.prompt; ++i) {
      prompt.push_back(static_cast<int32_t>(random() % vocab));
    }
  }
  return prompts;
}

class Bench {
 public:
  Bench(const Options& options, const Model& model, const het::api::Session& session)
      : options_(options),
        model_(model),
        session_(session),
        shape_(ShapeOf(options)),
        prompts_(RandomPrompts(options, model.shape().vocab)) {
    MakeConfigs();
  }

  void Run() {
    for (uint32_t repeat = 0; repeat < options_.repeats; ++repeat) {
      for (Config& config : configs_) {
        ThrowIfInterrupted();
        Measure(config, repeat);
      }
      Compare();
    }
  }

  nlohmann::json Json() const;
  // As `llama-bench -o json` writes it: an entry per test with its mean and deviation.
  nlohmann::json PeerJson() const;
  std::string Text() const;

 private:
  void MakeConfigs() {
    std::vector<SliceSpec> specs = SpecsOf(options_.run);
    if (specs.empty()) {  // what the default would take, by name
      const EngineOptions planned = MakeEngineOptions(model_, options_.run, shape_, 1);
      for (const Slice& slice :
           AcquireDefault(session_, WholeModelBytes(model_, planned.limits, 1))) {
        specs.push_back({slice.device, slice.share, 0});
      }
    }
    Config all;
    all.specs = specs;
    all.name = specs.size() == 1 ? "" : "mixed";  // one takes the name of its slice
    configs_.push_back(all);
    for (size_t i = 0; specs.size() > 1 && !options_.no_solo && i < specs.size(); ++i) {
      Config one;
      one.specs = specs;
      one.specs[i].memory_bytes = 0;  // alone a slice must hold the whole model
      one.only = static_cast<int>(i);
      configs_.push_back(one);
    }
  }

  // The phases apart, each on the plan that is best for it: decode needs its prompts first, which
  // are not timed.
  void Measure(Config& config, uint32_t repeat) {
    MeasurePhase(config, repeat, true);
    if (options_.max_new > 1) {
      MeasurePhase(config, repeat, false);
    }
  }

  void MeasurePhase(Config& config, uint32_t repeat, bool prefill) {
    const size_t count = config.only < 0 ? config.specs.size() : 1;
    const uint32_t largest =
        count > 1 ? kLargestChunk
                  : LargestChunk(session_, options_.run,
                                 {config.specs[static_cast<size_t>(std::max(config.only, 0))]});
    const uint64_t memory = WholeModelBytes(
        model_, MakeEngineOptions(model_, options_.run, shape_, count, largest).limits, count);
    std::vector<Slice> leased = AcquireSlices(session_, config.specs, memory);
    std::vector<Slice> slices;
    if (config.only < 0) {
      slices = std::move(leased);
    } else {
      slices.push_back(std::move(leased[static_cast<size_t>(config.only)]));
    }
    if (config.name.empty()) {
      config.name = slices[0].name;
    }
    EngineOptions engine_options = MakeEngineOptions(
        model_, options_.run, shape_, count, LargestChunk(model_, options_.run, shape_, slices));
    (prefill ? engine_options.workload.decode : engine_options.workload.prefill).items = 0;
    if (count == 1) {
      engine_options.split.clear();  // belongs to the slices together
    }
    // Measured anew once per bench, so that plan and run belong to the same machine in the same
    // mood.
    engine_options.use_stored_costs = repeat > 0;
    Engine engine(session_, model_, std::move(slices), std::move(engine_options));
    config.threads = 0;
    for (const auto& slice : engine.slices()) {
      config.threads += slice->lease.info().core_count;
    }
    config.chunk = engine.options().workload.prefill.rows;
    WarmUp(engine);
    GenerateOptions generate;
    generate.max_new = prefill ? 1 : options_.max_new;
    generate.stop_at_end = false;
    Generator generator(engine, generate);
    engine.ResetStats();
    generator.Run(prompts_);
    const Timings& timings = generator.timings();
    const Promise promise = PromiseOf(engine, timings, options_.batch);
    const double rate = prefill ? TokensPerSecond(timings.prefill_tokens, timings.prefill_ms)
                                : TokensPerSecond(timings.decode_tokens, timings.decode_ms);
    const double planned = prefill ? promise.prefill : promise.decode;
    (prefill ? config.prefill : config.decode).values.push_back(rate);
    if (planned > 0) {
      (prefill ? config.prefill_achieved : config.decode_achieved).values.push_back(rate / planned);
    }
    (prefill ? config.prefill_plan : config.decode_plan) = PlanJson(engine);
    if (prefill) {
      config.stages = StagesJson(engine.Report());
    }
  }

  // A prompt of one micro-batch and two tokens: first touches, lazy builds, thread wake-ups.
  void WarmUp(Engine& engine) const {
    GenerateOptions generate;
    generate.max_new = 2;
    generate.stop_at_end = false;
    std::vector<int32_t> prompt = prompts_[0];
    prompt.resize(std::min<size_t>(prompt.size(), engine.options().workload.prefill.rows));
    const Limits& limits = engine.options().limits;
    if (prompt.size() + 2 <= limits.context) {
      Generator(engine, generate).Run({prompt});
    }
  }

  void Compare() {
    if (configs_.size() < 2) {
      return;
    }
    const auto ratio = [&](Samples Config::*phase, Samples& out) {
      double sum = 0;
      for (size_t i = 1; i < configs_.size(); ++i) {
        sum += (configs_[i].*phase).values.empty() ? 0 : (configs_[i].*phase).values.back();
      }
      if (sum > 0) {
        out.values.push_back((configs_[0].*phase).values.back() / sum);
      }
    };
    ratio(&Config::prefill, prefill_ratio_);
    ratio(&Config::decode, decode_ratio_);
  }

  const Options& options_;
  const Model& model_;
  const het::api::Session& session_;
  const RunShape shape_;
  const std::vector<std::vector<int32_t>> prompts_;
  std::vector<Config> configs_;  // together first, then each alone
  Samples prefill_ratio_, decode_ratio_;
};

nlohmann::json Bench::Json() const {
  auto configs = nlohmann::json::array();
  for (const Config& config : configs_) {
    configs.push_back({{"name", config.name},
                       {"prefillTokensPerSecond", config.prefill.Json()},
                       {"decodeTokensPerSecond", config.decode.Json()},
                       {"prefillAchievedOverPlanned", config.prefill_achieved.Json()},
                       {"decodeAchievedOverPlanned", config.decode_achieved.Json()},
                       {"prefillPlan", config.prefill_plan},
                       {"decodePlan", config.decode_plan},
                       {"prefillStages", config.stages}});
  }
  return {{"apiVersion", "het/v1"},
          {"model", model_.path()},
          {"activations", options_.run.activations},
          {"promptTokens", options_.prompt},
          {"newTokens", options_.max_new},
          {"batch", options_.batch},
          {"repeats", options_.repeats},
          {"configurations", configs},
          {"prefillMixedOverSum", prefill_ratio_.Json()},
          {"decodeMixedOverSum", decode_ratio_.Json()}};
}

nlohmann::json Bench::PeerJson() const {
  uint64_t bytes = 0, parameters = 0;
  for (const GgufTensor& tensor : model_.gguf().tensors()) {
    bytes += tensor.bytes;
    parameters += tensor.ne[0] * tensor.rows();
  }
  auto tests = nlohmann::json::array();
  for (const Config& config : configs_) {
    for (const bool prefill : {true, false}) {
      const Samples& rates = prefill ? config.prefill : config.decode;
      if (rates.values.empty()) {
        continue;
      }
      // Tokens of one repeat, from its rate to its time.
      const double tokens =
          double{1} * options_.batch * (prefill ? options_.prompt : options_.max_new - 1);
      Samples nanos;
      for (const double rate : rates.values)
        nanos.values.push_back(rate > 0 ? tokens / rate * 1e9 : 0);
      tests.push_back({{"backends", "het"},
                       {"device", config.name},
                       {"model_filename", model_.path()},
                       {"model_type", Cat(model_.architecture().name, ' ',
                                          WeightTypeName(model_.block(0).q->type))},
                       {"model_size", bytes},
                       {"model_n_params", parameters},
                       {"activations", options_.run.activations},
                       {"n_batch", config.chunk},
                       {"n_ubatch", config.chunk},
                       {"n_threads", config.threads},
                       {"n_seqs", options_.batch},
                       {"n_prompt", prefill ? options_.prompt : 0},
                       {"n_gen", prefill ? 0 : options_.max_new},
                       {"avg_ns", nanos.Mean()},
                       {"stddev_ns", nanos.Deviation()},
                       {"avg_ts", rates.Mean()},
                       {"stddev_ts", rates.Deviation()},
                       {"samples_ns", nanos.values},
                       {"samples_ts", rates.values}});
    }
  }
  return tests;
}

std::string Bench::Text() const {
  char line[256];
  const auto range = [](const Samples& samples, double scale, const char* format) {
    char text[64];
    if (samples.values.empty()) {
      return std::string("-");
    }
    std::snprintf(text, sizeof(text), format, samples.Quantile(0.5) * scale,
                  samples.Quantile(0) * scale, samples.Quantile(1) * scale);
    return std::string(text);
  };
  std::snprintf(line, sizeof(line), "%-34s %-26s %-24s %-24s\n", "tokens/s, median (min-max)",
                "prefill", "decode", "achieved/planned");
  std::string text = line;
  for (const Config& config : configs_) {
    std::snprintf(line, sizeof(line), "%-34s %-26s %-24s %s / %s\n", config.name.c_str(),
                  range(config.prefill, 1, "%.1f (%.1f-%.1f)").c_str(),
                  range(config.decode, 1, "%.1f (%.1f-%.1f)").c_str(),
                  range(config.prefill_achieved, 1, "%.2f (%.2f-%.2f)").c_str(),
                  range(config.decode_achieved, 1, "%.2f (%.2f-%.2f)").c_str());
    text += line;
  }
  if (!prefill_ratio_.values.empty()) {
    std::snprintf(line, sizeof(line), "%-34s %-26s %-24s\n", "mixed / sum of each alone",
                  range(prefill_ratio_, 1, "%.2f (%.2f-%.2f)").c_str(),
                  range(decode_ratio_, 1, "%.2f (%.2f-%.2f)").c_str());
    text += line;
  }
  return text;
}

void RunBench(const Options& options) {
  const Model model(options.run.model);
  const het::api::Session session = OpenSession(options.run);
  Bench bench(options, model, session);
  bench.Run();
  if (options.output == "llama-bench") {
    std::printf("%s\n", Dump(bench.PeerJson()).c_str());
  } else if (options.output == "json") {
    std::printf("%s\n", Dump(bench.Json()).c_str());
  } else {
    std::fputs(bench.Text().c_str(), stdout);
  }
}

}  // namespace

void AddBench(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "bench", "Measure prefill and decode: the slices together, and each alone");
  AddRunOptions(*command, options->run);
  command->add_option("-p", options->prompt, "tokens of a prompt")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("-n", options->max_new, "tokens to generate; 0 or 1: prefill only")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("-b", options->batch, "prompts")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("-r,--repeats", options->repeats, "interleaved repeats")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  command->add_flag("--no-solo", options->no_solo, "only all slices together");
  command
      ->add_option("-o,--output", options->output,
                   "text, json, or llama-bench: the JSON of llama.cpp's llama-bench")
      ->check(CLI::IsMember({"text", "json", "llama-bench"}));
  command->callback([options, &run] { run = [options] { RunBench(*options); }; });
}

}  // namespace hetllm
