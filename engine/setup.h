// Setup: from the command line's options to a session and an engine; what the commands share.
//
// Errors are thrown as Error with the program's exit codes.
#ifndef HET_ENGINE_SETUP_H_
#define HET_ENGINE_SETUP_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/model.h"
#include "engine/sampler.h"
#include "engine/slices.h"

namespace hetllm {

// Options of every command that runs a model.
struct RunOptions {
  std::string model;
  std::string slices;  // empty: AcquireDefault
  std::string activations = "f32";
  uint32_t context = 0;  // 0: what the run needs
  uint32_t chunk = 0;    // rows of a prefill micro-batch; 0: chosen
  std::string objective = "throughput";
  std::vector<size_t> split;
  bool recalibrate = false;
  bool no_keep = false;
  bool no_library = false;
  bool no_replay = false;
  bool embedded = false;
  std::string socket;
  std::string simulate;
};
void AddRunOptions(CLI::App& app, RunOptions& options);
void AddSamplingOptions(CLI::App& app, SamplerOptions& options);

// What a run will do, as far as memory and planning need it.
struct RunShape {
  uint32_t prompts = 1;
  uint32_t longest_prompt = 1;
  uint64_t prompt_tokens = 1;  // of all prompts
  uint32_t max_new = 1;
  bool greedy = true;
  bool all_logits = false;  // of every token, not only the last of a prompt
};

// A daemon if one answers, else embedded; as the options say. Unreachable when a daemon was
// demanded.
het::api::Session OpenSession(const RunOptions& options);
std::vector<SliceSpec> SpecsOf(const RunOptions& options);
// Of a prefill micro-batch nobody gave the rows of: a vendor's matrix library, which makes halves
// of the weights for each one, wants more of them than het's own kernels do.
constexpr uint32_t kLargestChunk = 128;
constexpr uint32_t kLargestLibraryChunk = 2048;
EngineOptions MakeEngineOptions(const Model& model, const RunOptions& options,
                                const RunShape& shape, size_t slices,
                                uint32_t largest_chunk = kLargestChunk);
// The largest chunk that slices as `specs` (empty: every device) may come to run, to ask memory
// for; and the one that those there are run.
uint32_t LargestChunk(const het::api::Session& session, const RunOptions& options,
                      const std::vector<SliceSpec>& specs);
uint32_t LargestChunk(const Model& model, const RunOptions& options, const RunShape& shape,
                      const std::vector<Slice>& slices);
// Acquires, calibrates, plans and loads. Notes and the progress bar go to stderr.
std::unique_ptr<Engine> MakeEngine(const het::api::Session& session, const Model& model,
                                   const RunOptions& options, const RunShape& shape);
// Notes on stderr.
void PrintNote(const std::string& text);

}  // namespace hetllm

#endif  // HET_ENGINE_SETUP_H_
