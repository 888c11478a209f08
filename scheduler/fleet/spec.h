// What a node has and what a job asks for, as plain values.
//
// Compute of a device is counted in thousandths ("milli"), processors in thousandths of a core,
// memory in MiB. A job takes the same share of each of its devices, all on one node. Device models
// are small numbers; Models (trace.h) keeps their names.
//
// Threads: plain values.
#ifndef HET_SCHEDULER_FLEET_SPEC_H_
#define HET_SCHEDULER_FLEET_SPEC_H_

#include <compare>
#include <cstdint>
#include <utility>

namespace het::fleet {

inline constexpr int kWholeDevice = 1000;  // milli
inline constexpr int kMaxDevices = 32;     // of one node, or parts of cut devices
inline constexpr int kMaxModels = 64;
// Of one node or one job; keeps every sum over a fleet in an int64.
inline constexpr int32_t kMaxCpuMilli = 1'000'000'000;
inline constexpr int32_t kMaxMemoryMib = 1'000'000'000;

// What is free of one device.
struct DeviceFree {
  int32_t milli = 0;
  int32_t memory_mib = 0;
  // Where it sits: devices of one island are linked directly (NVLink, xGMI), those of one NUMA node
  // without crossing sockets. Island 0: not linked.
  int16_t island = 0;
  int16_t numa = 0;
  bool operator==(const DeviceFree&) const = default;
  auto operator<=>(const DeviceFree&) const = default;
};

struct NodeSpec {
  int32_t cpu_milli = 0;
  int32_t memory_mib = 0;
  int32_t devices = 0;  // at most kMaxDevices
  int32_t model = 0;    // of all its devices
  // Of each device; 0: not known, and no job is refused for it.
  int32_t device_memory_mib = 0;
  int32_t device_milli = kWholeDevice;  // less where devices are cut into fixed parts
  // So many neighbours are linked directly, and so many sit on one NUMA node; 0: none is, all do.
  int16_t devices_per_island = 0;
  int16_t devices_per_numa = 0;
  bool operator==(const NodeSpec&) const = default;

  // One that nobody uses.
  DeviceFree Device(int number) const {
    return {device_milli, device_memory_mib,
            static_cast<int16_t>(devices_per_island > 1 ? number / devices_per_island + 1 : 0),
            static_cast<int16_t>(devices_per_numa > 0 ? number / devices_per_numa : 0)};
  }
};

struct JobSpec {
  int32_t cpu_milli = 0;
  int32_t memory_mib = 0;
  int32_t devices = 0;            // 0: a job without devices
  int32_t milli = 0;              // of each device, 1 to kWholeDevice; 0 without devices
  int32_t device_memory_mib = 0;  // of each device
  uint64_t models = 0;            // a bit per model that will do; 0: any
  bool operator==(const JobSpec&) const = default;

  int64_t TotalMilli() const { return int64_t{devices} * milli; }
  bool Accepts(int model) const { return models == 0 || (models >> model & 1) != 0; }
  template <typename H>
  friend H AbslHashValue(H h, const JobSpec& s) {
    return H::combine(std::move(h), s.cpu_milli, s.memory_mib, s.devices, s.milli,
                      s.device_memory_mib, s.models);
  }
};

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_SPEC_H_
