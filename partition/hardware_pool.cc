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

// Native units for a share of a device that divides in the driver, and whether they are exact.
uint32_t UnitsFor(const DeviceInfo& device, Share share, bool& exact) {
  const uint64_t scaled = uint64_t{device.compute_units} * share.parts();
  exact = device.compute_units > 0 && scaled % Share::kWhole == 0;
  return static_cast<uint32_t>(std::max<uint64_t>(1, (scaled + Share::kWhole / 2) / Share::kWhole));
}

std::vector<uint32_t> Sorted(std::vector<uint32_t> cores) {
  std::sort(cores.begin(), cores.end());
  return cores;
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
  for (const DeviceInfo& device : devices) cores_.insert(device.cores.begin(), device.cores.end());
}

Amount HardwarePool::FreeOf(const DeviceInfo& device) const {
  Amount free;
  const auto used = used_memory_by_device_.find(device.uuid);
  const uint64_t used_of_device = used == used_memory_by_device_.end() ? 0 : used->second;
  const uint64_t limit = device.memory_bytes / kMiB * kMiB;
  free.memory_bytes = std::min(limit > used_of_device ? limit - used_of_device : 0,
                               memory_bytes_ - std::min(memory_bytes_, used_memory_bytes_));
  const uint64_t parts = device.cores.empty()
                             ? Share::kWhole - std::min(Share::kWhole, used_share_parts_)
                             : FreeParts(Sorted(device.cores)) / device.cores.size();
  free.share = Share::OfParts(static_cast<uint32_t>(parts));
  return free;
}

uint64_t HardwarePool::RoundUp(uint64_t memory_bytes) {
  if (memory_bytes > UINT64_MAX - kMiB) return UINT64_MAX / kMiB * kMiB;
  return (memory_bytes + kMiB - 1) / kMiB * kMiB;
}

bool HardwarePool::HasMemory(const DeviceInfo& device, uint64_t bytes) const {
  return bytes <= FreeOf(device).memory_bytes;
}

std::vector<uint32_t> HardwarePool::SharedCores(const DeviceInfo& device) const {
  Cores shared = Sorted(device.cores);
  std::erase_if(shared, [this](uint32_t core) { return taken_.contains(core); });
  return shared;
}

// Time-shared slices of devices with different cores (one per NUMA node, and the whole machine) fit
// exactly when those of every group of devices fit the cores that the group has (Hall's condition).
// There are few different sets of cores; beyond kMostSets only each alone and all together are
// looked at, which is what matters when they nest or are disjoint.
uint64_t HardwarePool::FreeParts(const Cores& cores) const {
  constexpr size_t kMostSets = 8;
  std::vector<std::pair<const Cores*, uint64_t>> others;
  uint64_t own = 0;
  for (const auto& [set, parts] : shared_parts_) {
    if (set == cores) {
      own = parts;
    } else {
      others.emplace_back(&set, parts);
    }
  }
  const auto free_of = [&](const auto& is_in_group) {
    std::set<uint32_t> group(cores.begin(), cores.end());
    uint64_t used = own;
    for (size_t i = 0; i < others.size(); ++i) {
      if (!is_in_group(i)) continue;
      group.insert(others[i].first->begin(), others[i].first->end());
      used += others[i].second;
    }
    std::erase_if(group, [this](uint32_t core) { return taken_.contains(core); });
    const uint64_t has = uint64_t{Share::kWhole} * group.size();
    return has > used ? has - used : 0;
  };
  uint64_t free = UINT64_MAX;
  if (others.size() <= kMostSets) {
    for (uint32_t group = 0; group < (1u << others.size()); ++group) {
      free = std::min(free, free_of([group](size_t i) { return (group >> i & 1) != 0; }));
    }
    return free;
  }
  free = std::min(free_of([](size_t) { return false; }), free_of([](size_t) { return true; }));
  for (size_t only = 0; only < others.size(); ++only) {
    free = std::min(free, free_of([only](size_t i) { return i == only; }));
  }
  return free;
}

// Whether the time-shared slices still fit what is not taken. FreeParts stops at 0, so a set that
// lacks something is found by asking for one part more than nothing.
bool HardwarePool::SharedFit() const {
  for (const auto& [set, parts] : shared_parts_) {
    HardwarePool without = *this;
    without.shared_parts_.erase(set);
    if (without.FreeParts(set) < parts) return false;
  }
  return true;
}

std::optional<HardwarePool::Cores> HardwarePool::TakeWhole(const DeviceInfo& device, size_t count) {
  Cores whole;
  for (uint32_t core : SharedCores(device)) {
    if (whole.size() == count) break;
    taken_.insert(core);
    if (SharedFit()) {
      whole.push_back(core);
    } else {
      taken_.erase(core);
    }
  }
  if (whole.size() == count) return whole;
  for (uint32_t core : whole) taken_.erase(core);
  return std::nullopt;
}

void HardwarePool::AddShared(const DeviceInfo& device, Share share, Policy policy, bool back) {
  if (policy == Policy::kBestEffort) return;
  if (device.cores.empty()) {
    used_share_parts_ += back ? -share.parts() : share.parts();
    return;
  }
  const auto it = shared_parts_.try_emplace(Sorted(device.cores), 0).first;
  const uint64_t parts = uint64_t{share.parts()} * device.cores.size();
  it->second += back ? -parts : parts;
  if (it->second == 0) shared_parts_.erase(it);
}

std::optional<Slice> HardwarePool::Book(const DeviceInfo& device, const SliceRequest& request) {
  Slice slice;
  slice.name = request.name;
  slice.device = request.device;
  slice.placement = request.placement;
  slice.share = request.share;
  slice.policy = request.policy;
  slice.priority = request.priority;
  slice.memory_bytes = RoundUp(request.memory_bytes);
  slice.time_shared = true;
  const bool booked = request.policy != Policy::kBestEffort;
  if (!HasMemory(device, slice.memory_bytes)) return std::nullopt;
  if (booked && request.share > FreeOf(device).share) return std::nullopt;
  const uint64_t parts = uint64_t{request.share.parts()} * device.cores.size();
  if (!device.cores.empty()) {
    if (booked && parts % Share::kWhole == 0) {
      if (std::optional<Cores> whole = TakeWhole(device, parts / Share::kWhole)) {
        slice.cores = *std::move(whole);
        slice.time_shared = false;
      }
    }
    if (slice.time_shared) slice.cores = SharedCores(device);
    if (slice.cores.empty()) return std::nullopt;
  } else if (booked && device.can_sub_divide) {
    bool exact = false;
    slice.compute_units = UnitsFor(device, request.share, exact);
    slice.time_shared = !exact;
  }
  const bool held_by_driver = device.can_sub_divide || slice.cores.size() == device.cores.size();
  slice.isolation =
      !slice.time_shared && held_by_driver ? Isolation::kDriver : Isolation::kCooperative;
  // A MIG instance that nobody else has a booked part of.
  if (booked && request.share.parts() == Share::kWhole && device.attributes.contains("mig")) {
    slice.isolation = Isolation::kHardware;
  }
  if (slice.time_shared || slice.cores.empty()) AddShared(device, slice.share, slice.policy, false);
  used_memory_bytes_ += slice.memory_bytes;
  used_memory_by_device_[device.uuid] += slice.memory_bytes;
  return slice;
}

bool HardwarePool::BookAgain(const DeviceInfo& device, const Slice& slice) {
  if (!HasMemory(device, slice.memory_bytes)) return false;
  if (slice.cores.empty() != device.cores.empty()) return false;
  if (slice.time_shared || slice.cores.empty()) {
    const bool booked = slice.policy != Policy::kBestEffort;
    if (booked && slice.share > FreeOf(device).share) return false;
    AddShared(device, slice.share, slice.policy, false);
  } else {
    for (uint32_t core : slice.cores) {
      if (!cores_.contains(core) || taken_.contains(core)) return false;
    }
    taken_.insert(slice.cores.begin(), slice.cores.end());
    if (!SharedFit()) {
      for (uint32_t core : slice.cores) taken_.erase(core);
      return false;
    }
  }
  used_memory_bytes_ += slice.memory_bytes;
  used_memory_by_device_[device.uuid] += slice.memory_bytes;
  return true;
}

void HardwarePool::Unbook(const DeviceInfo& device, const Slice& slice) {
  used_memory_bytes_ -= slice.memory_bytes;
  used_memory_by_device_[device.uuid] -= slice.memory_bytes;
  if (slice.time_shared || slice.cores.empty()) {
    AddShared(device, slice.share, slice.policy, true);
  } else {
    for (uint32_t core : slice.cores) taken_.erase(core);
  }
}

}  // namespace het
