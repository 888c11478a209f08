#include "engine/engine.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "engine/error.h"
#include "engine/rebuild.h"

namespace hetllm {
namespace {

// A slice that cannot compute this run: timing-mode devices move no data.
void RefuseNoData(const Slice& slice) {
  if (slice.lease.Can(HET_HAS_NO_DATA)) {
    throw Error(Cat("slice '", slice.name,
                    "' simulates time only and computes nothing; use its functional mode or "
                    "another device"),
                Exit::kUsage);
  }
}

// A lost device fails every call.
bool IsLost(const Slice& slice) {
  try {
    slice.lease.CreateBuffer(64);
    return false;
  } catch (const het::api::Error& error) {
    return error.code() == HET_DATA_LOSS;
  }
}

}  // namespace

Engine::Engine(const het::api::Session& session, const Model& model, std::vector<Slice> slices,
               EngineOptions options)
    : session_(session),
      model_(model),
      options_(std::move(options)),
      kept_inputs_(model.shape().embd) {
  const uint64_t widest = uint64_t{options_.limits.rows} *
                          std::max({model.shape().ff, model.shape().q_dim(), model.shape().embd});
  if (widest >= uint64_t{1} << 31) {
    throw Error(
        Cat("micro-batches of ", options_.limits.rows, " rows are too large for this model"),
        Exit::kUsage);
  }
  bool q8_missing = false;
  for (Slice& slice : slices) {
    RefuseNoData(slice);
    slices_.push_back(std::make_unique<Slice>(std::move(slice)));
    kernels_.push_back(std::make_unique<KernelSet>(slices_.back()->lease, options_.limits.library));
    if (options_.limits.q8 && !kernels_.back()->HasQ8(WeightType::kQ8_0)) {
      q8_missing = true;
      if (options_.note) {
        options_.note(Cat("slice '", slices_.back()->name,
                          "' has no kernels for q8 activations; it uses f32"));
      }
    }
  }
  if (options_.limits.q8 && !q8_missing && !model.CanUseQ8() && options_.note) {
    options_.note("the model has no quantised matrices; activations stay f32");
  }
  costs_.resize(slices_.size());
  StartOn(false, "", {});
}

void Engine::Calibrate() {
  for (size_t i = 0; i < slices_.size(); ++i) {
    if (slices_.size() == 1 && costs_[i].prefill.empty()) {
      // Nothing to choose: equal costs will do.
      costs_[i].prefill.resize(model_.layer_count());
      costs_[i].decode.resize(model_.layer_count());
      return;
    }
    if (!costs_[i].prefill.empty()) {
      continue;  // known from before
    }
    costs_[i] = hetllm::Calibrate(model_, *slices_[i], *kernels_[i], options_.limits,
                                  options_.workload, options_.use_stored_costs);
  }
}

Engine::~Engine() = default;

void Engine::MeasureLinks(PlacementInputs& inputs) const {
  const size_t count = slices_.size();
  const uint64_t row = uint64_t{model_.shape().embd} * sizeof(float);
  for (size_t from = 0; from < count; ++from) {
    for (size_t to = 0; to < count; ++to) {
      const auto measure = [&](const Phase& phase) {
        const uint64_t bytes = std::min(phase.rows, options_.limits.rows) * row;
        return from == to || phase.items == 0
                   ? 0.0
                   : het::api::MeasureLink(slices_[from]->lease, slices_[to]->lease, bytes);
      };
      inputs.prefill_link_ms.push_back(measure(options_.workload.prefill));
      inputs.decode_link_ms.push_back(measure(options_.workload.decode));
    }
  }
}

PlacementInputs Engine::Inputs() const {
  PlacementInputs inputs;
  inputs.model = &model_;
  inputs.limits = options_.limits;
  inputs.workload = options_.workload;
  inputs.costs = costs_;
  inputs.objective = options_.objective;
  inputs.split = options_.split;
  for (size_t i = 0; i < slices_.size(); ++i) {
    const het_lease_info info = slices_[i]->lease.info();
    const uint64_t taken =
        info.memory_used_bytes +
        HalfPanels::Bytes(model_, slices_[i]->lease, *kernels_[i], options_.limits.half_rows());
    inputs.slice_memory.push_back(info.memory_limit_bytes -
                                  std::min(info.memory_limit_bytes, taken));
  }
  MeasureLinks(inputs);
  return inputs;
}

void Engine::PlanLosses(const PlacementInputs& inputs) {
  loss_plans_.clear();
  std::set<std::string> devices;
  for (const auto& slice : slices_) {
    devices.insert(slice->device);
  }
  const size_t count = slices_.size();
  for (const std::string& lost : devices) {
    LossPlan plan;
    plan.inputs = inputs;
    plan.inputs.split.clear();
    plan.inputs.slice_memory.clear();
    plan.inputs.costs.clear();
    plan.inputs.prefill_link_ms.clear();
    plan.inputs.decode_link_ms.clear();
    for (size_t from = 0; from < count; ++from) {
      if (slices_[from]->device == lost) {
        continue;
      }
      plan.left.push_back(slices_[from].get());
      plan.inputs.slice_memory.push_back(inputs.slice_memory[from]);
      plan.inputs.costs.push_back(inputs.costs[from]);
      for (size_t to = 0; to < count; ++to) {
        if (slices_[to]->device != lost) {
          plan.inputs.prefill_link_ms.push_back(inputs.prefill_link_ms[from * count + to]);
          plan.inputs.decode_link_ms.push_back(inputs.decode_link_ms[from * count + to]);
        }
      }
    }
    if (plan.left.empty()) {
      continue;
    }
    try {
      plan.placement = MakePlacement(plan.inputs);
      loss_plans_.push_back(std::move(plan));
    } catch (const Error&) {  // the rest is too small: said when it happens
    }
  }
}

const Engine::LossPlan* Engine::FindLossPlan() const {
  for (const LossPlan& plan : loss_plans_) {
    if (std::equal(plan.left.begin(), plan.left.end(), slices_.begin(), slices_.end(),
                   [](const Slice* a, const std::unique_ptr<Slice>& b) { return a == b.get(); })) {
      return &plan;
    }
  }
  return nullptr;
}

std::vector<LayerCaches> Engine::SortCaches() {
  std::vector<LayerCaches> caches(placement_.stages.size());
  for (size_t i = 0; i < placement_.stages.size(); ++i) {
    const PlacedStage& placed = placement_.stages[i];
    LayerCaches& kept = kept_caches_[slices_[placed.slice].get()];
    for (auto at = kept.lower_bound(placed.begin); at != kept.end() && at->first < placed.end;) {
      caches[i].insert(kept.extract(at++));
    }
  }
  kept_caches_.clear();
  return caches;
}

void Engine::Start(const CachedTokens& cached) {
  PlacementInputs inputs;
  if (const LossPlan* plan = FindLossPlan()) {
    inputs = plan->inputs;
    placement_ = plan->placement;
  } else {
    kept_caches_.clear();  // they would be in the way of what is planned now
    inputs = Inputs();
    placement_ = MakePlacement(inputs);
  }
  std::vector<LayerCaches> caches = SortCaches();
  const bool rebuild = std::any_of(caches.begin(), caches.end(),
                                   [](const LayerCaches& of_stage) { return !of_stage.empty(); });

  uint64_t all = 0;
  uint64_t done = 0;
  for (size_t layer = 0; layer < model_.layer_count(); ++layer) {
    all += model_.WeightBytes(layer);
  }
  const LoadProgress progress = [&](uint64_t bytes) {
    done += bytes;
    if (options_.progress) {
      options_.progress(std::min(done, all), all);
    }
  };
  std::vector<het::api::Stage> pipeline;
  std::vector<RebuildStage> rebuilding;
  std::vector<size_t> boundaries;
  for (size_t i = 0; i < placement_.stages.size(); ++i) {
    const PlacedStage& placed = placement_.stages[i];
    const Slice& slice = *slices_[placed.slice];
    stages_.push_back(std::make_unique<Stage>(model_, slice.lease, *kernels_[placed.slice],
                                              placed.begin, placed.end, options_.limits, progress,
                                              std::move(caches[i])));
    Stage* stage = stages_.back().get();
    rebuilding.push_back({stage, &slice.lease});
    if (i > 0) {
      boundaries.push_back(placed.begin);
    }
    het::api::Stage entry;
    entry.name = slice.name;
    entry.lease = &slice.lease;
    entry.output_capacity = Stage::OutputBytes(model_, placed.end, options_.limits);
    entry.run = [stage, i](het_stage_call& call) {
      auto& batch = *static_cast<Microbatch*>(call.item_data);
      float* keep = i == 0 || batch.inputs.empty() ? nullptr : batch.inputs[i - 1].data();
      call.output_bytes =
          stage->Enqueue(het::api::QueueView(call.queue), batch, call.input, call.output, keep);
    };
    pipeline.push_back(std::move(entry));
  }
  if (options_.progress) {
    options_.progress(all, all);
  }
  // Before the pipeline, whose channels take the memory that this needs.
  kept_inputs_.AddBoundaries(boundaries);
  rebuilt_ = rebuild;
  if (rebuild) {
    const size_t layers =
        Rebuild(rebuilding, options_.limits, model_.shape().embd, cached, kept_inputs_);
    if (options_.note) {
      options_.note(Cat("the keys of ", layers, layers == 1 ? " layer" : " layers",
                        " were computed again from kept inputs"));
    }
  }
  kept_inputs_.ForgetOthers(boundaries);
  pipeline_ =
      het::api::Pipeline(session_, std::move(pipeline),
                         Stage::InputBytes(model_, 0, options_.limits), placement_.in_flight);
  PlanLosses(inputs);
  keeping_ = options_.keep_inputs && !boundaries.empty() && !loss_plans_.empty();
}

void Engine::Submit(Microbatch& batch, Done done) {
  const size_t wanted = batch.wanted.size();
  het::api::Item item;
  item.data = &batch;
  item.input = batch.tokens.data();
  item.input_bytes = batch.tokens.size() * sizeof(int32_t);
  if (options_.limits.greedy) {
    batch.choices.resize(wanted);
    item.output = batch.choices.data();
    item.output_capacity = wanted * sizeof(int32_t);
  } else {
    batch.logits.resize(wanted * model_.shape().vocab);
    item.output = batch.logits.data();
    item.output_capacity = batch.logits.size() * sizeof(float);
  }
  if (wanted == 0) {
    item.output = nullptr;
  }
  batch.inputs.resize(keeping_ ? stages_.size() - 1 : 0);
  for (std::vector<float>& inputs : batch.inputs) {
    inputs.resize(batch.tokens.size() * model_.shape().embd);
  }
  item.done = [done = std::move(done)](uint64_t, const het::api::Error* error, uint64_t) {
    done(error);
  };
  pipeline_.Submit(std::move(item));
}

void Engine::Run(Microbatch& batch) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::optional<het::api::Error> failure;
  Submit(batch, [&](const het::api::Error* error) {
    const std::scoped_lock lock(mutex);
    if (error != nullptr) {
      failure = *error;
    }
    done = true;
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return done; });
  if (failure) {
    throw *failure;
  }
}

void Engine::Keep(const Microbatch& batch) { kept_inputs_.Keep(batch); }

std::vector<StageReport> Engine::Report() const {
  std::vector<StageReport> reports;
  for (size_t i = 0; i < placement_.stages.size(); ++i) {
    const PlacedStage& placed = placement_.stages[i];
    const Slice& slice = *slices_[placed.slice];
    const het_lease_info info = slice.lease.info();
    const het_stage_stats stats = pipeline_.Stats(i);
    StageReport report;
    report.slice = slice.name;
    report.device = slice.device;
    report.begin = placed.begin;
    report.end = placed.end;
    report.native = kernels_[placed.slice]->form() == HET_FORM_NATIVE;
    report.in_place = stages_[i]->in_place();
    report.memory_used = info.memory_used_bytes;
    report.memory_peak = info.memory_peak_bytes;
    report.memory_limit = info.memory_limit_bytes;
    report.items = stats.items;
    report.busy_ms = static_cast<double>(stats.busy_ns) * 1e-6;
    report.transfer_ms = static_cast<double>(stats.transfer_ns) * 1e-6;
    report.elapsed_ms = static_cast<double>(stats.elapsed_ns) * 1e-6;
    reports.push_back(report);
  }
  return reports;
}

void Engine::ResetStats() { pipeline_.ResetStats(); }

// Gives back every slice of `device` (of a lost one all slices are lost) and every other one that
// says it is lost.
void Engine::DropLost(const std::string& device) {
  std::vector<std::string> names;
  for (size_t i = slices_.size(); i-- > 0;) {
    if (slices_[i]->device != device && !IsLost(*slices_[i])) {
      continue;
    }
    names.push_back(slices_[i]->name);
    const auto at = static_cast<std::ptrdiff_t>(i);
    kernels_.erase(kernels_.begin() + at);
    costs_.erase(costs_.begin() + at);
    kept_caches_.erase(slices_[i].get());
    slices_.erase(slices_.begin() + at);
  }
  if (names.empty()) {
    throw Error("work was lost, but every slice says that its device is well; giving up");
  }
  for (const std::string& name : names) {
    if (slices_.empty()) {
      throw Error(Cat("slice '", name, "' was lost and there is no other to go on with"),
                  Exit::kNoCapacity);
    }
    if (options_.note) {
      options_.note(Cat("slice '", name, "' was lost; going on with ", slices_.size(),
                        slices_.size() == 1 ? " slice" : " slices"));
    }
  }
}

bool Engine::Recover(const CachedTokens& cached) {
  const int failed = pipeline_ ? pipeline_.failed_stage() : -1;
  std::string device;
  if (failed >= 0) {
    device = slices_[placement_.stages[static_cast<size_t>(failed)].slice]->device;
  }
  StartOn(true, device, cached);
  return rebuilt_;
}

void Engine::StartOn(bool lost, std::string device, const CachedTokens& cached) {
  const bool anything =
      std::any_of(cached.begin(), cached.end(), [](const auto& tokens) { return !tokens.empty(); });
  bool keep = keeping_ && anything;
  for (;;) {
    pipeline_ = het::api::Pipeline();
    for (size_t i = 0; keep && i < stages_.size(); ++i) {
      kept_caches_[slices_[placement_.stages[i].slice].get()].merge(stages_[i]->TakeCaches());
    }
    stages_.clear();
    if (lost) {
      DropLost(device);
      options_.split.clear();
    }
    try {
      Calibrate();
      Start(cached);
      return;
    } catch (const het::api::Error& error) {
      if (error.code() != HET_DATA_LOSS) {
        throw;
      }
      lost = true;  // one more, while starting: it says so itself
      keep = false;
      device.clear();
    }
  }
}

}  // namespace hetllm
