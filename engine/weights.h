// Weights: the tensors of a run of layers on one lease.
//
// Where the device can use host memory in place the file's mapping is wrapped (one range per run of
// neighbouring tensors, read-only), else the tensors of a layer are uploaded, one behind the other
// in the model's order (Model::LayerTensors), so that matrices that multiply the same input are
// neighbours; either way the bytes are charged to the lease. The model must outlive it. Immutable
// once made. Errors: het::api::Error, ResourceExhausted past the lease's quota.
#ifndef HET_ENGINE_WEIGHTS_H_
#define HET_ENGINE_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <vector>

#include "engine/kernel_set.h"
#include "engine/model.h"
#include "het/het.hpp"

namespace hetllm {

// Called with bytes that were made ready.
using LoadProgress = std::function<void(uint64_t bytes)>;

class Weights {
 public:
  Weights(const Model& model, const het::api::Lease& lease, size_t begin, size_t end,
          const LoadProgress& progress = nullptr);

  // Of a tensor of one of the layers.
  Place Of(const GgufTensor& tensor) const { return places_.at(&tensor); }
  bool in_place() const { return in_place_; }

  // An upper bound of what layer `layer` is charged on any device, alignment included.
  static uint64_t ChargedBytes(const Model& model, size_t layer);

 private:
  void Wrap(const het::api::Lease& lease, const std::vector<const GgufTensor*>& tensors,
            const LoadProgress& progress);
  void Upload(const het::api::Lease& lease, const std::vector<const GgufTensor*>& tensors,
              het::api::QueueView queue);

  bool in_place_ = false;
  std::vector<het::api::Buffer> buffers_;
  std::unordered_map<const GgufTensor*, Place> places_;
};

}  // namespace hetllm

#endif  // HET_ENGINE_WEIGHTS_H_
