#include "engine/kept_inputs.h"

#include <algorithm>

namespace hetllm {

void KeptInputs::AddBoundaries(const std::vector<size_t>& layers) {
  for (const size_t layer : layers) boundaries_.try_emplace(layer);
}

void KeptInputs::ForgetOthers(const std::vector<size_t>& layers) {
  std::erase_if(boundaries_, [&](const auto& boundary) {
    return std::find(layers.begin(), layers.end(), boundary.first) == layers.end();
  });
}

void KeptInputs::Keep(const Microbatch& batch) {
  size_t index = 0;
  for (const auto& boundary : boundaries_) {
    if (index == batch.inputs.size()) return;
    const std::vector<float>& inputs = batch.inputs[index++];
    for (size_t r = 0; r < batch.rows(); ++r)
      Keep(boundary.first, batch.slots[r], batch.positions[r], inputs.data() + r * embd_);
  }
}

void KeptInputs::Keep(size_t layer, int32_t slot, int32_t position, const float* row) {
  std::vector<Rows>& slots = boundaries_.at(layer);
  const auto s = static_cast<size_t>(slot), at = static_cast<size_t>(position) * embd_;
  if (slots.size() <= s) slots.resize(s + 1);
  Rows& rows = slots[s];
  if (at > rows.size()) return;
  if (at == rows.size()) {
    rows.insert(rows.end(), row, row + embd_);
  } else {
    std::copy_n(row, embd_, rows.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

size_t KeptInputs::From(size_t layer, const CachedTokens& cached) const {
  for (auto at = boundaries_.upper_bound(layer); at != boundaries_.begin();) {
    --at;
    bool whole = true;
    for (size_t s = 0; s < cached.size(); ++s) {
      const size_t rows = s < at->second.size() ? at->second[s].size() / embd_ : 0;
      whole = whole && rows >= cached[s].size();
    }
    if (whole) return at->first;
  }
  return 0;
}

const float* KeptInputs::Row(size_t layer, int32_t slot, int32_t position) const {
  return boundaries_.at(layer)[static_cast<size_t>(slot)].data() +
         static_cast<size_t>(position) * embd_;
}

}  // namespace hetllm
