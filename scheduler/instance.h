// The planning problem: a chain of layers, a set of unequal slices, the links between them and what
// to minimise.
//
// An Instance is a plain value without identity: copy it, compare its parts, change it. It holds no
// handle on any device, so it can be written to a file, planned elsewhere and checked against an
// oracle (instance_json.h).
//
// Cost model. A stage is a run of consecutive layers [begin, end) on one slice. Its time is the sum
// of the slice's `ms_per_layer` over the run, for one micro-batch; its memory is `reserved_bytes`
// plus the run's weights and KV. One micro-batch crosses from slice u to slice v in
// `links[u][v].Ms()`, wherever the chain is cut, and that transfer overlaps with compute. Times are
// in milliseconds, sizes in bytes.
//
// Threads: const access is safe from any number of threads.
#ifndef HET_SCHEDULER_INSTANCE_H_
#define HET_SCHEDULER_INSTANCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace het::scheduler {

enum class Objective {
  kThroughput,  // the smallest bottleneck: the largest stage or transfer
  kLatency,  // the smallest sum of stages and transfers: one micro-batch through an empty pipeline
};

// "throughput" or "latency".
absl::string_view ObjectiveName(Objective objective);

struct Layer {
  int64_t weight_bytes = 0;
  int64_t kv_bytes = 0;  // KV cache of this layer for all sequences in flight
  bool operator==(const Layer&) const = default;
};

struct SliceSpec {
  std::string name;
  std::string type;  // a hint for readers; the planner finds equal slices by their numbers alone
  int64_t memory_bytes = 0;
  int64_t reserved_bytes =
      0;  // what a stage needs besides its layers: activation buffers of the groups in flight
  std::vector<double> ms_per_layer;  // one entry per layer
  bool operator==(const SliceSpec&) const = default;
};

struct Link {
  double latency_ms = 0;
  double ms_per_transfer = 0;
  double Ms() const { return latency_ms + ms_per_transfer; }
  bool operator==(const Link&) const = default;
};

struct Instance {
  std::vector<Layer> layers;
  std::vector<SliceSpec> slices;
  std::vector<std::vector<Link>>
      links;  // empty: every transfer is free; else slices x slices, the diagonal is ignored
  Objective objective = Objective::kThroughput;

  int LayerCount() const { return static_cast<int>(layers.size()); }
  int SliceCount() const { return static_cast<int>(slices.size()); }
  double LinkMs(int from, int to) const;                    // 0 for from == to
  double StageMs(int slice, int begin, int end) const;      // summed from begin to end
  int64_t LayerBytes(int layer) const;                      // weights and KV
  int64_t StageBytes(int slice, int begin, int end) const;  // with the slice's reserved bytes
};

// Limits that Validate enforces, so that no search allocates without bound.
inline constexpr int kMaxLayers = 4096;
inline constexpr int kMaxSlices = 256;
inline constexpr double kMaxMs = 1e15;
inline constexpr int64_t kMaxBytes = int64_t{1} << 50;

// OK, or InvalidArgument naming the field in JSON notation: "slices[2].ms_per_layer has 3 entries,
// 80 layers". Wants at least one layer and one slice, unique non-empty slice names, times finite
// and not negative, sizes not negative.
absl::Status Validate(const Instance& instance);

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_INSTANCE_H_
