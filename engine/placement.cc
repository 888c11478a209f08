#include "engine/placement.h"

#include <algorithm>

#include "engine/error.h"

namespace hetllm {
namespace {

constexpr uint64_t kSlack = 64 << 10;  // small buffers and rounding of the allocator

Prediction Predict(const std::vector<PlacedStage>& stages, const std::vector<LayerCosts>& costs,
                   std::vector<double> LayerCosts::*phase, const std::vector<double>& link_ms) {
  Prediction prediction;
  const size_t slices = costs.size();
  const auto add = [&](double ms) {
    prediction.bottleneck_ms = std::max(prediction.bottleneck_ms, ms);
    prediction.latency_ms += ms;
  };
  for (size_t i = 0; i < stages.size(); ++i) {
    const std::vector<double>& layers = costs[stages[i].slice].*phase;
    double ms = 0;
    for (size_t layer = stages[i].begin; layer < stages[i].end; ++layer) {
      ms += layers[layer];
    }
    add(ms);
    if (i > 0 && !link_ms.empty()) {
      add(link_ms[stages[i - 1].slice * slices + stages[i].slice]);
    }
  }
  return prediction;
}

}  // namespace

uint32_t MostInFlight(size_t slices) { return static_cast<uint32_t>(slices) + 2; }

uint64_t FixedBytes(const Model& model, const Limits& limits, size_t slices) {
  // Activations in and out of a stage in the middle; the first stage's input (token ids) is
  // smaller.
  const uint64_t channel = Stage::InputBytes(model, 1, limits);
  return Stage::ScratchBytes(model, limits) + MostInFlight(slices) * 2 * channel + kSlack;
}

uint64_t PlannedLayerBytes(const Model& model, size_t layer, const Limits& limits, size_t slices) {
  uint64_t bytes = Stage::LayerBytes(model, layer, limits);
  if (layer == model.head_layer()) {
    const uint64_t out = Stage::OutputBytes(model, model.layer_count(), limits);
    const uint64_t channel = Stage::InputBytes(model, 1, limits);
    bytes += MostInFlight(slices) * (out - std::min(out, channel));
  }
  return bytes;
}

uint64_t WholeModelBytes(const Model& model, const Limits& limits, size_t slices) {
  uint64_t bytes = FixedBytes(model, limits, slices);
  bytes += HalfPanels::MostBytes(model, limits.half_rows());
  for (size_t layer = 0; layer < model.layer_count(); ++layer) {
    bytes += PlannedLayerBytes(model, layer, limits, slices);
  }
  return bytes;
}

namespace {

// The planner's choice.
Placement Search(const PlacementInputs& inputs) {
  const Model& model = *inputs.model;
  const size_t slices = inputs.slice_memory.size();
  const size_t layers = model.layer_count();
  const double prefill = inputs.workload.prefill.items;
  const double decode = inputs.workload.decode.items;
  const double all = std::max(prefill + decode, 1e-9);

  std::vector<uint64_t> layer_bytes, memory;
  std::vector<double> layer_ms, link_ms;
  for (size_t layer = 0; layer < layers; ++layer) {
    layer_bytes.push_back(PlannedLayerBytes(model, layer, inputs.limits, slices));
  }
  const uint64_t fixed = FixedBytes(model, inputs.limits, slices);
  for (size_t s = 0; s < slices; ++s) {
    memory.push_back(inputs.slice_memory[s] - std::min(inputs.slice_memory[s], fixed));
    for (size_t layer = 0; layer < layers; ++layer) {
      layer_ms.push_back(
          (prefill * inputs.costs[s].prefill[layer] + decode * inputs.costs[s].decode[layer]) /
          all);
    }
  }
  for (size_t i = 0; i < inputs.prefill_link_ms.size(); ++i) {
    link_ms.push_back((prefill * inputs.prefill_link_ms[i] + decode * inputs.decode_link_ms[i]) /
                      all);
  }

  het::api::PlanProblem problem;
  problem.layer_bytes = layer_bytes;
  problem.slice_memory_bytes = memory;
  problem.layer_ms = layer_ms;
  problem.link_ms = link_ms;
  problem.objective = inputs.objective;
  try {
    const het::api::Plan plan = het::api::Plan::Make(problem);
    Placement placement;
    for (const het_plan_stage& stage : plan.stages()) {
      placement.stages.push_back({stage.slice, stage.begin, stage.end});
    }
    placement.optimal = plan->optimal != 0;
    placement.in_flight = plan->in_flight;
    return placement;
  } catch (const het::api::Error& error) {
    if (error.code() != HET_RESOURCE_EXHAUSTED) {
      throw;
    }
    throw Error(Cat("the model does not fit the slices: ", error.what(),
                    ". The layers hold the KV "
                    "cache of ",
                    inputs.limits.slots, " sequence(s) of ", inputs.limits.context,
                    " tokens; each slice keeps ", FormatBytes(fixed),
                    " for activations. "
                    "A lower --context takes less"),
                Exit::kNoCapacity);
  }
}

// The user's choice.
Placement TakeSplit(const PlacementInputs& inputs) {
  const size_t layers = inputs.model->layer_count();
  Placement placement;
  size_t at = 0;
  for (size_t slice = 0; slice < inputs.split.size(); ++slice) {
    if (inputs.split[slice] > 0) {
      placement.stages.push_back({slice, at, at + inputs.split[slice]});
      at += inputs.split[slice];
    }
  }
  if (at != layers || inputs.split.size() != inputs.slice_memory.size()) {
    throw Error(Cat("--split gives ", at, " layers to ", inputs.split.size(),
                    " slices; the model has ", layers, " (embedding, ", layers - 2,
                    " blocks, head) and there are ", inputs.slice_memory.size(), " slices"),
                Exit::kUsage);
  }
  return placement;
}

}  // namespace

Placement MakePlacement(const PlacementInputs& inputs) {
  Placement placement = inputs.split.empty() ? Search(inputs) : TakeSplit(inputs);
  placement.prefill =
      Predict(placement.stages, inputs.costs, &LayerCosts::prefill, inputs.prefill_link_ms);
  placement.decode =
      Predict(placement.stages, inputs.costs, &LayerCosts::decode, inputs.decode_link_ms);
  // One more than the stages, so that a transfer can run beside every stage.
  const auto least = static_cast<uint32_t>(placement.stages.size()) + 1;
  placement.in_flight =
      std::clamp(placement.in_flight, least, MostInFlight(inputs.slice_memory.size()));
  return placement;
}

}  // namespace hetllm
