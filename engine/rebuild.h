// Rebuild: fills the KV caches of layers that were lost, from what their stages got as input.
//
// Only those layers compute, and those between them and the last boundary whose inputs were kept.
// Waits for all of it. Errors: het::api::Error of the devices.
#ifndef HET_ENGINE_REBUILD_H_
#define HET_ENGINE_REBUILD_H_

#include <memory>
#include <vector>

#include "engine/kept_inputs.h"
#include "engine/stage.h"
#include "het/het.hpp"

namespace hetllm {

struct RebuildStage {
  Stage* stage;
  const het::api::Lease* lease;
};

// Computes `cached` again for every layer whose cache is new in its stage. Returns the layers
// computed, counted once each.
size_t Rebuild(const std::vector<RebuildStage>& stages, const Limits& limits, size_t embd,
               const CachedTokens& cached, KeptInputs& kept);

}  // namespace hetllm

#endif  // HET_ENGINE_REBUILD_H_
