#include "engine/calibrate.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "engine/error.h"
#include "engine/interrupt.h"

namespace hetllm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kOutOfCache = uint64_t{96} << 20;  // weights of the measured layers together
constexpr size_t kMostLayers = 8;
constexpr double kRunMs = 30;       // one measured run of several micro-batches
constexpr double kLongestMs = 400;  // all runs of one kind and phase

// Layers [begin, begin + count) of one signature, and every layer that they stand for.
struct Kind {
  size_t begin = 0;
  size_t count = 1;
  std::vector<size_t> layers;
};

std::vector<Kind> FindKinds(const Model& model) {
  std::map<std::string, Kind> kinds;
  for (size_t layer = 0; layer < model.layer_count(); ++layer) {
    Kind& kind = kinds[model.LayerSignature(layer)];
    if (kind.layers.empty()) {
      kind.begin = layer;
    } else if (layer == kind.begin + kind.count) {
      ++kind.count;
    }
    kind.layers.push_back(layer);
  }
  std::vector<Kind> list;
  for (auto& [signature, kind] : kinds) {
    list.push_back(std::move(kind));
  }
  std::sort(list.begin(), list.end(),
            [](const Kind& a, const Kind& b) { return a.begin < b.begin; });
  return list;
}

Microbatch MakeBatch(const Phase& phase, const Limits& limits) {
  Microbatch batch;
  const uint32_t sequences = std::clamp<uint32_t>(phase.sequences, 1, limits.slots);
  const uint32_t rows = std::min(phase.rows, limits.rows);
  for (uint32_t row = 0; row < rows; ++row) {
    const uint32_t position = phase.position + row / sequences;
    batch.Add(1, static_cast<int32_t>(std::min(position, limits.context - 1)),
              static_cast<int32_t>(row % sequences), false);
  }
  const uint32_t wanted = std::min({phase.wanted, rows, limits.wanted});
  for (uint32_t i = 0; i < wanted; ++i) {
    batch.wanted.push_back(static_cast<int32_t>(rows - wanted + i));
  }
  return batch;
}

class Meter {
 public:
  Meter(const Model& model, const Slice& slice, const KernelSet& kernels, const Limits& limits)
      : model_(model),
        slice_(slice),
        kernels_(kernels),
        limits_(limits),
        virtual_time_(slice.lease.Can(HET_HAS_VIRTUAL_TIME)),
        queue_(slice.lease.CreateQueue()) {}

  // Milliseconds per layer of `kind` for each phase; kDoesNotFit when not even one layer fits.
  std::vector<double> Measure(const Kind& kind, const std::vector<Phase>& phases) {
    for (size_t count = LayersToMeasure(kind); count > 0; count /= 2) {
      try {
        return MeasureLayers(kind.begin, count, phases);
      } catch (const het::api::Error& error) {
        if (error.code() != HET_RESOURCE_EXHAUSTED) {
          throw;
        }
      }
    }
    return std::vector<double>(phases.size(), kDoesNotFit);
  }

 private:
  size_t LayersToMeasure(const Kind& kind) const {
    const het_lease_info info = slice_.lease.info();
    uint64_t room =
        info.memory_limit_bytes - std::min(info.memory_limit_bytes, info.memory_used_bytes);
    const uint64_t fixed = Stage::ScratchBytes(model_, limits_) +
                           HalfPanels::Bytes(model_, slice_.lease, kernels_, limits_.half_rows()) +
                           Stage::InputBytes(model_, kind.begin, limits_) +
                           Stage::OutputBytes(model_, kind.begin + 1, limits_);
    room -= std::min(room, fixed);
    const uint64_t layer = Stage::LayerBytes(model_, kind.begin, limits_);
    const uint64_t weights = std::max<uint64_t>(1, model_.WeightBytes(kind.begin));
    const uint64_t enough = std::max<uint64_t>(2, (kOutOfCache + weights - 1) / weights);
    return std::max<size_t>(1, std::min({kind.count, kMostLayers, static_cast<size_t>(enough),
                                         static_cast<size_t>(room / layer)}));
  }

  std::vector<double> MeasureLayers(size_t begin, size_t count, const std::vector<Phase>& phases) {
    Stage stage(model_, slice_.lease, kernels_, begin, begin + count, limits_);
    const het::api::Buffer input =
        slice_.lease.CreateBuffer(Stage::InputBytes(model_, begin, limits_));
    const het::api::Buffer output =
        slice_.lease.CreateBuffer(Stage::OutputBytes(model_, begin + count, limits_));
    queue_->Fill(input.get(), 0, input.bytes(), 0);
    std::vector<double> result;
    for (const Phase& phase : phases) {
      const double ms = phase.items > 0 ? MeasurePhase(stage, input, output, phase) : 0;
      const double share = stage.last() ? phase.wanted_share : 1;
      result.push_back(ms / static_cast<double>(count) * share);
    }
    queue_->Finish();
    return result;
  }

  double MeasurePhase(Stage& stage, const het::api::Buffer& input, const het::api::Buffer& output,
                      const Phase& phase) {
    const Microbatch batch = MakeBatch(phase, limits_);
    const auto run = [&](int times) {
      const auto begin = Clock::now();
      const uint64_t busy = queue_->busy_ns();
      for (int i = 0; i < times; ++i) {
        stage.Enqueue(queue_.view(), batch, input.get(), output.get());
      }
      queue_->Finish();
      const double wall = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
      const double ms = virtual_time_ ? static_cast<double>(queue_->busy_ns() - busy) * 1e-6 : wall;
      return ms / times;
    };
    run(1);  // first touch
    const double once = run(1);
    const int times = static_cast<int>(std::clamp(kRunMs / std::max(once, 1e-3), 1.0, 64.0));
    std::vector<double> runs;
    double spent = 0;
    while (runs.size() < 3 || (runs.size() < 7 && spent < kLongestMs)) {
      runs.push_back(run(times));
      spent += runs.back() * times;
      if (spent > 4 * kLongestMs) {
        break;  // a slow device: what there is must do
      }
    }
    std::nth_element(runs.begin(), runs.begin() + static_cast<long>(runs.size() / 2), runs.end());
    return runs[runs.size() / 2];
  }

  const Model& model_;
  const Slice& slice_;
  const KernelSet& kernels_;
  const Limits limits_;
  const bool virtual_time_;
  het::api::Queue queue_;
};

// Everything that the costs depend on, besides device model, driver and share, which the library
// adds.
std::string StoreKey(const Model& model, const Slice& slice, const KernelSet& kernels,
                     const Limits& limits, const Workload& workload) {
  const Shape& s = model.shape();
  std::string key = Cat("hetllm-2 ", kernels.form() == HET_FORM_NATIVE ? "native" : "portable", ' ',
                        limits.q8 ? "q8" : "f32", ' ', s.blocks, 'x', s.embd, 'x', s.ff, ' ',
                        s.heads, '/', s.kv_heads, 'x', s.head_dim, " v", s.vocab,
                        limits.greedy ? " greedy" : " logits", " c", limits.context);
  if (kernels.HasLibrary()) key += " library";
  if (limits.replay && slice.lease.Can(HET_CAN_REPLAY)) key += " replay";
  for (const Phase& phase : {workload.prefill, workload.decode}) {
    key += Cat(" r", phase.items > 0 ? phase.rows : 0, " w", phase.wanted, " p", phase.position,
               " s", phase.sequences, " h", static_cast<int>(phase.wanted_share * 100));
  }
  for (const Kind& kind : FindKinds(model)) {
    key += Cat(" | ", model.LayerSignature(kind.begin));
  }
  return key;
}

}  // namespace

LayerCosts Calibrate(const Model& model, const Slice& slice, const KernelSet& kernels,
                     const Limits& limits, const Workload& workload, bool use_stored) {
  const std::vector<Kind> kinds = FindKinds(model);
  const std::string key = StoreKey(model, slice, kernels, limits, workload);
  std::vector<double> values;
  if (use_stored) {
    values = slice.lease.LoadCalibration(key, kinds.size() * 2);
  }
  if (values.empty()) {
    Meter meter(model, slice, kernels, limits);
    for (const Kind& kind : kinds) {
      ThrowIfInterrupted();
      for (const double ms : meter.Measure(kind, {workload.prefill, workload.decode})) {
        values.push_back(ms);
      }
    }
    if (std::find(values.begin(), values.end(), kDoesNotFit) == values.end()) {
      slice.lease.StoreCalibration(key, values);
    }
  }
  LayerCosts costs;
  costs.prefill.resize(model.layer_count());
  costs.decode.resize(model.layer_count());
  for (size_t i = 0; i < kinds.size(); ++i) {
    for (const size_t layer : kinds[i].layers) {
      costs.prefill[layer] = values[2 * i];
      costs.decode[layer] = values[2 * i + 1];
    }
  }
  return costs;
}

}  // namespace hetllm
