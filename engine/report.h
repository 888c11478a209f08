// Report: what a run did, as a table for people and as JSON for programs.
//
// Pure functions of the engine's and the generator's figures.
#ifndef HET_ENGINE_REPORT_H_
#define HET_ENGINE_REPORT_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/generator.h"

namespace hetllm {

// Tokens per second that the plan promises for prefill and decode of these timings; 0 where nothing
// was measured.
struct Promise {
  double prefill = 0;
  double decode = 0;
};
Promise PromiseOf(const Engine& engine, const Timings& timings, uint32_t sequences);

double TokensPerSecond(uint64_t tokens, double ms);

// Per stage: slice, layers, memory used of quota, busy share, transfer time; then throughput,
// planned and achieved.
std::string RunTable(const Engine& engine, const std::vector<StageReport>& stages,
                     const Timings& timings, uint32_t sequences);
nlohmann::json StagesJson(const std::vector<StageReport>& stages);
nlohmann::json PlanJson(const Engine& engine);
nlohmann::json TimingsJson(const Engine& engine, const Timings& timings, uint32_t sequences);

// JSON as text; bytes that are no UTF-8 become U+FFFD.
std::string Dump(const nlohmann::json& json);

}  // namespace hetllm

#endif  // HET_ENGINE_REPORT_H_
