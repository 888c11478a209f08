// HalfPanels: products of many rows by the vendor's matrix library, for matrices that are not f32.
//
// Such a library takes both operands of one type. The activations are copied as halves (too large
// ones become 65504), an f16 matrix is used where it lies, and any other is made halves of, a panel
// of some of its rows at a time. bf16 matrices too: halves hold their values with room to spare,
// and activations in them are four times as exact as in bf16. Sums are f32.
//
// Owns the two buffers, charged to the lease. Used by one thread, with one queue at a time: order
// on the queue is what keeps them right. Errors are het::api::Error.
#ifndef HET_ENGINE_HALF_PANELS_H_
#define HET_ENGINE_HALF_PANELS_H_

#include <cstdint>

#include "engine/kernel_set.h"
#include "engine/model.h"
#include "het/het.hpp"

namespace hetllm {

class HalfPanels {
 public:
  // `rows`: of a product at most. Makes nothing where Bytes is 0.
  HalfPanels(const Model& model, const het::api::Lease& lease, const KernelSet& kernels,
             uint32_t rows);

  // Memory for both buffers: 0 where no product goes this way (no library, few rows, a model of f32
  // matrices). At most an eighth of the lease's memory and 64 MiB of it are for a panel, but eight
  // rows of the widest matrix at least.
  static uint64_t Bytes(const Model& model, const het::api::Lease& lease, const KernelSet& kernels,
                        uint32_t rows);

  // What that is at most on any lease.
  static uint64_t MostBytes(const Model& model, uint32_t rows);

  bool Takes(WeightType type, uint32_t rows) const {
    return activations_ && type != WeightType::kF32 && rows >= KernelSet::kLibraryRows;
  }
  // The activations of the products to come: f32[rows][n_in].
  void Load(KernelSet::Queue queue, Place x, uint32_t rows, uint32_t n_in) const;
  void Multiply(KernelSet::Queue queue, WeightType type, Place w, Place y,
                const MatmulParams& params) const;

 private:
  const KernelSet& kernels_;
  het::api::Buffer activations_, panel_;
};

}  // namespace hetllm

#endif  // HET_ENGINE_HALF_PANELS_H_
