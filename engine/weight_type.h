// The weight formats the engine runs: names and block geometry. (The numbers are in
// engine/kernels/kernels.h.)
//
// Pure functions, thread-safe.
#ifndef HET_ENGINE_WEIGHT_TYPE_H_
#define HET_ENGINE_WEIGHT_TYPE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/kernels/kernels.h"

namespace hetllm {

// Nothing for a number that the engine does not run.
std::optional<WeightType> WeightTypeFromNumber(uint32_t number);
// "f32", "q4_k", ...; any case.
std::optional<WeightType> WeightTypeFromName(std::string_view name);
// Lower case, as in kernel names.
std::string_view WeightTypeName(WeightType type);
// "f32, f16, ... and q4_0", for messages.
std::string WeightTypeNames();
// What ggml calls the number (also of types the engine does not run); "unknown" otherwise.
std::string_view GgmlTypeName(uint32_t number);
// Elements and bytes of one block along a row.
uint32_t BlockElements(WeightType type);
uint32_t BlockBytes(WeightType type);

}  // namespace hetllm

#endif  // HET_ENGINE_WEIGHT_TYPE_H_
