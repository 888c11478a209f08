#include "partition/ledger.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/uuid.h"

namespace het {
namespace {

std::string Describe(const DeviceInfo& device) {
  return absl::StrCat(device.name.empty() ? device.backend : device.name, " (", device.uuid, ")");
}

std::string Describe(const Amount& amount) {
  return absl::StrCat(FormatShare(amount.share), " and ", FormatBytes(amount.memory_bytes));
}

uint64_t SaturatingAdd(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

// What a request wants of one device in all.
Amount Wanted(absl::Span<const SliceRequest> requests, absl::string_view device) {
  Amount wanted;
  for (const SliceRequest& request : requests) {
    if (request.device != device) continue;
    wanted.share = wanted.share + request.share;
    wanted.memory_bytes = SaturatingAdd(wanted.memory_bytes, request.memory_bytes);
  }
  return wanted;
}

}  // namespace

Ledger::Ledger(std::function<std::string()> new_id)
    : new_id_(new_id ? std::move(new_id) : NewUuid) {}

void Ledger::SetInventory(std::vector<DeviceInfo> devices) {
  devices_ = std::move(devices);
  LinkSharedHardware(devices_);
  BuildPools();
  stranded_.clear();
  for (const auto& [id, slice] : slices_) {
    const absl::StatusOr<const DeviceInfo*> device = FindDevice(slice.device);
    if (!device.ok() || !pools_[PoolIndex(**device)].BookAgain(**device, slice)) {
      stranded_.emplace(id, slice);
    }
  }
}

void Ledger::BuildPools() {
  pool_of_device_.clear();
  pools_.clear();
  for (const DeviceInfo& first : devices_) {
    if (pool_of_device_.contains(first.uuid)) continue;
    // Everything that can be reached over shares_hardware_with.
    std::vector<DeviceInfo> members = {first};
    pool_of_device_[first.uuid] = pools_.size();
    for (size_t i = 0; i < members.size(); ++i) {
      const std::vector<std::string> links = members[i].shares_hardware_with;
      for (const std::string& uuid : links) {
        const absl::StatusOr<const DeviceInfo*> device = FindDevice(uuid);
        if (!device.ok() || !pool_of_device_.emplace(uuid, pools_.size()).second) continue;
        members.push_back(**device);
      }
    }
    pools_.emplace_back(members);
  }
}

absl::StatusOr<const DeviceInfo*> Ledger::FindDevice(absl::string_view uuid) const {
  for (const DeviceInfo& device : devices_) {
    if (device.uuid == uuid) return &device;
  }
  return absl::NotFoundError(absl::StrCat(
      "no device ", uuid, "; there are: ",
      devices_.empty() ? "none"
                       : absl::StrJoin(devices_, ", ", [](std::string* out, const DeviceInfo& d) {
                           absl::StrAppend(out, Describe(d));
                         })));
}

absl::StatusOr<const DeviceInfo*> Ledger::FindMeant(absl::string_view text) const {
  std::vector<const DeviceInfo*> by_id, by_backend;
  for (const DeviceInfo& device : devices_) {
    if (!text.empty() && absl::StartsWith(device.uuid, text)) by_id.push_back(&device);
    if (device.backend == text) by_backend.push_back(&device);
  }
  if (by_id.size() == 1) return by_id.front();
  if (by_id.empty() && by_backend.size() == 1) return by_backend.front();
  return FindDevice(text);
}

size_t Ledger::PoolIndex(const DeviceInfo& device) const { return pool_of_device_.at(device.uuid); }

Amount Ledger::FreeOf(const DeviceInfo& device) const {
  if (device.state != DeviceState::kOk || !pool_of_device_.contains(device.uuid)) return {};
  if (IsDraining(device.uuid)) return {};
  return pools_[PoolIndex(device)].FreeOf(device);
}

absl::Status Ledger::Check(absl::Span<const SliceRequest> requests) const {
  if (requests.empty()) return InvalidField("slices", "is empty; ask for at least one slice");
  for (size_t i = 0; i < requests.size(); ++i) {
    const SliceRequest& request = requests[i];
    const auto field = [i](const char* name) { return absl::StrCat("slices[", i, "].", name); };
    HET_ASSIGN_OR_RETURN(const DeviceInfo* device, FindDevice(request.device));
    if (device->state != DeviceState::kOk) {
      return absl::FailedPreconditionError(
          absl::StrCat(Describe(*device), " is ", DeviceStateName(device->state), ": ",
                       device->reason, device->remedy.empty() ? "" : "; ", device->remedy));
    }
    if (request.share.parts() < kSmallestShareParts || request.share > Share::Whole()) {
      return InvalidField(field("sharePercent"),
                          absl::StrCat("is ", FormatShare(request.share), ", must be 1% to 100%"));
    }
    if (request.memory_bytes == 0) {
      return InvalidField(field("memoryBytes"), "is 0; a slice has at least one byte");
    }
  }
  return absl::OkStatus();
}

absl::Status Ledger::SetDraining(absl::string_view device, bool draining) {
  HET_RETURN_IF_ERROR(FindDevice(device).status());
  if (draining) {
    draining_.emplace(device);
  } else {
    draining_.erase(std::string(device));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Slice>> Ledger::TryAcquire(absl::Span<const SliceRequest> requests) {
  HET_RETURN_IF_ERROR(Check(requests));
  for (const SliceRequest& request : requests) {
    if (!IsDraining(request.device)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(Describe(**FindDevice(request.device)),
                     " is drained: it grants no new slices until hetctl undrain ", request.device));
  }
  std::vector<Slice> granted;
  for (const SliceRequest& request : requests) {
    const DeviceInfo& device = **FindDevice(request.device);
    std::optional<Slice> slice = pools_[PoolIndex(device)].Book(device, request);
    if (!slice) {
      for (const Slice& taken : granted) {
        const DeviceInfo& back = **FindDevice(taken.device);
        pools_[PoolIndex(back)].Unbook(back, taken);
      }
      return Refuse(requests, request);
    }
    slice->id = new_id_();
    granted.push_back(*std::move(slice));
  }
  for (const Slice& slice : granted) slices_.emplace(slice.id, slice);
  return granted;
}

absl::Status Ledger::Refuse(absl::Span<const SliceRequest> requests,
                            const SliceRequest& failed) const {
  const SliceRequest* misfit = NeverFits(requests);
  const bool never = misfit != nullptr;
  const DeviceInfo& device = **FindDevice(never ? misfit->device : failed.device);
  Shortage shortage;
  shortage.device = device.uuid;
  shortage.requested = Wanted(requests, device.uuid);
  shortage.free = FreeOf(device);
  shortage.largest_free = shortage.free;
  shortage.never_fits = never;
  std::string message =
      absl::StrCat("asked ", Describe(shortage.requested), " of ", Describe(device));
  for (const std::string& other : device.shares_hardware_with) {
    const Amount too = Wanted(requests, other);
    if (too.memory_bytes > 0) {
      absl::StrAppend(&message, " and ", Describe(too), " of ", other,
                      ", which is the same hardware");
    }
  }
  if (never) {
    absl::StrAppend(&message, ", which has 100% and ", FormatBytes(device.memory_bytes),
                    " in all: this can never fit; ");
  } else {
    absl::StrAppend(&message, "; ");
  }
  absl::StrAppend(&message, Describe(shortage.free), " are free, the largest slice that fits is ",
                  Describe(shortage.largest_free));
  return NoCapacity(message, shortage);
}

const SliceRequest* Ledger::NeverFits(absl::Span<const SliceRequest> requests) const {
  Ledger empty([] { return ""; });
  empty.devices_ = devices_;
  empty.BuildPools();
  for (const SliceRequest& request : requests) {
    const DeviceInfo& device = **empty.FindDevice(request.device);
    if (!empty.pools_[empty.PoolIndex(device)].Book(device, request)) return &request;
  }
  return nullptr;
}

absl::Status Ledger::Adopt(absl::Span<const Slice> slices) {
  std::vector<const Slice*> booked;
  std::set<absl::string_view> seen;
  absl::Status failure;
  for (const Slice& slice : slices) {
    const absl::StatusOr<const DeviceInfo*> device = FindDevice(slice.device);
    if (slices_.contains(slice.id) || !seen.insert(slice.id).second) {
      failure = absl::AlreadyExistsError(absl::StrCat("slice ", slice.id, " is granted already"));
    } else if (device.ok() && !pools_[PoolIndex(**device)].BookAgain(**device, slice)) {
      failure = absl::ResourceExhaustedError(
          absl::StrCat("slice ", slice.id, " of ", Describe(**device), " is not free any more"));
    }
    if (!failure.ok()) break;
    if (device.ok()) booked.push_back(&slice);
  }
  if (!failure.ok()) {
    for (const Slice* slice : booked) {
      const DeviceInfo& device = **FindDevice(slice->device);
      pools_[PoolIndex(device)].Unbook(device, *slice);
    }
    return failure;
  }
  for (const Slice& slice : slices) {
    slices_.emplace(slice.id, slice);
    if (!FindDevice(slice.device).ok()) stranded_.emplace(slice.id, slice);
  }
  return absl::OkStatus();
}

absl::StatusOr<Slice> Ledger::Resize(absl::string_view slice_id, std::optional<Share> share,
                                     std::optional<uint64_t> memory_bytes) {
  const auto it = slices_.find(slice_id);
  if (it == slices_.end()) {
    return absl::NotFoundError(absl::StrCat("no granted slice ", slice_id));
  }
  Slice& slice = it->second;
  SliceRequest request = {slice.device,
                          share.value_or(slice.share),
                          memory_bytes.value_or(slice.memory_bytes),
                          slice.policy,
                          slice.priority,
                          slice.name};
  HET_RETURN_IF_ERROR(Check({&request, 1}));
  const DeviceInfo& device = **FindDevice(slice.device);
  if (stranded_.contains(slice_id)) {
    return absl::FailedPreconditionError(absl::StrCat(Describe(device), " has changed since slice ",
                                                      slice_id, " was granted; release it"));
  }
  const bool same_share = request.share == slice.share;
  if (!same_share && !slice.time_shared) {
    return absl::FailedPreconditionError(absl::StrCat(
        "slice ", slice_id, " has ", slice.cores.empty() ? "units" : "cores",
        " of its own, to which its work is bound: another share needs a new slice. Release it and "
        "acquire ",
        FormatShare(request.share)));
  }
  HardwarePool& pool = pools_[PoolIndex(device)];
  const HardwarePool before = pool;
  pool.Unbook(device, slice);
  // As it was granted, but for the sizes: what is time-shared stays so.
  Slice changed = slice;
  changed.share = request.share;
  changed.memory_bytes = HardwarePool::RoundUp(request.memory_bytes);
  if (!pool.BookAgain(device, changed)) {
    const absl::Status refusal = Refuse({&request, 1}, request);
    pool = before;
    return refusal;
  }
  slice = changed;
  return changed;
}

absl::StatusOr<Slice> Ledger::SetPriority(absl::string_view slice_id, Priority priority) {
  const auto it = slices_.find(slice_id);
  if (it == slices_.end()) {
    return absl::NotFoundError(absl::StrCat("no granted slice ", slice_id));
  }
  it->second.priority = priority;
  return it->second;
}

void Ledger::Restore(const Slice& slice) {
  Slice& now = slices_.at(slice.id);
  if (!stranded_.contains(slice.id)) {
    const DeviceInfo& device = **FindDevice(slice.device);
    HardwarePool& pool = pools_[PoolIndex(device)];
    pool.Unbook(device, now);
    if (!pool.BookAgain(device, slice)) stranded_.emplace(slice.id, slice);
  }
  now = slice;
}

std::vector<uint32_t> Ledger::CoresOf(const Slice& slice) const {
  const absl::StatusOr<const DeviceInfo*> device = FindDevice(slice.device);
  if (!slice.time_shared || !device.ok()) return slice.cores;
  return pools_[PoolIndex(**device)].SharedCores(**device);
}

std::string Ledger::PoolOf(absl::string_view device) const {
  const auto index = pool_of_device_.find(device);
  if (index == pool_of_device_.end()) return std::string(device);
  for (const auto& [uuid, pool] : pool_of_device_) {
    if (pool == index->second) return uuid;
  }
  return std::string(device);
}

absl::Status Ledger::Release(absl::string_view slice_id) {
  const auto it = slices_.find(slice_id);
  if (it == slices_.end()) {
    return absl::NotFoundError(absl::StrCat("no granted slice ", slice_id));
  }
  if (stranded_.erase(it->first) == 0) {
    const DeviceInfo& device = **FindDevice(it->second.device);
    pools_[PoolIndex(device)].Unbook(device, it->second);
  }
  slices_.erase(it);
  return absl::OkStatus();
}

}  // namespace het
