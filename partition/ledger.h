// Ledger: the books of one node. What devices there are, which slices are granted, what is free.
// A request for several slices is granted all or none, and a granted slice is never granted twice.
//
// Pure: reads no clock, file or device; a slice's id is its only randomness. Not thread-safe:
// callers lock. Devices that share hardware (same silicon, two names) share their compute and
// memory.
#ifndef HET_PARTITION_LEDGER_H_
#define HET_PARTITION_LEDGER_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "devices/device_info.h"
#include "partition/hardware_pool.h"
#include "partition/refusal.h"
#include "partition/slice.h"

namespace het {

class Ledger {
 public:
  // `new_id` makes the ids of slices (default: random UUIDs).
  explicit Ledger(std::function<std::string()> new_id = nullptr);

  // Replaces the inventory; links devices that overlap in host processors. Granted slices stay
  // granted: those whose device is gone, or is too small now, are kept outside the free capacity
  // and can only be released.
  void SetInventory(std::vector<DeviceInfo> devices);
  const std::vector<DeviceInfo>& devices() const { return devices_; }
  // NotFound names the devices there are. The pointer is valid until the next SetInventory.
  absl::StatusOr<const DeviceInfo*> FindDevice(absl::string_view uuid) const;
  // What a person means: an id, an unambiguous beginning of one, or a backend that only one device
  // has. NotFound names the devices there are.
  absl::StatusOr<const DeviceInfo*> FindMeant(absl::string_view text) const;

  // What is free for one slice of the device (also the largest that fits); zero for a device that
  // is not usable.
  Amount FreeOf(const DeviceInfo& device) const;

  // All or none, in the order of the requests. InvalidArgument names the field ("slices[1].share"),
  // NotFound names the devices there are, FailedPrecondition says why a device cannot be used,
  // ResourceExhausted says what was asked, what is free, the largest slice that fits (ShortageOf)
  // and whether it can fit at all.
  absl::StatusOr<std::vector<Slice>> TryAcquire(absl::Span<const SliceRequest> requests);

  // Gives a granted slice another share (nullopt: the same) or memory, in place. NotFound,
  // InvalidArgument, ResourceExhausted as TryAcquire; FailedPrecondition for a new share of a slice
  // that has cores or units of its own: its work is bound to them.
  absl::StatusOr<Slice> Resize(absl::string_view slice_id, std::optional<Share> share,
                               std::optional<uint64_t> memory_bytes);
  // Another priority class. NotFound.
  absl::StatusOr<Slice> SetPriority(absl::string_view slice_id, Priority priority);
  // Puts a slice back as it was before Resize or SetPriority: nothing else may have been granted
  // since.
  void Restore(const Slice& slice);

  // A draining device grants no new slice and keeps those it has. NotFound.
  absl::Status SetDraining(absl::string_view device, bool draining);
  bool IsDraining(absl::string_view device) const { return draining_.contains(device); }

  // The host processors that a granted slice may use now; empty for other devices.
  std::vector<uint32_t> CoresOf(const Slice& slice) const;
  // The same for all devices that are the same silicon, and for no other: the UUID of one of them.
  std::string PoolOf(absl::string_view device) const;

  // Books slices again as they were granted (after a restart). All or none; ResourceExhausted when
  // a part is taken, AlreadyExists for an id that is granted. A device that is not in the inventory
  // is legal.
  absl::Status Adopt(absl::Span<const Slice> slices);

  // NotFound for a slice that is not granted (released already, or never was).
  absl::Status Release(absl::string_view slice_id);

  const std::map<std::string, Slice, std::less<>>& slices() const { return slices_; }

 private:
  absl::Status Check(absl::Span<const SliceRequest> requests) const;
  // Index of the pool of a device that is in the inventory.
  size_t PoolIndex(const DeviceInfo& device) const;
  void BuildPools();
  absl::Status Refuse(absl::Span<const SliceRequest> requests, const SliceRequest& failed) const;
  // The first request that does not fit even when nothing else is granted, or null.
  const SliceRequest* NeverFits(absl::Span<const SliceRequest> requests) const;

  std::function<std::string()> new_id_;
  std::vector<DeviceInfo> devices_;
  std::map<std::string, size_t, std::less<>> pool_of_device_;
  std::vector<HardwarePool> pools_;
  std::map<std::string, Slice, std::less<>> slices_;
  std::set<std::string, std::less<>> draining_;
  // Slices that no pool has room for any more (their device changed): granted, but not booked.
  std::map<std::string, Slice, std::less<>> stranded_;
};

}  // namespace het

#endif  // HET_PARTITION_LEDGER_H_
