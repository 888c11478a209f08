// The commands of hetllm. Each Add... adds one subcommand to the program; `run` is set to what it
// does when it was chosen.
#ifndef HET_ENGINE_COMMANDS_H_
#define HET_ENGINE_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>

namespace hetllm {

using Run = std::function<void()>;

void AddGenerate(CLI::App& app, Run& run);
void AddBench(CLI::App& app, Run& run);
void AddLogits(CLI::App& app, Run& run);
void AddChat(CLI::App& app, Run& run);
void AddPerplexity(CLI::App& app, Run& run);
void AddTokenize(CLI::App& app, Run& run);
void AddDetokenize(CLI::App& app, Run& run);
void AddInfo(CLI::App& app, Run& run);
void AddSynth(CLI::App& app, Run& run);

}  // namespace hetllm

#endif  // HET_ENGINE_COMMANDS_H_
