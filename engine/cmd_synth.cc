#include <cstdio>
#include <memory>

#include "engine/commands.h"
#include "engine/error.h"
#include "engine/interrupt.h"
#include "engine/progress.h"
#include "engine/synth.h"
#include "engine/weight_type.h"

namespace hetllm {

void AddSynth(CLI::App& app, Run& run) {
  struct Options {
    SynthSpec spec;
    std::string type = "q4_0";
    std::string output;
  };
  auto options = std::make_shared<Options>();
  SynthSpec& spec = options->spec;
  CLI::App* command =
      app.add_subcommand("synth", "Write a model with random weights, for benchmarks and tests");
  command->add_option("--arch", spec.architecture, "llama, mistral, qwen2 or qwen3")
      ->capture_default_str();
  command->add_option("--layers", spec.layers, "transformer blocks")->capture_default_str();
  command->add_option("--embd", spec.embd, "embedding length")->capture_default_str();
  command->add_option("--ff", spec.ff, "feed-forward length")->capture_default_str();
  command->add_option("--heads", spec.heads, "attention heads")->capture_default_str();
  command->add_option("--kv-heads", spec.kv_heads, "KV heads")->capture_default_str();
  command->add_option("--head-dim", spec.head_dim, "elements of a head (default: embd / heads)");
  command->add_option("--window", spec.window, "sliding window of attention");
  command->add_option("--rope-scaling", spec.rope_scaling, "linear or yarn (default: none)");
  command->add_option("--rope-factor", spec.rope_factor, "of the scaling")->capture_default_str();
  command->add_option("--vocab", spec.vocab, "tokens of the vocabulary")->capture_default_str();
  command->add_option("--context", spec.context, "claimed training context")->capture_default_str();
  command
      ->add_option("--type", options->type,
                   Cat(WeightTypeNames(), ", or q4_k_m: q4_k and some q6_k"))
      ->capture_default_str();
  command->add_option("--seed", spec.seed, "equal seeds give equal files")->capture_default_str();
  command->add_flag("--tied", spec.tied, "the embedding is the head, too");
  command->add_option("-o,--output", options->output, "file to write")->required();
  command->callback([options, &run] {
    run = [options] {
      options->spec.mixed = options->type == "q4_k_m";
      const auto type = WeightTypeFromName(options->spec.mixed ? "q4_k" : options->type);
      if (!type) {
        throw Error(
            Cat("--type '", options->type, "': ", WeightTypeNames(), ", and q4_k_m are possible"),
            Exit::kUsage);
      }
      options->spec.type = *type;
      ProgressBar bar(Cat("writing ", options->output));
      const uint64_t bytes =
          WriteSynth(options->spec, options->output, [&](uint64_t done, uint64_t all) {
            ThrowIfInterrupted();
            bar.Show(done, all);
          });
      bar.Wipe();
      std::fprintf(stderr, "%s: %s\n", options->output.c_str(), FormatBytes(bytes).c_str());
    };
  });
}

}  // namespace hetllm
