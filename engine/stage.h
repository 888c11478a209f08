// Stage: a run of pipeline layers [begin, end) of a model on one lease: weights, KV cache, scratch
// memory, and the function that enqueues one micro-batch.
//
// Input: token ids int32[rows] for the stage with layer 0, else activations f32[rows][embd].
// Output: activations, or of the stage with the head the logits f32[wanted][vocab], or
// int32[wanted] with Limits::greedy.
//
// Owns its buffers; the lease, the kernels and the model must outlive it. Enqueue is called by one
// thread at a time, items in order, always with the same queue: order on the queue is what keeps
// scratch and cache right, nothing waits. The input and output buffers outlive the stage: where the
// device can replay recorded work, steps of few rows are (step_recordings.h). Errors are
// het::api::Error; the constructor fails with ResourceExhausted when the lease's quota is too
// small.
#ifndef HET_ENGINE_STAGE_H_
#define HET_ENGINE_STAGE_H_

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "engine/half_panels.h"
#include "engine/kernel_set.h"
#include "engine/microbatch.h"
#include "engine/model.h"
#include "engine/step_recordings.h"
#include "engine/weights.h"
#include "het/het.hpp"

namespace hetllm {

// How large the batches of a run get; equal for all stages.
struct Limits {
  uint32_t rows = 1;     // of a micro-batch
  uint32_t wanted = 1;   // rows of a micro-batch whose logits are wanted
  uint32_t slots = 1;    // sequences in the KV cache
  uint32_t context = 1;  // tokens of a sequence
  bool greedy = false;   // the last stage gives the best token instead of the logits
  bool q8 = false;       // activations in 8 bits, or halves, where the device has the kernels
  bool library = true;   // products of many rows are the vendor's library's where there is one
  bool replay = true;    // steps of few rows are recorded and replayed where the device can

  // Rows whose products may be the library's by way of halves: none where activations are exact.
  uint32_t half_rows() const { return q8 && library ? rows : 0; }
};

// The keys and values of one block.
struct LayerCache {
  het::api::Buffer buffer;
  uint64_t values;  // offset of the V half
};
using LayerCaches = std::map<size_t, LayerCache>;  // by pipeline layer

class Stage {
 public:
  // Caches of its layers that an earlier stage on the same lease had, under the same limits, are
  // used as they are; the others are new.
  Stage(const Model& model, const het::api::Lease& lease, const KernelSet& kernels, size_t begin,
        size_t end, const Limits& limits, const LoadProgress& progress = nullptr,
        LayerCaches kept = {});

  size_t begin() const { return begin_; }
  size_t end() const { return end_; }
  bool first() const { return begin_ == 0; }
  bool last() const { return end_ == model_.layer_count(); }
  bool in_place() const { return weights_.in_place(); }

  // Returns the bytes of output that the queued work will write. `keep`, when not null, gets the
  // input of a stage that is not the first, f32[rows][embd].
  uint64_t Enqueue(het::api::QueueView queue, const Microbatch& batch, het_buffer* input,
                   het_buffer* output, float* keep = nullptr);
  // Layers [from, to) of the stage alone, in place on x f32[rows][embd]; where the embedding is
  // among them from `tokens` int32[rows]. The head is passed over.
  void EnqueueBlocks(het::api::QueueView queue, const Microbatch& batch, size_t from, size_t to,
                     het_buffer* tokens, het_buffer* x) {
    Upload(queue, batch);
    RunLayers(queue, batch, from, to, tokens, {x, 0});
  }

  // The layers whose caches began empty, ascending.
  const std::vector<size_t>& new_caches() const { return new_caches_; }
  // Takes the caches away; the stage computes nothing after that.
  LayerCaches TakeCaches() {
    recordings_.reset();
    return std::move(caches_);
  }

  // Memory, for the planner. What a layer takes on any slice: weights, cache, and for the head its
  // scratch.
  static uint64_t LayerBytes(const Model& model, size_t layer, const Limits& limits);
  // What a slice with any block takes beside its layers; and HalfPanels::Bytes.
  static uint64_t ScratchBytes(const Model& model, const Limits& limits);
  static uint64_t InputBytes(const Model& model, size_t begin, const Limits& limits);
  static uint64_t OutputBytes(const Model& model, size_t end, const Limits& limits);

 private:
  // What differs from step to step, from the batch into device memory.
  void Upload(het::api::QueueView queue, const Microbatch& batch);
  void RunLayers(het::api::QueueView queue, const Microbatch& batch, size_t from, size_t to,
                 het_buffer* tokens, Place x);
  void RunBlock(het::api::QueueView queue, const Microbatch& batch, size_t layer, Place x);
  void Attend(het::api::QueueView queue, const Microbatch& batch,
              const KernelSet::AttentionPlaces& at);
  void RunHead(het::api::QueueView queue, const Microbatch& batch, Place x, Place output);
  // How a product reads its input x: as it is; rounded to halves on the way; as halves, by the
  // vendor's library; as 8 bits.
  enum class Takes { kF32, kHalf, kPanels, kQ8 };
  Takes TakesOf(WeightType type, uint32_t rows) const;
  // y (+)= W x; W is n_out rows of n_in.
  struct Product {
    WeightType type;
    Takes takes;
    uint32_t n_in, n_out;
    Place w, y;
    // True when the matrix and, of one row, the result of `next` begin where those of this end.
    bool IsBefore(const Product& next) const;
  };
  using Products = std::vector<Product>;
  static bool AllTakeQ8(const Products& products);
  // The products of one input with `matrices`, each with where its result goes. With one row,
  // neighbours of one type whose matrices and results lie back to back are one product.
  Products ProductsOf(uint32_t rows,
                      std::initializer_list<std::pair<const GgufTensor*, Place>> matrices) const;
  // What products read. Where all of them take 8 bits, the step before them leaves no other.
  struct Input {
    Place f32;
    bool in_q8 = false;  // at q8_
  };
  // rmsnorm of x, at y where it is f32.
  Input Normed(het::api::QueueView queue, uint32_t rows, Place x, const GgufTensor& weight, Place y,
               const Products& readers);
  // silu(gate) * up, in place of the gate where it is f32.
  Input Gated(het::api::QueueView queue, uint32_t rows, Place gate, Place up,
              const Products& readers);
  void Multiply(het::api::QueueView queue, uint32_t rows, Input input, const Products& products,
                bool accumulate);
  // Where the model has them.
  void AddBias(het::api::QueueView queue, uint32_t rows, Place y, const GgufTensor* bias);
  void NormHeads(het::api::QueueView queue, uint32_t rows, uint32_t heads, Place x,
                 const GgufTensor* norm);
  // Turns the heads of x by the rows' positions.
  void Rotate(het::api::QueueView queue, uint32_t rows, uint32_t heads, Place x);

  const Model& model_;
  const KernelSet& kernels_;
  const size_t begin_;
  const size_t end_;
  const Limits limits_;
  Weights weights_;
  HalfPanels panels_;
  LayerCaches caches_;
  std::vector<size_t> new_caches_;
  het::api::Buffer scratch_;
  // Inside scratch_. What one input gives is one part, cut by the rows of the batch at hand: of one
  // row, q, k and v lie back to back.
  Place x_{}, normed_{}, qkv_{}, mixed_{}, gate_up_{}, q8_{}, positions_{}, slots_{}, wanted_{},
      gathered_{}, logits_{}, frequencies_{};
  bool frequencies_written_ = false;
  std::optional<StepRecordings> recordings_;
};

}  // namespace hetllm

#endif  // HET_ENGINE_STAGE_H_
