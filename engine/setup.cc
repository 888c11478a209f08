#include "engine/setup.h"

#include <algorithm>
#include <cstdio>

#include "engine/error.h"
#include "engine/interrupt.h"
#include "engine/progress.h"

namespace hetllm {
namespace {

constexpr uint32_t kLargestLogitsChunk = 32;  // each row brings a whole vocabulary of results
constexpr uint32_t kMostPrompts = 1024;

// Enough micro-batches that filling and draining the pipeline costs little, and no smaller than
// matrices need.
uint32_t ChooseChunk(const RunOptions& options, const RunShape& shape, size_t slices,
                     uint32_t largest) {
  const uint32_t most = shape.all_logits ? kLargestLogitsChunk : largest;
  if (options.chunk != 0) {
    return shape.all_logits ? std::min(options.chunk, most) : options.chunk;
  }
  if (slices == 1) {
    return static_cast<uint32_t>(std::min<uint64_t>(shape.prompt_tokens, most));
  }
  const uint64_t even = shape.prompt_tokens / (16 * slices);
  const auto chunk = static_cast<uint32_t>(std::clamp<uint64_t>(even / 8 * 8, 32, most));
  return static_cast<uint32_t>(std::min<uint64_t>(chunk, shape.prompt_tokens));
}

}  // namespace

void AddRunOptions(CLI::App& app, RunOptions& options) {
  app.add_option("-m,--model", options.model, "GGUF file")->required();
  app.add_option("--slices", options.slices,
                 "DEVICE[:SHARE%[:MEMORY]],...  e.g. cpu:50%:1GiB,opencl:50% (default: what is "
                 "free of every device)");
  app.add_option("--activations", options.activations,
                 "f32, or q8: 8-bit activations where a device has the kernels, 16-bit ones beside "
                 "F16 and BF16 on a CPU and in a vendor's matrix library")
      ->check(CLI::IsMember({"f32", "q8"}));
  app.add_option("--context", options.context, "tokens a sequence can have (default: as needed)");
  app.add_option("--chunk", options.chunk, "rows of a prefill micro-batch (default: chosen)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--objective", options.objective, "what the plan is good at")
      ->check(CLI::IsMember({"throughput", "latency"}));
  app.add_option(
         "--split", options.split,
         "layers per slice, in the order of --slices, instead of a plan; embedding and head "
         "count as one each")
      ->delimiter(',');
  app.add_flag("--recalibrate", options.recalibrate, "measure the slices again");
  app.add_flag("--no-keep", options.no_keep,
               "keep no inputs of stages; the prompts run again when a device is lost");
  app.add_flag("--no-library", options.no_library,
               "multiply by het's own kernels, also where a vendor's matrix library is there");
  app.add_flag("--no-replay", options.no_replay,
               "queue every step's kernels anew, also where a device could replay recorded ones");
  app.add_flag("--embedded", options.embedded, "use no daemon");
  app.add_option("--socket", options.socket, "the daemon's socket; it must answer");
  app.add_option("--simulate", options.simulate,
                 "profile of simulated devices that join the real ones (embedded only)");
}

void AddSamplingOptions(CLI::App& app, SamplerOptions& options) {
  app.add_option("--temp", options.temperature, "0: always the best token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  app.add_option("--top-k", options.top_k, "choose among so many of the best; 0: all")
      ->capture_default_str();
  app.add_option("--top-p", options.top_p, "among the fewest that together are so likely")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--min-p", options.min_p, "among those at least so likely beside the best")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--repeat-penalty", options.repeat_penalty,
                 "on tokens that were there lately; 1: none")
      ->check(CLI::Range(0.01, 100.0))
      ->capture_default_str();
  app.add_option("--repeat-last", options.repeat_last, "how many tokens count as lately")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of the sampling")->capture_default_str();
}

het::api::Session OpenSession(const RunOptions& options) {
  het::api::SessionOptions session;
  session.simulate = options.simulate;
  session.socket = options.socket;
  if (options.embedded || !options.simulate.empty()) {
    if (!options.socket.empty()) {
      throw Error("--socket asks for a daemon, --embedded and --simulate for none; give one",
                  Exit::kUsage);
    }
    session.flags = HET_SESSION_EMBEDDED;
  } else if (options.socket.empty()) {
    session.flags = HET_SESSION_FALLBACK;
  }
  try {
    return het::api::Session::Open(session);
  } catch (const het::api::Error& error) {
    throw Error(error.what(), ExitOf(error.code()));
  }
}

std::vector<SliceSpec> SpecsOf(const RunOptions& options) {
  return options.slices.empty() ? std::vector<SliceSpec>() : ParseSlices(options.slices);
}

EngineOptions MakeEngineOptions(const Model& model, const RunOptions& options,
                                const RunShape& shape, size_t slices, uint32_t largest_chunk) {
  if (shape.prompts < 1 || shape.prompts > kMostPrompts) {
    throw Error(Cat(shape.prompts, " prompts; 1 to ", kMostPrompts, " are possible"), Exit::kUsage);
  }
  const uint64_t needed = uint64_t{shape.longest_prompt} + shape.max_new;
  const uint32_t trained = model.shape().trained_context;
  if (options.context != 0 && options.context < needed) {
    throw Error(Cat("--context ", options.context, " is too small: the longest prompt has ",
                    shape.longest_prompt, " tokens and ", shape.max_new, " more are asked"),
                Exit::kUsage);
  }
  if (options.context == 0 && needed > trained) {
    throw Error(Cat("the longest prompt has ", shape.longest_prompt, " tokens and ", shape.max_new,
                    " more are asked; the model was trained for ", trained,
                    ". Ask for fewer, or say --context ", needed,
                    " to go beyond (tokens are never dropped from the front to make room)"),
                Exit::kUsage);
  }
  EngineOptions engine;
  const uint32_t chunk = ChooseChunk(options, shape, slices, largest_chunk);
  Limits& limits = engine.limits;
  limits.rows = std::max(chunk, shape.prompts);
  limits.wanted = shape.all_logits ? limits.rows : shape.prompts;
  limits.slots = shape.prompts;
  limits.context = options.context != 0 ? options.context : static_cast<uint32_t>(needed);
  limits.greedy = shape.greedy;
  limits.q8 = options.activations == "q8";
  limits.library = !options.no_library;
  limits.replay = !options.no_replay;

  Phase& prefill = engine.workload.prefill;
  prefill.rows = chunk;
  prefill.items = static_cast<double>((shape.prompt_tokens + chunk - 1) / chunk);
  const double ends = shape.all_logits ? chunk * prefill.items : shape.prompts;
  prefill.wanted = static_cast<uint32_t>(std::max(1.0, ends / prefill.items));
  prefill.wanted_share = std::min(1.0, ends / prefill.items);
  prefill.sequences = std::max<uint32_t>(1, chunk / shape.longest_prompt);
  const uint32_t rows_each = chunk / prefill.sequences;
  prefill.position = (shape.longest_prompt - std::min(shape.longest_prompt, rows_each)) / 2;

  Phase& decode = engine.workload.decode;
  const uint32_t groups =
      slices == 1 ? 1 : std::min(shape.prompts, static_cast<uint32_t>(slices) + 1);
  decode.rows = (shape.prompts + groups - 1) / groups;
  decode.items = double{1} * groups * (shape.max_new - std::min(shape.max_new, 1u));
  decode.wanted = decode.rows;
  decode.sequences = decode.rows;
  decode.position = shape.longest_prompt + shape.max_new / 2;

  engine.objective = options.objective == "latency" ? HET_LATENCY : HET_THROUGHPUT;
  engine.split = options.split;
  engine.use_stored_costs = !options.recalibrate;
  engine.keep_inputs = !options.no_keep;
  engine.note = PrintNote;
  return engine;
}

uint32_t LargestChunk(const het::api::Session& session, const RunOptions& options,
                      const std::vector<SliceSpec>& specs) {
  const std::vector<het_device_info> devices = session.Devices();
  if (options.activations != "q8" || options.no_library || specs.size() > 1 ||
      (specs.empty() && devices.size() > 1)) {
    return kLargestChunk;
  }
  const std::string device = specs.empty() ? "" : ResolveDevice(specs[0].device, devices);
  for (const het_device_info& info : devices) {
    if (specs.empty() || device == info.id) {
      // The only kind of device that surely has none.
      return info.backend == std::string_view("cpu") ? kLargestChunk : kLargestLibraryChunk;
    }
  }
  return kLargestChunk;
}

uint32_t LargestChunk(const Model& model, const RunOptions& options, const RunShape& shape,
                      const std::vector<Slice>& slices) {
  if (options.activations != "q8" || options.no_library || slices.size() != 1 ||
      !slices[0].lease.Can(HET_CAN_MULTIPLY_MATRICES)) {
    return kLargestChunk;
  }
  uint32_t largest = kLargestLibraryChunk;
  while (largest > kLargestChunk &&
         WholeModelBytes(model, MakeEngineOptions(model, options, shape, 1, largest).limits, 1) >
             slices[0].lease.info().memory_limit_bytes) {
    largest /= 2;
  }
  return largest;
}

std::unique_ptr<Engine> MakeEngine(const het::api::Session& session, const Model& model,
                                   const RunOptions& options, const RunShape& shape) {
  const std::vector<SliceSpec> specs = SpecsOf(options);
  const size_t guess = specs.empty() ? session.Devices().size() : specs.size();
  const EngineOptions planned =
      MakeEngineOptions(model, options, shape, guess, LargestChunk(session, options, specs));
  const uint64_t memory = WholeModelBytes(model, planned.limits, guess);
  std::vector<Slice> slices =
      specs.empty() ? AcquireDefault(session, memory) : AcquireSlices(session, specs, memory);
  EngineOptions engine = MakeEngineOptions(model, options, shape, slices.size(),
                                           LargestChunk(model, options, shape, slices));
  ProgressBar bar(Cat("loading ", model.path()));
  engine.progress = [&bar](uint64_t done, uint64_t all) {
    ThrowIfInterrupted();
    bar.Show(done, all);
  };
  auto made = std::make_unique<Engine>(session, model, std::move(slices), std::move(engine));
  made->ForgetProgress();
  return made;
}

void PrintNote(const std::string& text) { std::fprintf(stderr, "note: %s\n", text.c_str()); }

}  // namespace hetllm
