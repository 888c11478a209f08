// HardwarePool: silicon that one or more devices of the inventory stand for, and what is booked of
// it. The cpu device and an OpenCL device of type CPU are the same cores and the same memory, so
// they draw from one pool.
//
// Compute is booked per host processor where the devices have cores (10000 parts each), else as one
// share of 100 %. Memory is one number of bytes for the pool, and no device of it may pass its own
// size. Pure books: a value type, not thread-safe, no failure but "does not fit".
#ifndef HET_PARTITION_HARDWARE_POOL_H_
#define HET_PARTITION_HARDWARE_POOL_H_

#include <cstdint>
#include <map>
#include <optional>
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
  // Books a slice (share, memory, cores, core_parts, compute_units, isolation are filled in), or
  // nullopt when it does not fit. Whole cores are exclusive, the lowest free ones first; the
  // remainder goes to a core that other fractions use already (the fullest that still has room),
  // else to a free core, else to several cores.
  std::optional<Slice> Book(const DeviceInfo& device, const SliceRequest& request);
  // Books a slice as it was granted before (after a restart). False when that is not free.
  bool BookAgain(const DeviceInfo& device, const Slice& slice);
  // Takes back what Book or BookAgain booked.
  void Unbook(const DeviceInfo& device, const Slice& slice);

 private:
  struct Placement {
    std::vector<uint32_t> cores;
    std::vector<uint32_t> parts;
  };
  bool HasMemory(const DeviceInfo& device, uint64_t bytes) const;
  std::optional<Placement> PlaceOnCores(const DeviceInfo& device, Share share) const;
  void Add(const DeviceInfo& device, const Slice& slice);

  std::map<uint32_t, uint32_t> used_core_parts_;  // host processor -> booked, of 10000
  uint32_t used_share_parts_ = 0;                 // devices without cores
  uint64_t memory_bytes_ = 0;
  uint64_t used_memory_bytes_ = 0;
  std::map<std::string, uint64_t> used_memory_by_device_;
};

}  // namespace het

#endif  // HET_PARTITION_HARDWARE_POOL_H_
