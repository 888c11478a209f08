// Engine: a model placed over slices, ready to run micro-batches.
//
// Owns the slices, the kernels on each, the stages and the pipeline. Submit may be called from one
// thread; `done` is called once per micro-batch on a thread of the library and must be short. When
// a device was lost every micro-batch in flight fails with HET_DATA_LOSS: wait for all of them,
// then call Recover, which places the model over the slices that are left, as was planned for that
// loss when the engine started, and fills the KV cache of the lost layers from the inputs that
// their stages got; where that cannot be, the KV cache is empty after it. Errors: Error and
// het::api::Error.
#ifndef HET_ENGINE_ENGINE_H_
#define HET_ENGINE_ENGINE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/calibrate.h"
#include "engine/kept_inputs.h"
#include "engine/kernel_set.h"
#include "engine/microbatch.h"
#include "engine/model.h"
#include "engine/placement.h"
#include "engine/slices.h"
#include "engine/stage.h"
#include "het/het.hpp"

namespace hetllm {

struct EngineOptions {
  Limits limits;
  Workload workload;
  het_objective objective = HET_THROUGHPUT;
  bool use_stored_costs = true;
  bool keep_inputs = true;    // of the stages, in host memory, for Recover
  std::vector<size_t> split;  // layers per slice instead of a plan; until a slice is lost
  // Notes for the user ("q8 not possible here"), and loading progress over all weights.
  std::function<void(const std::string&)> note;
  std::function<void(uint64_t done, uint64_t all)> progress;
};

// What happened on one stage since the last ResetStats.
struct StageReport {
  std::string slice;
  std::string device;
  size_t begin = 0;
  size_t end = 0;
  bool native = false;
  bool in_place = false;  // weights are used where the file is mapped
  uint64_t memory_used = 0;
  uint64_t memory_peak = 0;
  uint64_t memory_limit = 0;
  uint64_t items = 0;
  double busy_ms = 0;
  double transfer_ms = 0;
  double elapsed_ms = 0;
};

class Engine {
 public:
  Engine(const het::api::Session& session, const Model& model, std::vector<Slice> slices,
         EngineOptions options);
  ~Engine();

  using Done = std::function<void(const het::api::Error* error)>;
  // `batch` stays valid and unchanged until `done`. Its logits or choices are filled then.
  void Submit(Microbatch& batch, Done done);
  // Submits one and waits for it.
  void Run(Microbatch& batch);
  // To be called with every micro-batch that is done and whose rows stay in the KV cache.
  void Keep(const Microbatch& batch);

  const Model& model() const { return model_; }
  const EngineOptions& options() const { return options_; }
  const Placement& placement() const { return placement_; }
  const std::vector<std::unique_ptr<Slice>>& slices() const { return slices_; }

  std::vector<StageReport> Report() const;
  void ResetStats();

  // The progress function is not called any more (its bar is gone).
  void ForgetProgress() { options_.progress = nullptr; }

  // Gives the lost slice back and starts again on the others. `cached`: the tokens of micro-batches
  // that were done, per place of the KV cache. Returns whether the cache holds them again; else it
  // is empty. Error when nothing is left or the model does not fit.
  bool Recover(const CachedTokens& cached);

 private:
  void Calibrate();
  void Start(const CachedTokens& cached);
  // The caches that the slices which are left can go on with, for the stages of placement_.
  std::vector<LayerCaches> SortCaches();
  void DropLost(const std::string& device);
  // Calibrates, plans and loads on the slices there are; `lost`: but first without those of
  // `device` and the lost ones. Tries to have `cached` in the KV cache.
  void StartOn(bool lost, std::string device, const CachedTokens& cached);
  void MeasureLinks(PlacementInputs& inputs) const;
  PlacementInputs Inputs() const;
  // What to do when every slice of a device is gone; nothing for a loss that leaves too little.
  void PlanLosses(const PlacementInputs& inputs);
  struct LossPlan {
    std::vector<const Slice*> left;
    PlacementInputs inputs;
    Placement placement;
  };
  // The plan for exactly the slices there are now.
  const LossPlan* FindLossPlan() const;

  const het::api::Session& session_;
  const Model& model_;
  EngineOptions options_;
  // Parallel, one per slice.
  std::vector<std::unique_ptr<Slice>> slices_;
  std::vector<std::unique_ptr<KernelSet>> kernels_;
  std::vector<LayerCosts> costs_;
  Placement placement_;
  std::vector<LossPlan> loss_plans_;  // one per device
  // While it recovers: what stages of before had on slices that are left.
  std::map<const Slice*, LayerCaches> kept_caches_;
  KeptInputs kept_inputs_;
  bool keeping_ = false;
  bool rebuilt_ = false;
  std::vector<std::unique_ptr<Stage>> stages_;
  het::api::Pipeline pipeline_;  // goes before the stages that it calls
};

}  // namespace hetllm

#endif  // HET_ENGINE_ENGINE_H_
