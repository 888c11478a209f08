#include "scheduler/tick_model.h"

#include <algorithm>
#include <cmath>

namespace het::scheduler {

TickModel::TickModel(const Instance& instance, double max_ms)
    : layers_(instance.LayerCount()), max_ms_(max_ms) {
  // A clamped layer counts 2 * max_ms, so that no prefix sum passes 2^60.
  const double range = std::ldexp(1.0, 60);
  ticks_per_ms_ = max_ms > 0 ? std::min(range / (2.0 * (layers_ + 1) * max_ms), 1e300) : 1.0;
  bytes_.assign(layers_ + 1, 0);
  for (int i = 0; i < layers_; ++i) bytes_[i + 1] = bytes_[i] + instance.LayerBytes(i);
  std::vector<double> mean(layers_, 0.0);
  for (int v = 0; v < instance.SliceCount(); ++v) {
    const SliceSpec& slice = instance.slices[v];
    available_.push_back(slice.memory_bytes - slice.reserved_bytes);
    std::vector<int64_t> prefix(layers_ + 1, 0);
    for (int i = 0; i < layers_; ++i) prefix[i + 1] = prefix[i] + Clamped(slice.ms_per_layer[i]);
    if (prefix.back() > 0) {
      for (int i = 0; i < layers_; ++i) {
        mean[i] +=
            static_cast<double>(prefix[i + 1] - prefix[i]) / static_cast<double>(prefix.back());
      }
    }
    prefix_.push_back(std::move(prefix));
  }
  if (!instance.links.empty()) {
    links_.assign(slices(), std::vector<int64_t>(slices(), 0));
    for (int u = 0; u < slices(); ++u) {
      for (int v = 0; v < slices(); ++v) links_[u][v] = Clamped(instance.LinkMs(u, v));
    }
  }
  for (std::vector<int64_t>& measure : measures_) measure.assign(layers_ + 1, 0);
  for (int i = 0; i < layers_; ++i) {
    measures_[0][i + 1] = i + 1;
    measures_[1][i + 1] = measures_[1][i] + std::llround(std::ldexp(mean[i] / slices(), 40));
    measures_[2][i + 1] = bytes_[i + 1];
  }
}

int64_t TickModel::ToTicks(double ms) const {
  return std::llround(std::min(ms * ticks_per_ms_, static_cast<double>(kNoLimit)));
}

int64_t TickModel::Clamped(double ms) const { return ToTicks(ms > max_ms_ ? 2 * max_ms_ : ms); }

int64_t TickModel::Bottleneck(const std::vector<Stage>& stages) const {
  int64_t worst = 0;
  for (size_t i = 0; i < stages.size(); ++i) {
    worst = std::max(worst, StageTicks(stages[i].slice, stages[i].begin, stages[i].end));
    if (i > 0) worst = std::max(worst, LinkTicks(stages[i - 1].slice, stages[i].slice));
  }
  return worst;
}

void TickModel::FillReach(int slice, int64_t bottleneck, std::vector<int>& reach) const {
  const std::vector<int64_t>& prefix = prefix_[slice];
  const int64_t memory = available_[slice];
  reach.resize(layers_ + 1);
  reach[layers_] = layers_;
  int end = 0;
  for (int i = 0; i < layers_; ++i) {
    end = std::max(end, i);
    while (end < layers_ && prefix[end + 1] - prefix[i] <= bottleneck &&
           bytes_[end + 1] - bytes_[i] <= memory) {
      ++end;
    }
    reach[i] = end;
  }
}

int64_t TickModel::LargestCandidateBelow(int64_t bottleneck) const {
  int64_t best = -1;
  const auto consider = [&](int64_t ticks) {
    if (ticks < bottleneck) best = std::max(best, ticks);
  };
  for (const std::vector<int64_t>& prefix : prefix_) {
    int end = 1;
    for (int i = 0; i < layers_; ++i) {
      end = std::max(end, i + 1);
      while (end < layers_ && prefix[end + 1] - prefix[i] < bottleneck) ++end;
      consider(prefix[end] - prefix[i]);
    }
  }
  for (size_t u = 0; u < links_.size(); ++u) {
    for (size_t v = 0; v < links_.size(); ++v) {
      if (u != v) consider(links_[u][v]);
    }
  }
  return best;
}

int64_t TickModel::SmallestCandidateAbove(int64_t bottleneck) const {
  int64_t best = kNoLimit;
  const auto consider = [&](int64_t ticks) {
    if (ticks > bottleneck) best = std::min(best, ticks);
  };
  for (const std::vector<int64_t>& prefix : prefix_) {
    int end = 1;
    for (int i = 0; i < layers_; ++i) {
      end = std::max(end, i + 1);
      while (end < layers_ && prefix[end] - prefix[i] <= bottleneck) ++end;
      consider(prefix[end] - prefix[i]);
    }
  }
  for (size_t u = 0; u < links_.size(); ++u) {
    for (size_t v = 0; v < links_.size(); ++v) {
      if (u != v) consider(links_[u][v]);
    }
  }
  return best;
}

void TickModel::AddMemory(int64_t bytes) {
  for (int64_t& available : available_) available += bytes;
}

}  // namespace het::scheduler
