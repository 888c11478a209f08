#include "engine/rebuild.h"

#include <algorithm>
#include <cstring>

namespace hetllm {
namespace {

// Layers [begin, end) to compute again.
struct Run {
  size_t begin, end;
};

std::vector<Run> RunsOf(const std::vector<RebuildStage>& stages, const CachedTokens& cached,
                        const KeptInputs& kept) {
  std::vector<Run> runs;
  for (const RebuildStage& entry : stages) {
    for (const size_t layer : entry.stage->new_caches()) {
      if (!runs.empty() && layer <= runs.back().end) {
        runs.back().end = layer + 1;
        continue;
      }
      const size_t begin = kept.From(layer, cached);
      if (!runs.empty() && begin <= runs.back().end) {
        runs.back().end = layer + 1;
      } else {
        runs.push_back({begin, layer + 1});
      }
    }
  }
  return runs;
}

// All rows of `cached`, as micro-batches that fit the stages; a sequence's rows in order.
std::vector<Microbatch> BatchesOf(const CachedTokens& cached, uint32_t rows) {
  std::vector<Microbatch> batches;
  for (size_t s = 0; s < cached.size(); ++s) {
    for (size_t at = 0; at < cached[s].size(); ++at) {
      if (batches.empty() || batches.back().rows() == rows) batches.emplace_back();
      batches.back().Add(cached[s][at], static_cast<int32_t>(at), static_cast<int32_t>(s), false);
    }
  }
  return batches;
}

}  // namespace

size_t Rebuild(const std::vector<RebuildStage>& stages, const Limits& limits, size_t embd,
               const CachedTokens& cached, KeptInputs& kept) {
  const std::vector<Run> runs = RunsOf(stages, cached, kept);
  const std::vector<Microbatch> batches = BatchesOf(cached, limits.rows);
  if (batches.empty() || runs.empty()) return 0;
  struct Part {
    RebuildStage entry;
    het::api::Queue queue;
    het::api::Buffer tokens, x;
  };
  std::vector<Part> parts;
  for (const RebuildStage& entry : stages) {
    const bool needed = std::any_of(runs.begin(), runs.end(), [&](const Run& run) {
      return run.begin < entry.stage->end() && entry.stage->begin() < run.end;
    });
    if (!needed) continue;
    Part part{entry, entry.lease->CreateQueue(), {}, {}};
    part.tokens = entry.lease->CreateBuffer(uint64_t{4} * limits.rows);
    part.x = entry.lease->CreateBuffer(uint64_t{4} * limits.rows * embd);
    parts.push_back(std::move(part));
  }
  std::vector<float> rows(limits.rows * embd);
  size_t layers = 0;
  for (const Run& run : runs) {
    layers += run.end - run.begin;
    for (const Microbatch& batch : batches) {
      const uint64_t bytes = batch.rows() * embd * sizeof(float);
      for (size_t r = 0; r < batch.rows() && run.begin > 0; ++r) {
        std::memcpy(rows.data() + r * embd, kept.Row(run.begin, batch.slots[r], batch.positions[r]),
                    embd * sizeof(float));
      }
      for (const Part& part : parts) {
        Stage& stage = *part.entry.stage;
        const size_t from = std::max(run.begin, stage.begin()), to = std::min(run.end, stage.end());
        if (from >= to) continue;
        if (from > run.begin && kept.Has(from)) {  // a boundary that was not one before
          for (size_t r = 0; r < batch.rows(); ++r)
            kept.Keep(from, batch.slots[r], batch.positions[r], rows.data() + r * embd);
        }
        if (from == 0) {
          part.queue->Write(batch.tokens.data(), part.tokens.get(), 0, batch.rows() * 4u);
        } else {
          part.queue->Write(rows.data(), part.x.get(), 0, bytes);
        }
        stage.EnqueueBlocks(part.queue.view(), batch, from, to, part.tokens.get(), part.x.get());
        part.queue->Read(part.x.get(), 0, rows.data(), bytes);
        part.queue->Finish();
      }
    }
  }
  return layers;
}

}  // namespace hetllm
