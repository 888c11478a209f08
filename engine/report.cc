#include "engine/report.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "engine/error.h"

namespace hetllm {
namespace {

__attribute__((format(printf, 1, 2))) std::string Print(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  return text;
}

std::string LayersText(const Model& model, size_t begin, size_t end) {
  const size_t first = std::max<size_t>(begin, 1);
  const size_t last = std::min(end, model.head_layer());
  std::string text = begin == 0 ? "embedding" : "";
  if (first < last) {
    text += Cat(text.empty() ? "" : ", ", "blocks ", first - 1, "-", last - 2);
  }
  if (end == model.layer_count()) {
    text += Cat(text.empty() ? "" : ", ", "head");
  }
  return text;
}

std::string RateLine(const char* phase, uint64_t tokens, double ms, double planned) {
  const double rate = TokensPerSecond(tokens, ms);
  std::string line = Print("%s: %llu tokens in %.1f ms, %.1f tokens/s", phase,
                           static_cast<unsigned long long>(tokens), ms, rate);
  if (planned > 0) {
    line += Print(" (planned %.1f, achieved %.0f %%)", planned, 100 * rate / planned);
  }
  return line + "\n";
}

}  // namespace

double TokensPerSecond(uint64_t tokens, double ms) {
  return ms > 0 ? static_cast<double>(tokens) / ms * 1e3 : 0;
}

Promise PromiseOf(const Engine& engine, const Timings& timings, uint32_t sequences) {
  const Placement& placement = engine.placement();
  Promise promise;
  if (placement.prefill.bottleneck_ms > 0) {
    promise.prefill =
        TokensPerSecond(engine.options().workload.prefill.rows, placement.prefill.bottleneck_ms);
  }
  if (placement.decode.bottleneck_ms > 0 && timings.decode_groups > 0) {
    // A step of all groups takes the bottleneck once per group, or one group's way through
    // everything.
    const double step = std::max(timings.decode_groups * placement.decode.bottleneck_ms,
                                 placement.decode.latency_ms);
    promise.decode = TokensPerSecond(sequences, step);
  }
  return promise;
}

std::string RunTable(const Engine& engine, const std::vector<StageReport>& stages,
                     const Timings& timings, uint32_t sequences) {
  std::string table = Print("%-36s %-30s %-21s %6s %10s\n", "slice", "layers", "memory used/quota",
                            "busy", "transfer");
  for (const StageReport& stage : stages) {
    const std::string memory =
        FormatBytes(stage.memory_used) + " / " + FormatBytes(stage.memory_limit);
    const double busy = stage.elapsed_ms > 0 ? 100 * stage.busy_ms / stage.elapsed_ms : 0;
    table += Print("%-36s %-30s %-21s %5.0f%% %7.1f ms\n", stage.slice.c_str(),
                   LayersText(engine.model(), stage.begin, stage.end).c_str(), memory.c_str(), busy,
                   stage.transfer_ms);
  }
  for (const auto& slice : engine.slices()) {
    const bool used = std::any_of(stages.begin(), stages.end(), [&](const StageReport& stage) {
      return stage.slice == slice->name;
    });
    table +=
        used ? "" : Print("%-36s not used: the plan is faster without it\n", slice->name.c_str());
  }
  const Promise promise = PromiseOf(engine, timings, sequences);
  table += RateLine("prefill", timings.prefill_tokens, timings.prefill_ms, promise.prefill);
  if (timings.decode_tokens > 0) {
    table += RateLine("decode", timings.decode_tokens, timings.decode_ms, promise.decode);
  }
  return table;
}

nlohmann::json StagesJson(const std::vector<StageReport>& stages) {
  auto list = nlohmann::json::array();
  for (const StageReport& stage : stages) {
    list.push_back({{"slice", stage.slice},
                    {"device", stage.device},
                    {"begin", stage.begin},
                    {"end", stage.end},
                    {"kernels", stage.native ? "native" : "portable"},
                    {"weightsInPlace", stage.in_place},
                    {"memoryUsedBytes", stage.memory_used},
                    {"memoryPeakBytes", stage.memory_peak},
                    {"memoryLimitBytes", stage.memory_limit},
                    {"items", stage.items},
                    {"busyMs", stage.busy_ms},
                    {"busyShare", stage.elapsed_ms > 0 ? stage.busy_ms / stage.elapsed_ms : 0},
                    {"transferMs", stage.transfer_ms},
                    {"elapsedMs", stage.elapsed_ms}});
  }
  return list;
}

nlohmann::json PlanJson(const Engine& engine) {
  const Placement& placement = engine.placement();
  auto stages = nlohmann::json::array();
  for (const PlacedStage& stage : placement.stages) {
    stages.push_back({{"slice", engine.slices()[stage.slice]->name},
                      {"begin", stage.begin},
                      {"end", stage.end}});
  }
  return {{"stages", stages},
          {"optimal", placement.optimal},
          {"inFlight", placement.in_flight},
          {"chunkRows", engine.options().workload.prefill.rows},
          {"prefillBottleneckMs", placement.prefill.bottleneck_ms},
          {"prefillLatencyMs", placement.prefill.latency_ms},
          {"decodeBottleneckMs", placement.decode.bottleneck_ms},
          {"decodeLatencyMs", placement.decode.latency_ms}};
}

nlohmann::json TimingsJson(const Engine& engine, const Timings& timings, uint32_t sequences) {
  const Promise promise = PromiseOf(engine, timings, sequences);
  return {{"prefillMs", timings.prefill_ms},
          {"prefillTokens", timings.prefill_tokens},
          {"prefillTokensPerSecond", TokensPerSecond(timings.prefill_tokens, timings.prefill_ms)},
          {"prefillPlannedTokensPerSecond", promise.prefill},
          {"prefillMicrobatches", timings.prefill_items},
          {"decodeMs", timings.decode_ms},
          {"decodeTokens", timings.decode_tokens},
          {"decodeTokensPerSecond", TokensPerSecond(timings.decode_tokens, timings.decode_ms)},
          {"decodePlannedTokensPerSecond", promise.decode},
          {"decodeGroups", timings.decode_groups},
          {"recoveries", timings.recoveries},
          {"rebuilds", timings.rebuilds},
          {"recoveryMs", timings.recovery_ms}};
}

std::string Dump(const nlohmann::json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace hetllm
