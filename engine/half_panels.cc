#include "engine/half_panels.h"

#include <algorithm>

#include "engine/weight_type.h"

namespace hetllm {
namespace {

constexpr uint64_t kHalf = 2;                        // bytes
constexpr uint64_t kMostPanel = uint64_t{64} << 20;  // bytes; large enough to keep a GPU busy
constexpr uint32_t kLeastRows = 8;                   // of a panel; offsets within y stay aligned
constexpr uint32_t kMostRows = 32768;                // of a panel, for the grid of the kernel

struct Sizes {
  uint64_t activations = 0, panel = 0;
};

Sizes SizesOf(const Model& model, uint32_t rows, uint64_t most_panel) {
  Sizes sizes;
  if (rows < KernelSet::kLibraryRows) return sizes;
  uint64_t widest = 0, largest = 0;
  const auto look_at = [&](const GgufTensor* w) {
    if (w->type == WeightType::kF32) return;
    sizes.activations = std::max(sizes.activations, rows * w->ne[0] * kHalf);
    if (w->type == WeightType::kF16) return;
    widest = std::max(widest, w->ne[0]);
    largest = std::max(largest, w->ne[0] * w->ne[1]);
  };
  for (size_t i = 0; i + 2 < model.layer_count(); ++i) {
    const BlockTensors& block = model.block(i);
    for (const GgufTensor* w :
         {block.q, block.k, block.v, block.o, block.gate, block.up, block.down}) {
      look_at(w);
    }
  }
  look_at(&model.head());
  sizes.panel = std::min(largest * kHalf, std::max(most_panel, kLeastRows * widest * kHalf));
  return sizes;
}

Sizes SizesOn(const Model& model, const het::api::Lease& lease, const KernelSet& kernels,
              uint32_t rows) {
  if (!kernels.HasLibrary()) return {};
  return SizesOf(model, rows, std::min(kMostPanel, lease.info().memory_limit_bytes / 8));
}

}  // namespace

uint64_t HalfPanels::Bytes(const Model& model, const het::api::Lease& lease,
                           const KernelSet& kernels, uint32_t rows) {
  const Sizes sizes = SizesOn(model, lease, kernels, rows);
  return sizes.activations + sizes.panel;
}

uint64_t HalfPanels::MostBytes(const Model& model, uint32_t rows) {
  const Sizes sizes = SizesOf(model, rows, kMostPanel);
  return sizes.activations + sizes.panel;
}

HalfPanels::HalfPanels(const Model& model, const het::api::Lease& lease, const KernelSet& kernels,
                       uint32_t rows)
    : kernels_(kernels) {
  const Sizes sizes = SizesOn(model, lease, kernels, rows);
  if (sizes.activations > 0) activations_ = lease.CreateBuffer(sizes.activations);
  if (sizes.panel > 0) panel_ = lease.CreateBuffer(sizes.panel);
}

void HalfPanels::Load(KernelSet::Queue queue, Place x, uint32_t rows, uint32_t n_in) const {
  kernels_.ToHalf(queue, x, activations_.At(), {rows * n_in}, rows);
}

void HalfPanels::Multiply(KernelSet::Queue queue, WeightType type, Place w, Place y,
                          const MatmulParams& params) const {
  if (type == WeightType::kF16) {
    kernels_.LibraryMatmul(queue, w, activations_.At(), y, params, params.n_out);
    return;
  }
  const uint64_t fits = panel_.bytes() / (params.n_in * kHalf) / kLeastRows * kLeastRows;
  const auto most = static_cast<uint32_t>(std::min<uint64_t>(fits, kMostRows));
  for (uint32_t from = 0; from < params.n_out; from += most) {
    const uint32_t count = std::min(most, params.n_out - from);
    const uint64_t at = uint64_t{params.n_in} / BlockElements(type) * BlockBytes(type) * from;
    kernels_.Dequantize(queue, type, w + at, panel_.At(), {count, params.n_in});
    kernels_.LibraryMatmul(queue, panel_.At(), activations_.At(), y + uint64_t{4} * from,
                           {params.rows, params.n_in, count, params.accumulate}, params.n_out);
  }
}

}  // namespace hetllm
