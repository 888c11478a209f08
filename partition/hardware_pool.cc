#include "partition/hardware_pool.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace het {
namespace {

bool OverlapInCores(const DeviceInfo& a, const DeviceInfo& b) {
  if (a.simulated || b.simulated) return false;
  const std::set<uint32_t> of_a(a.cores.begin(), a.cores.end());
  return std::any_of(b.cores.begin(), b.cores.end(),
                     [&of_a](uint32_t core) { return of_a.contains(core); });
}

void AddUnique(std::vector<std::string>& list, const std::string& entry) {
  if (std::find(list.begin(), list.end(), entry) == list.end()) list.push_back(entry);
}

// The memory behind all devices of a pool: the largest single view of it, or what devices without
// a common core (one per NUMA node) have together.
uint64_t MemoryBehind(const std::vector<DeviceInfo>& devices) {
  uint64_t largest = 0;
  uint64_t together = 0;
  std::set<uint32_t> counted;
  for (const DeviceInfo& device : devices) {
    largest = std::max(largest, device.memory_bytes);
    const bool disjoint =
        !device.cores.empty() &&
        std::none_of(device.cores.begin(), device.cores.end(),
                     [&counted](uint32_t core) { return counted.contains(core); });
    if (!disjoint) continue;
    counted.insert(device.cores.begin(), device.cores.end());
    together += device.memory_bytes;
  }
  return std::max(largest, together) / kMiB * kMiB;
}

uint64_t RoundUpToMiB(uint64_t bytes) {
  if (bytes > UINT64_MAX - kMiB) return UINT64_MAX / kMiB * kMiB;
  return (bytes + kMiB - 1) / kMiB * kMiB;
}

// Native units for a share of a device that divides in the driver, and whether they are exact.
uint32_t UnitsFor(const DeviceInfo& device, Share share, bool& exact) {
  const uint64_t scaled = uint64_t{device.compute_units} * share.parts();
  exact = device.compute_units > 0 && scaled % Share::kWhole == 0;
  return static_cast<uint32_t>(std::max<uint64_t>(1, (scaled + Share::kWhole / 2) / Share::kWhole));
}

}  // namespace

void LinkSharedHardware(std::vector<DeviceInfo>& devices) {
  std::set<std::string> known;
  for (const DeviceInfo& device : devices) known.insert(device.uuid);
  for (DeviceInfo& device : devices) {
    std::erase_if(device.shares_hardware_with, [&](const std::string& uuid) {
      return uuid == device.uuid || !known.contains(uuid);
    });
  }
  for (DeviceInfo& a : devices) {
    for (DeviceInfo& b : devices) {
      if (&a == &b) continue;
      const auto& links = a.shares_hardware_with;
      const bool linked = std::find(links.begin(), links.end(), b.uuid) != links.end();
      if (!linked && !OverlapInCores(a, b)) continue;
      AddUnique(a.shares_hardware_with, b.uuid);
      AddUnique(b.shares_hardware_with, a.uuid);
    }
  }
}

HardwarePool::HardwarePool(const std::vector<DeviceInfo>& devices)
    : memory_bytes_(MemoryBehind(devices)) {
  for (const DeviceInfo& device : devices) {
    for (uint32_t core : device.cores) used_core_parts_[core] = 0;
  }
}

Amount HardwarePool::FreeOf(const DeviceInfo& device) const {
  Amount free;
  const auto used = used_memory_by_device_.find(device.uuid);
  const uint64_t used_of_device = used == used_memory_by_device_.end() ? 0 : used->second;
  const uint64_t limit = device.memory_bytes / kMiB * kMiB;
  free.memory_bytes = std::min(limit > used_of_device ? limit - used_of_device : 0,
                               memory_bytes_ - std::min(memory_bytes_, used_memory_bytes_));
  if (device.cores.empty()) {
    free.share = Share::OfParts(Share::kWhole - std::min(Share::kWhole, used_share_parts_));
    return free;
  }
  uint64_t parts = 0;
  for (uint32_t core : device.cores) parts += Share::kWhole - used_core_parts_.at(core);
  free.share = Share::OfParts(static_cast<uint32_t>(parts / device.cores.size()));
  return free;
}

bool HardwarePool::HasMemory(const DeviceInfo& device, uint64_t bytes) const {
  return bytes <= FreeOf(device).memory_bytes;
}

std::optional<HardwarePool::Placement> HardwarePool::PlaceOnCores(const DeviceInfo& device,
                                                                  Share share) const {
  std::vector<uint32_t> cores = device.cores;
  std::sort(cores.begin(), cores.end());
  uint64_t wanted = uint64_t{share.parts()} * cores.size();
  Placement placement;
  std::vector<uint32_t> rest;  // cores that are not taken whole
  const auto free_of = [this](uint32_t core) { return Share::kWhole - used_core_parts_.at(core); };
  const auto take = [&](uint32_t core, uint32_t parts) {
    placement.cores.push_back(core);
    placement.parts.push_back(parts);
    wanted -= parts;
  };
  for (uint32_t core : cores) {
    if (wanted >= Share::kWhole && free_of(core) == Share::kWhole) {
      take(core, Share::kWhole);
    } else if (free_of(core) > 0) {
      rest.push_back(core);
    }
  }
  // The fullest core that has room for all of the remainder keeps the others whole.
  std::stable_sort(rest.begin(), rest.end(),
                   [&](uint32_t a, uint32_t b) { return free_of(a) < free_of(b); });
  for (uint32_t core : rest) {
    if (wanted > 0 && free_of(core) >= wanted) take(core, static_cast<uint32_t>(wanted));
  }
  for (auto core = rest.rbegin(); core != rest.rend() && wanted > 0; ++core) {
    take(*core, static_cast<uint32_t>(std::min<uint64_t>(wanted, free_of(*core))));
  }
  if (wanted > 0) return std::nullopt;
  return placement;
}

std::optional<Slice> HardwarePool::Book(const DeviceInfo& device, const SliceRequest& request) {
  Slice slice;
  slice.device = request.device;
  slice.share = request.share;
  slice.policy = request.policy;
  slice.memory_bytes = RoundUpToMiB(request.memory_bytes);
  if (!HasMemory(device, slice.memory_bytes)) return std::nullopt;
  bool exact = false;
  if (device.cores.empty()) {
    if (request.share > FreeOf(device).share) return std::nullopt;
    if (device.can_sub_divide) slice.compute_units = UnitsFor(device, request.share, exact);
  } else {
    std::optional<Placement> placement = PlaceOnCores(device, request.share);
    if (!placement) return std::nullopt;
    exact = std::all_of(placement->parts.begin(), placement->parts.end(),
                        [](uint32_t parts) { return parts == Share::kWhole; });
    slice.cores = std::move(placement->cores);
    slice.core_parts = std::move(placement->parts);
  }
  const bool held_by_driver =
      exact && (device.can_sub_divide ||
                (!device.cores.empty() && slice.cores.size() == device.cores.size()));
  slice.isolation = held_by_driver ? Isolation::kDriver : Isolation::kCooperative;
  Add(device, slice);
  return slice;
}

bool HardwarePool::BookAgain(const DeviceInfo& device, const Slice& slice) {
  if (!HasMemory(device, slice.memory_bytes)) return false;
  if (slice.cores.empty() != device.cores.empty()) return false;
  if (slice.cores.empty() && slice.share > FreeOf(device).share) return false;
  for (size_t i = 0; i < slice.cores.size(); ++i) {
    const auto used = used_core_parts_.find(slice.cores[i]);
    if (used == used_core_parts_.end()) return false;
    if (slice.core_parts[i] > Share::kWhole - used->second) return false;
  }
  Add(device, slice);
  return true;
}

void HardwarePool::Add(const DeviceInfo& device, const Slice& slice) {
  used_memory_bytes_ += slice.memory_bytes;
  used_memory_by_device_[device.uuid] += slice.memory_bytes;
  if (slice.cores.empty()) used_share_parts_ += slice.share.parts();
  for (size_t i = 0; i < slice.cores.size(); ++i) {
    used_core_parts_[slice.cores[i]] += slice.core_parts[i];
  }
}

void HardwarePool::Unbook(const DeviceInfo& device, const Slice& slice) {
  used_memory_bytes_ -= slice.memory_bytes;
  used_memory_by_device_[device.uuid] -= slice.memory_bytes;
  if (slice.cores.empty()) used_share_parts_ -= slice.share.parts();
  for (size_t i = 0; i < slice.cores.size(); ++i) {
    used_core_parts_[slice.cores[i]] -= slice.core_parts[i];
  }
}

}  // namespace het
