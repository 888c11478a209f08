// Reads and writes an Instance as JSON:
//
//   {"layers": [{"weight_bytes": 530000000}, ...],
//    "slices": [{"name": "a", "type": "t1", "memory_bytes": 16000000000, "ms_per_layer": [1.5,
//    ...]}, ...], "links": [[null, {"latency_ms": 0.1, "ms_per_transfer": 0.4}], ...], "objective":
//    "throughput"}
//
// `ms_per_layer` is one number per layer, or one number for all. Optional: `links` (absent, null or
// []: transfers are free; its diagonal is not read), `objective` ("throughput"), `type`, `kv_bytes`
// in a layer and `reserved_bytes` in a slice (both 0). Sizes are whole numbers.
//
// Pure functions, safe from any thread; nothing is kept.
#ifndef HET_SCHEDULER_INSTANCE_JSON_H_
#define HET_SCHEDULER_INSTANCE_JSON_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/instance.h"

namespace het::scheduler {

// A validated instance, or InvalidArgument with the path of the first fault
// ("slices[2].memory_bytes is missing"), for text that is not JSON with the position of the error.
// Unknown keys are legal; their paths are appended to `ignored` where it is given, so that a caller
// can warn of a misspelt one.
absl::StatusOr<Instance> ParseInstance(absl::string_view json,
                                       std::vector<std::string>* ignored = nullptr);

// One line of JSON that ParseInstance reads back as the same instance.
std::string InstanceToJson(const Instance& instance);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_INSTANCE_JSON_H_
