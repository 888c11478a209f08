// Random planning instances for tests, the same for the same seed everywhere (std::mt19937 and own
// arithmetic; the standard distributions differ between libraries).
#ifndef HET_SCHEDULER_RANDOM_INSTANCE_TEST_UTIL_H_
#define HET_SCHEDULER_RANDOM_INSTANCE_TEST_UTIL_H_

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/instance.h"

namespace het::scheduler {

class RandomInstances {
 public:
  explicit RandomInstances(uint32_t seed) : engine_(seed) {}

  // A whole number in [low, high].
  int Whole(int low, int high) {
    return low + static_cast<int>(engine_() % static_cast<uint32_t>(high - low + 1));
  }
  bool OneIn(int n) { return Whole(1, n) == 1; }
  double Real(double low, double high) { return low + (high - low) * (engine_() / 4294967296.0); }

  // 2-5 slices and 1-8 layers with everything that can trip a planner: zero costs and sizes, layers
  // of very different cost, equal slices, one label on different slices and two on equal ones,
  // reserved and KV bytes, tight and hopeless memory, links that are free, equal, per pair, and
  // slower than any stage.
  Instance Small() {
    Instance instance;
    const int layers = Whole(1, 8);
    const int slices = Whole(2, 5);
    const bool uniform_layers = OneIn(3);
    const bool proportional = OneIn(2);  // slices differ by a factor only
    int64_t total = 0;
    for (int i = 0; i < layers; ++i) {
      Layer layer;
      layer.weight_bytes = uniform_layers ? 10 : OneIn(6) ? 0 : Whole(1, 30);
      if (OneIn(4)) layer.kv_bytes = Whole(0, 5);
      total += layer.weight_bytes + layer.kv_bytes;
      instance.layers.push_back(layer);
    }
    std::vector<double> shape;
    for (int i = 0; i < layers; ++i) shape.push_back(uniform_layers ? 1.0 : LayerMs());
    const int tightness = Whole(0, 4);
    for (int v = 0; v < slices; ++v) {
      if (v > 0 && OneIn(3)) {
        instance.slices.push_back(instance.slices[Whole(0, v - 1)]);
      } else {
        instance.slices.push_back(Fresh(shape, proportional, tightness, total, slices));
      }
      instance.slices.back().name = absl::StrCat("s", v);
      instance.slices.back().type = absl::StrCat("t", Whole(0, 2));  // says nothing
    }
    AddLinks(instance);
    instance.objective = OneIn(2) ? Objective::kThroughput : Objective::kLatency;
    return instance;
  }

  // `slices` slices of `types` kinds whose speeds, memory and layer shape a real node could have.
  Instance Node(int layers, int slices, int types, bool memory_limits, bool random_links) {
    Instance instance;
    std::vector<double> shape;
    for (int i = 0; i < layers; ++i) {
      instance.layers.push_back({Whole(400, 600) * int64_t{1'000'000}, 0});
      shape.push_back(Real(0.8, 1.2));
    }
    const int64_t share = int64_t{500'000'000} * layers / slices;
    std::vector<SliceSpec> kinds(types);
    for (SliceSpec& kind : kinds) {
      const double speed = Real(0.5, 5.0);
      for (double ms : shape) kind.ms_per_layer.push_back(ms * speed);
      kind.memory_bytes =
          memory_limits ? static_cast<int64_t>(Real(0.8, 3.0) * share) : 1000 * share;
    }
    for (int v = 0; v < slices; ++v) {
      instance.slices.push_back(kinds[v % types]);
      instance.slices.back().name = absl::StrCat("s", v);
      instance.slices.back().type = absl::StrCat("t", v % types);
    }
    if (random_links) {
      const double stage = 2.0 * layers / slices;  // about the bottleneck
      instance.links.assign(slices, std::vector<Link>(slices));
      for (auto& row : instance.links) {
        for (Link& link : row) link = {Real(0, 0.1), Real(0, 1.5 * stage)};
      }
    }
    return instance;
  }

  void Shuffle(Instance& instance) {
    for (int a = instance.SliceCount() - 1; a > 0; --a) {
      const int b = Whole(0, a);
      std::swap(instance.slices[a], instance.slices[b]);
      if (instance.links.empty()) continue;
      std::swap(instance.links[a], instance.links[b]);
      for (auto& row : instance.links) std::swap(row[a], row[b]);
    }
  }

 private:
  double LayerMs() { return OneIn(8) ? 0.0 : OneIn(3) ? Whole(1, 4) : Real(0.01, 10); }

  SliceSpec Fresh(const std::vector<double>& shape, bool proportional, int tightness, int64_t total,
                  int slices) {
    SliceSpec slice;
    const double factor = OneIn(3) ? Whole(1, 4) : Real(0.1, 8);
    for (double ms : shape) slice.ms_per_layer.push_back(proportional ? ms * factor : LayerMs());
    const double fair = static_cast<double>(total) / slices;
    constexpr double kLeast[] = {4.0, 1.0, 0.8, 0.4, 0.0};
    constexpr double kMost[] = {8.0, 3.0, 2.0, 1.6, 2.0};
    slice.memory_bytes = static_cast<int64_t>(fair * Real(kLeast[tightness], kMost[tightness])) + 1;
    if (OneIn(4)) slice.reserved_bytes = Whole(0, 6);
    return slice;
  }

  void AddLinks(Instance& instance) {
    const int kind = Whole(0, 3);
    if (kind == 0) return;
    const int slices = instance.SliceCount();
    const Link same = {Real(0, 1), Real(0, 5)};
    const double slowest = Real(0.1, 20);
    instance.links.assign(slices, std::vector<Link>(slices));
    for (auto& row : instance.links) {
      for (Link& link : row) {
        if (kind == 1) link = same;
        if (kind == 2) link = {OneIn(3) ? 0.0 : Real(0, 1), Real(0, slowest)};
        if (kind == 3) link = OneIn(2) ? Link{0, 0} : Link{0, 1000};
      }
    }
  }

  std::mt19937 engine_;
};

}  // namespace het::scheduler

#endif  // HET_SCHEDULER_RANDOM_INSTANCE_TEST_UTIL_H_
