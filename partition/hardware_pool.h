// HardwarePool: silicon that one or more devices of the inventory stand for, and what is booked of
// it. The cpu device and an OpenCL device of type CPU are the same cores and the same memory, so
// they draw from one pool.
//
// How compute is held is chosen here, for all slices of the pool together. On host processors a
// share of whole cores gets them for itself; all others share the cores that are left, in time, so
// that 37 % of two cores is 37 % of the time of both while nobody has one alone. Devices without
// cores give driver units where the share makes whole ones, else time. Memory is one number of
// bytes for the pool, and no device of it may pass its own size.
//
// Pure books: a value type, not thread-safe, no failure but "does not fit".
#ifndef HET_PARTITION_HARDWARE_POOL_H_
#define HET_PARTITION_HARDWARE_POOL_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/units.h"
#include "devices/device_info.h"
#include "partition/refusal.h"
#include "partition/slice.h"

namespace het {

// Fills shares_hardware_with (both ways) for real devices that overlap in host processors. Existing
// entries stay; entries for devices that are not in the list are dropped.
void LinkSharedHardware(std::vector<DeviceInfo>& devices);

class HardwarePool {
 public:
  // Devices of one pool, linked directly or through others. All share their memory.
  explicit HardwarePool(const std::vector<DeviceInfo>& devices);

  // What is free for one slice of this device: every slice up to this share and memory fits.
  Amount FreeOf(const DeviceInfo& device) const;
  // Books a slice (share, memory, cores, compute_units, time_shared, isolation are filled in), or
  // nullopt when it does not fit. Whole cores are the lowest free ones.
  std::optional<Slice> Book(const DeviceInfo& device, const SliceRequest& request);
  // Books a slice as it was granted before (after a restart). False when that is not free.
  bool BookAgain(const DeviceInfo& device, const Slice& slice);
  static uint64_t RoundUp(uint64_t memory_bytes);  // to whole MiB, as Book does
  // Takes back what Book or BookAgain booked.
  void Unbook(const DeviceInfo& device, const Slice& slice);

  // The device's cores that no slice has alone: where its time-shared slices run now, ascending.
  std::vector<uint32_t> SharedCores(const DeviceInfo& device) const;

 private:
  using Cores = std::vector<uint32_t>;  // of one device, ascending

  bool HasMemory(const DeviceInfo& device, uint64_t bytes) const;
  // Core parts (1/10000) that a time-shared slice of these cores can still have.
  uint64_t FreeParts(const Cores& cores) const;
  bool SharedFit() const;
  std::optional<Cores> TakeWhole(const DeviceInfo& device, size_t count);
  void AddShared(const DeviceInfo& device, Share share, Policy policy, bool back);

  std::set<uint32_t> cores_;
  std::set<uint32_t> taken_;                // cores that a slice has alone
  std::map<Cores, uint64_t> shared_parts_;  // a device's cores -> parts its time-shared slices have
  uint32_t used_share_parts_ = 0;           // devices without cores
  uint64_t memory_bytes_ = 0;
  uint64_t used_memory_bytes_ = 0;
  std::map<std::string, uint64_t> used_memory_by_device_;
};

}  // namespace het

#endif  // HET_PARTITION_HARDWARE_POOL_H_
