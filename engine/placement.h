// Placement: which layers run on which slice, and what that should cost.
//
// A pure function of measured costs and memory limits (the library's planner does the search).
// Predictions are for the steady state: a micro-batch leaves every `bottleneck_ms`, one alone takes
// `latency_ms`.
#ifndef HET_ENGINE_PLACEMENT_H_
#define HET_ENGINE_PLACEMENT_H_

#include <cstdint>
#include <vector>

#include "engine/calibrate.h"
#include "engine/model.h"
#include "engine/stage.h"

namespace hetllm {

struct PlacedStage {
  size_t slice = 0;
  size_t begin = 0;  // layers [begin, end)
  size_t end = 0;
};

struct Prediction {
  double bottleneck_ms = 0;
  double latency_ms = 0;
};

struct Placement {
  std::vector<PlacedStage> stages;  // in pipeline order
  Prediction prefill;
  Prediction decode;
  bool optimal = false;
  uint32_t in_flight = 1;  // micro-batches that the pipeline holds
};

struct PlacementInputs {
  const Model* model = nullptr;
  Limits limits;
  Workload workload;
  std::vector<uint64_t> slice_memory;   // bytes each slice has for this run
  std::vector<LayerCosts> costs;        // per slice
  std::vector<double> prefill_link_ms;  // [from][to]
  std::vector<double> decode_link_ms;
  het_objective objective = HET_THROUGHPUT;
  // Layers per slice, in order, instead of a plan; empty: plan.
  std::vector<size_t> split;
};

// Most micro-batches that a pipeline over so many slices holds: what channel memory is set aside
// for.
uint32_t MostInFlight(size_t slices);
// What a slice holds beside layers: scratch and channels.
uint64_t FixedBytes(const Model& model, const Limits& limits, size_t slices);
// What a layer takes on its slice: Stage::LayerBytes, and for the head the channels of the results.
uint64_t PlannedLayerBytes(const Model& model, size_t layer, const Limits& limits, size_t slices);
// Everything a slice needs to hold the whole model alone.
uint64_t WholeModelBytes(const Model& model, const Limits& limits, size_t slices);

// Throws Error (usage) for a split that is none of the model's layers, and (no capacity) when the
// model does not fit: what is short, and what would work.
Placement MakePlacement(const PlacementInputs& inputs);

}  // namespace hetllm

#endif  // HET_ENGINE_PLACEMENT_H_
