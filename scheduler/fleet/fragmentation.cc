#include "scheduler/fleet/fragmentation.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace het::fleet {
namespace {

using Key = std::tuple<int, int, int, uint64_t, int, int>;  // as published, ties: larger first

std::vector<std::pair<double, Key>> MostPopular(const std::vector<Demand>& demand,
                                                const Fragmentation::Options& options) {
  std::map<Key, double> merged;
  double total = 0;
  for (const Demand& d : demand) {
    const JobSpec& s = d.spec;
    if (options.with_memory) {
      merged[{s.cpu_milli, s.milli, s.devices, s.models, s.memory_mib, s.device_memory_mib}] +=
          d.weight;
    } else {
      merged[{s.cpu_milli, s.milli, s.devices, s.models, 0, 0}] += d.weight;
    }
    total += d.weight;
  }
  std::vector<std::pair<double, Key>> order;
  for (const auto& [key, weight] : merged) order.emplace_back(weight, key);
  std::sort(order.rbegin(), order.rend());
  double covered = 0;
  size_t kept = 0;
  while (covered < options.coverage * total && kept < order.size()) {
    for (size_t k = 0; k < options.step && kept < order.size(); ++k) covered += order[kept++].first;
  }
  order.resize(kept);
  for (auto& [weight, key] : order) weight /= covered;
  return order;
}

}  // namespace

Fragmentation::Fragmentation(const std::vector<Demand>& demand, const Options& options) {
  std::map<std::tuple<int, int, uint64_t, int>, std::vector<std::tuple<int, int, double>>> groups;
  for (const auto& [share, key] : MostPopular(demand, options)) {
    const auto& [cpu, milli, devices, models, memory, device_memory] = key;
    if (devices == 0) {
      without_devices_ += static_cast<float>(share);
    } else {
      groups[{milli, devices, models, device_memory}].emplace_back(cpu, memory, share);
    }
  }
  for (const auto& [key, kinds] : groups) {
    Group group;
    std::tie(group.milli, group.devices, group.models, group.device_memory_mib) = key;
    group.begin = cpu_.size();
    for (const auto& [cpu, memory, share] : kinds) {
      cpu_.push_back(cpu);
      memory_.push_back(memory);
      share_.push_back(static_cast<float>(share));
      group.share += static_cast<float>(share);
    }
    group.end = cpu_.size();
    groups_.push_back(group);
  }
}

double Fragmentation::Of(const NodeState& state) const {
  const int64_t total = state.FreeMilli();
  if (total == 0) return 0;
  double sum = without_devices_ * static_cast<double>(total);
  for (const Group& group : groups_) {
    const JobSpec shape{.devices = group.devices,
                        .milli = group.milli,
                        .device_memory_mib = group.device_memory_mib,
                        .models = group.models};
    int fit = 0;
    int64_t unusable = 0;
    for (int i = 0; i < state.device_count; ++i) {
      if (state.DeviceFits(i, shape)) {
        ++fit;
      } else {
        unusable += state.devices[i].milli;
      }
    }
    if (fit < group.devices || !shape.Accepts(state.model)) {
      sum += group.share * static_cast<double>(total);
      continue;
    }
    float blocked = 0;  // share of kinds that lack cores or memory here
    for (size_t k = group.begin; k < group.end; ++k) {
      blocked += cpu_[k] > state.cpu_milli || memory_[k] > state.memory_mib ? share_[k] : 0.0f;
    }
    sum += blocked * static_cast<double>(total) +
           (group.share - blocked) * static_cast<double>(unusable);
  }
  return sum;
}

}  // namespace het::fleet
