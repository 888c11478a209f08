#include "engine/stage.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "engine/weight_type.h"

namespace hetllm {
namespace {

constexpr uint64_t kAlignment = 256;  // of the parts of the scratch buffer

uint64_t Padded(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// The parts of the scratch buffer, in order: bytes of each for a stage with or without blocks and
// head.
struct Layout {
  uint64_t x = 0, normed = 0, qkv = 0, mixed = 0, gate_up = 0, q8 = 0;
  uint64_t positions = 0, slots = 0, wanted = 0, gathered = 0, logits = 0, frequencies = 0;

  uint64_t Total() const {
    uint64_t total = 0;
    for (const uint64_t part : {x, normed, qkv, mixed, gate_up, q8, positions, slots, wanted,
                                gathered, logits, frequencies}) {
      total += Padded(part);
    }
    return total;
  }
};

Layout BlockLayout(const Shape& shape, const Limits& limits) {
  const uint64_t row = uint64_t{4} * limits.rows;
  Layout layout;
  layout.normed = row * shape.embd;
  layout.qkv = row * (shape.q_dim() + 2 * shape.kv_dim());
  layout.mixed = row * shape.q_dim();
  layout.gate_up = row * 2 * shape.ff;
  if (limits.q8) {
    const uint64_t widest = std::max({shape.embd, shape.q_dim(), shape.ff});
    layout.q8 = limits.rows * Q8RowBytes(widest);
  }
  layout.positions = row;
  layout.slots = row;
  layout.frequencies = shape.rope_frequencies.size() * sizeof(float);
  return layout;
}

void AddHead(const Shape& shape, const Limits& limits, Layout& layout) {
  const uint64_t row = uint64_t{4} * limits.wanted;
  layout.x = uint64_t{4} * limits.rows * shape.embd;
  layout.wanted = row;
  layout.gathered = 2 * row * shape.embd;  // as gathered, and normed
  if (limits.greedy) {
    layout.logits = row * shape.vocab;
  }
  if (limits.q8) {
    layout.q8 = std::max<uint64_t>(layout.q8, limits.wanted * Q8RowBytes(shape.embd));
  }
}

bool IsAt(Place a, Place b) { return a.buffer == b.buffer && a.offset == b.offset; }

uint64_t CacheBytes(const Model& model, const Limits& limits) {
  return uint64_t{limits.slots} * limits.context * model.shape().kv_dim() * sizeof(float);
}

}  // namespace

uint64_t Stage::LayerBytes(const Model& model, size_t layer, const Limits& limits) {
  uint64_t bytes = Weights::ChargedBytes(model, layer);
  if (layer != 0 && layer != model.head_layer()) {
    bytes += 2 * Padded(CacheBytes(model, limits));
  }
  if (layer == model.head_layer()) {
    Layout layout;
    AddHead(model.shape(), limits, layout);
    bytes += layout.Total();
  }
  return bytes;
}

uint64_t Stage::ScratchBytes(const Model& model, const Limits& limits) {
  return BlockLayout(model.shape(), limits).Total();
}

uint64_t Stage::InputBytes(const Model& model, size_t begin, const Limits& limits) {
  const uint64_t row = begin == 0 ? sizeof(int32_t) : model.shape().embd * sizeof(float);
  return limits.rows * row;
}

uint64_t Stage::OutputBytes(const Model& model, size_t end, const Limits& limits) {
  if (end < model.layer_count()) {
    return uint64_t{limits.rows} * model.shape().embd * sizeof(float);
  }
  return uint64_t{limits.wanted} * (limits.greedy ? 1 : model.shape().vocab) * sizeof(float);
}

Stage::Stage(const Model& model, const het::api::Lease& lease, const KernelSet& kernels,
             size_t begin, size_t end, const Limits& limits, const LoadProgress& progress,
             LayerCaches kept)
    : model_(model),
      kernels_(kernels),
      begin_(begin),
      end_(end),
      limits_(limits),
      weights_(model, lease, begin, end, progress),
      panels_(model, lease, kernels, end > 1 ? limits.half_rows() : 0) {
  Layout layout;
  const size_t first_block = std::max<size_t>(begin, 1);
  const size_t last_block = std::min(end, model.head_layer());
  if (first_block < last_block) {
    layout = BlockLayout(model.shape(), limits);
    const uint64_t half = Padded(CacheBytes(model, limits));
    for (size_t layer = first_block; layer < last_block; ++layer) {
      if (const auto old = kept.find(layer); old != kept.end()) {
        caches_.insert(kept.extract(old));
        continue;
      }
      caches_.emplace(layer, LayerCache{lease.CreateBuffer(2 * half), half});
      new_caches_.push_back(layer);
    }
  }
  if (last()) {
    AddHead(model.shape(), limits, layout);
  }
  if (layout.Total() == 0) {
    return;  // the embedding alone needs nothing
  }
  scratch_ = lease.CreateBuffer(layout.Total());
  uint64_t offset = 0;
  const auto place = [&](uint64_t bytes, Place& part) {
    part = scratch_.At(offset);
    offset += Padded(bytes);
  };
  place(layout.x, x_);
  place(layout.normed, normed_);
  place(layout.qkv, qkv_);
  place(layout.mixed, mixed_);
  place(layout.gate_up, gate_up_);
  place(layout.q8, q8_);
  place(layout.positions, positions_);
  place(layout.slots, slots_);
  place(layout.wanted, wanted_);
  place(layout.gathered, gathered_);
  place(layout.logits, logits_);
  place(layout.frequencies, frequencies_);
  if (limits.replay && lease.Can(HET_CAN_REPLAY)) recordings_.emplace();
}

uint64_t Stage::Enqueue(het::api::QueueView queue, const Microbatch& batch, het_buffer* input,
                        het_buffer* output, float* keep) {
  const Shape& shape = model_.shape();
  const uint32_t rows = batch.rows();
  if (rows == 0 || rows > limits_.rows || batch.wanted.size() > limits_.wanted) {
    throw het::api::Error(
        HET_INVALID_ARGUMENT,
        Cat("a micro-batch of ", rows, " rows, ", batch.wanted.size(),
            " wanted; this stage was made for ", limits_.rows, " and ", limits_.wanted));
  }
  const uint64_t activation_bytes = uint64_t{rows} * shape.embd * sizeof(float);
  // The residual stream lives in the output, or beside the head in scratch.
  const Place x = last() ? x_ : Place{output, 0};
  if (!first() && keep != nullptr) queue.Read(input, 0, keep, activation_bytes);
  Upload(queue, batch);
  const auto step = [&] {
    if (!first()) queue.Copy(input, 0, x.buffer, x.offset, activation_bytes);
    RunLayers(queue, batch, begin_, end_, input, x);
    if (last() && !batch.wanted.empty()) RunHead(queue, batch, x, {output, 0});
  };
  if (recordings_) {
    recordings_->Run(queue, {rows, static_cast<uint32_t>(batch.wanted.size()), input, output},
                     step);
  } else {
    step();
  }
  if (!last()) return activation_bytes;
  return batch.wanted.size() * (limits_.greedy ? 1 : shape.vocab) * sizeof(float);
}

void Stage::Upload(het::api::QueueView queue, const Microbatch& batch) {
  const uint32_t rows = batch.rows();
  if (!caches_.empty()) {
    queue.Write(batch.positions.data(), positions_.buffer, positions_.offset, rows * 4u);
    queue.Write(batch.slots.data(), slots_.buffer, slots_.offset, rows * 4u);
  }
  if (!caches_.empty() && !frequencies_written_) {
    const std::vector<float>& frequencies = model_.shape().rope_frequencies;
    queue.Write(frequencies.data(), frequencies_.buffer, frequencies_.offset,
                frequencies.size() * sizeof(float));
    frequencies_written_ = true;
  }
  if (last() && !batch.wanted.empty()) {
    queue.Write(batch.wanted.data(), wanted_.buffer, wanted_.offset, batch.wanted.size() * 4);
  }
}

void Stage::RunLayers(het::api::QueueView queue, const Microbatch& batch, size_t from, size_t to,
                      het_buffer* tokens, Place x) {
  const Shape& shape = model_.shape();
  const uint32_t rows = batch.rows();
  if (from == 0) {
    kernels_.GetRows(queue, model_.embedding().type, weights_.Of(model_.embedding()), {tokens, 0},
                     x, {rows, shape.embd, shape.vocab});
  }
  for (size_t layer = std::max<size_t>(from, 1); layer < std::min(to, model_.head_layer()); ++layer)
    RunBlock(queue, batch, layer, x);
}

Stage::Takes Stage::TakesOf(WeightType type, uint32_t rows) const {
  if (panels_.Takes(type, rows)) return Takes::kPanels;
  if (!limits_.q8) return Takes::kF32;
  if (rows == 1 && kernels_.HasHalf(type)) return Takes::kHalf;
  return kernels_.HasQ8(type) ? Takes::kQ8 : Takes::kF32;
}

bool Stage::Product::IsBefore(const Product& next) const {
  const uint64_t w_bytes = uint64_t{n_in} / BlockElements(type) * BlockBytes(type) * n_out;
  return next.type == type && next.n_in == n_in && IsAt(next.w, w + w_bytes) &&
         IsAt(next.y, y + uint64_t{4} * n_out);
}

bool Stage::AllTakeQ8(const Products& products) {
  return std::all_of(products.begin(), products.end(),
                     [](const Product& product) { return product.takes == Takes::kQ8; });
}

Stage::Products Stage::ProductsOf(
    uint32_t rows, std::initializer_list<std::pair<const GgufTensor*, Place>> matrices) const {
  Products products;
  for (const auto& [w, y] : matrices) {
    const Product next{w->type,
                       TakesOf(w->type, rows),
                       static_cast<uint32_t>(w->ne[0]),
                       static_cast<uint32_t>(w->ne[1]),
                       weights_.Of(*w),
                       y};
    if (rows == 1 && !products.empty() && products.back().IsBefore(next)) {
      products.back().n_out += next.n_out;
    } else {
      products.push_back(next);
    }
  }
  return products;
}

Stage::Input Stage::Normed(het::api::QueueView queue, uint32_t rows, Place x,
                           const GgufTensor& weight, Place y, const Products& readers) {
  const RmsNormParams params{rows, model_.shape().embd, model_.shape().eps};
  if (AllTakeQ8(readers)) {
    kernels_.RmsNormQ8(queue, x, weights_.Of(weight), q8_, params);
    return {.f32 = {}, .in_q8 = true};
  }
  kernels_.RmsNorm(queue, x, weights_.Of(weight), y, params);
  return {y};
}

Stage::Input Stage::Gated(het::api::QueueView queue, uint32_t rows, Place gate, Place up,
                          const Products& readers) {
  const uint32_t ff = model_.shape().ff;
  if (AllTakeQ8(readers)) {
    kernels_.SiluMulQ8(queue, gate, up, q8_, {rows, ff});
    return {.f32 = {}, .in_q8 = true};
  }
  kernels_.SiluMul(queue, gate, up, gate, {rows * ff}, rows);
  return {gate};
}

void Stage::Multiply(het::api::QueueView queue, uint32_t rows, Input input,
                     const Products& products, bool accumulate) {
  bool in_panels = false;
  for (const auto& [type, takes, n_in, n_out, w, y] : products) {
    const MatmulParams params{rows, n_in, n_out, accumulate ? 1u : 0u};
    switch (takes) {
      case Takes::kF32:
        kernels_.Matmul(queue, type, w, input.f32, y, params);
        break;
      case Takes::kHalf:
        kernels_.MatmulHalf(queue, type, w, input.f32, y, params);
        break;
      case Takes::kPanels:
        if (!in_panels) panels_.Load(queue, input.f32, rows, n_in);
        in_panels = true;
        panels_.Multiply(queue, type, w, y, params);
        break;
      case Takes::kQ8:
        if (!input.in_q8) kernels_.Quantize(queue, input.f32, q8_, {rows, n_in});
        input.in_q8 = true;
        kernels_.MatmulQ8(queue, type, w, q8_, y, params);
        break;
    }
  }
}

void Stage::AddBias(het::api::QueueView queue, uint32_t rows, Place y, const GgufTensor* bias) {
  if (bias != nullptr) {
    kernels_.AddBias(queue, y, weights_.Of(*bias), {rows, static_cast<uint32_t>(bias->ne[0])});
  }
}

void Stage::NormHeads(het::api::QueueView queue, uint32_t rows, uint32_t heads, Place x,
                      const GgufTensor* norm) {
  if (norm != nullptr) {
    const Shape& shape = model_.shape();
    kernels_.RmsNorm(queue, x, weights_.Of(*norm), x, {rows * heads, shape.head_dim, shape.eps});
  }
}

void Stage::Rotate(het::api::QueueView queue, uint32_t rows, uint32_t heads, Place x) {
  const Shape& shape = model_.shape();
  kernels_.Rope(queue, x, positions_, frequencies_,
                {rows, heads, shape.head_dim, shape.rope_dim, model_.architecture().rope_pairing,
                 shape.rope_magnitude});
}

void Stage::Attend(het::api::QueueView queue, const Microbatch& batch,
                   const KernelSet::AttentionPlaces& at) {
  const Shape& shape = model_.shape();
  const uint32_t rows = batch.rows();
  const AttentionParams params{rows,
                               shape.heads,
                               shape.kv_heads,
                               shape.head_dim,
                               limits_.context,
                               shape.window,
                               1 / std::sqrt(static_cast<float>(shape.head_dim))};
  double pairs = 0;
  uint32_t runs = 0;  // of neighbours of one slot
  for (uint32_t r = 0; r < rows; ++r) {
    const double seen = batch.positions[r] + 1;
    pairs += shape.window == 0 ? seen : std::min<double>(seen, shape.window);
    runs += r == 0 || batch.slots[r] != batch.slots[r - 1] ? 1 : 0;
  }
  // The choice looks at the slots, which a recording must not.
  static_assert(KernelSet::kTilesRows > StepRecordings::kMostRows);
  const bool tiles = limits_.q8 && kernels_.HasTiles(shape.head_dim) &&
                     rows >= KernelSet::kTilesRows && rows >= KernelSet::kTilesRunRows * runs;
  // Nothing is in the part of gate and up yet.
  const uint64_t room = 2 * sizeof(float) * uint64_t{limits_.rows} * shape.ff;
  const uint32_t parts = kernels_.AttentionParts(params, room);
  if (tiles) {
    kernels_.AttentionTiles(queue, at, params, pairs);
  } else if (parts > 1) {
    kernels_.AttentionInParts(queue, at, params, pairs, parts, gate_up_);
  } else {
    kernels_.Attention(queue, at, params, pairs);
  }
}

void Stage::RunBlock(het::api::QueueView queue, const Microbatch& batch, size_t layer, Place x) {
  const Shape& shape = model_.shape();
  const BlockTensors& block = model_.block(layer - 1);
  const uint32_t rows = batch.rows();
  const LayerCache& cache = caches_.at(layer);
  const Place keys = cache.buffer.At(0);
  const Place values = cache.buffer.At(cache.values);
  const uint64_t row = uint64_t{4} * rows;
  const Place q = qkv_, k = q + row * shape.q_dim(), v = k + row * shape.kv_dim();
  const Place gate = gate_up_, up = gate + row * shape.ff;

  const Products qkv = ProductsOf(rows, {{block.q, q}, {block.k, k}, {block.v, v}});
  Multiply(queue, rows, Normed(queue, rows, x, *block.attn_norm, normed_, qkv), qkv, false);
  AddBias(queue, rows, q, block.q_bias);
  AddBias(queue, rows, k, block.k_bias);
  AddBias(queue, rows, v, block.v_bias);
  NormHeads(queue, rows, shape.heads, q, block.q_norm);
  NormHeads(queue, rows, shape.kv_heads, k, block.k_norm);
  if (rows == 1) {  // the heads of k are behind those of q
    Rotate(queue, rows, shape.heads + shape.kv_heads, q);
  } else {
    Rotate(queue, rows, shape.heads, q);
    Rotate(queue, rows, shape.kv_heads, k);
  }
  kernels_.KvAppend(queue, {k, v, positions_, slots_, keys, values},
                    {rows, shape.kv_dim(), limits_.context});
  Attend(queue, batch, {q, keys, values, positions_, slots_, mixed_});
  Multiply(queue, rows, {mixed_}, ProductsOf(rows, {{block.o, x}}), true);
  AddBias(queue, rows, x, block.o_bias);

  const Products gate_up = ProductsOf(rows, {{block.gate, gate}, {block.up, up}});
  Multiply(queue, rows, Normed(queue, rows, x, *block.ffn_norm, normed_, gate_up), gate_up, false);
  const Products down = ProductsOf(rows, {{block.down, x}});
  Multiply(queue, rows, Gated(queue, rows, gate, up, down), down, true);
}

void Stage::RunHead(het::api::QueueView queue, const Microbatch& batch, Place x, Place output) {
  const Shape& shape = model_.shape();
  const auto wanted = static_cast<uint32_t>(batch.wanted.size());
  const Place normed = gathered_ + uint64_t{limits_.wanted} * shape.embd * sizeof(float);
  kernels_.GetRows(queue, WeightType::kF32, x, wanted_, gathered_,
                   {wanted, shape.embd, batch.rows()});
  const Place logits = limits_.greedy ? logits_ : output;
  const Products head = ProductsOf(wanted, {{&model_.head(), logits}});
  const Input input = Normed(queue, wanted, gathered_, model_.output_norm(), normed, head);
  Multiply(queue, wanted, input, head, false);
  if (limits_.greedy) {
    kernels_.Argmax(queue, logits, output, {wanted, shape.vocab});
  }
}

}  // namespace hetllm
