// Calibration: what a pipeline layer costs on a slice, measured there.
//
// Per slice, kind of layer (embedding, block, head, apart by weight types) and phase (prefill,
// decode) a short stage of real layers runs a few micro-batches of the size the run will use; the
// median of the time per layer counts. Blocks are measured several at a time, so that weights come
// from memory and not from the cache of the run before. Results are kept per device model, share,
// kernels and shape (het_calibration_store) and found again. Runs on the calling thread; uses the
// slice alone and gives its memory back. Errors: het::api::Error; a layer that does not fit a slice
// is no error (see kDoesNotFit).
#ifndef HET_ENGINE_CALIBRATE_H_
#define HET_ENGINE_CALIBRATE_H_

#include <cstdint>
#include <vector>

#include "engine/kernel_set.h"
#include "engine/model.h"
#include "engine/slices.h"
#include "engine/stage.h"

namespace hetllm {

// The micro-batches of one phase of a run.
struct Phase {
  uint32_t rows = 1;        // of one micro-batch
  uint32_t wanted = 1;      // rows with logits, where there are any
  double wanted_share = 1;  // share of the micro-batches that have some
  uint32_t position = 0;    // typical place in the sequence
  uint32_t sequences = 1;   // in one micro-batch
  double items = 0;         // micro-batches in the run; 0: this phase is not planned for
};

struct Workload {
  Phase prefill;
  Phase decode;
};

// Milliseconds of every layer of the model.
struct LayerCosts {
  std::vector<double> prefill;
  std::vector<double> decode;
};

// Stands for a layer that the slice's quota cannot hold; the planner's memory limit keeps it away
// as well.
constexpr double kDoesNotFit = 1e9;

LayerCosts Calibrate(const Model& model, const Slice& slice, const KernelSet& kernels,
                     const Limits& limits, const Workload& workload, bool use_stored);

}  // namespace hetllm

#endif  // HET_ENGINE_CALIBRATE_H_
