#include "partition/arbiter_host.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "partition/arbiter_pages.h"
#include "partition/process_state.h"

namespace het {

using arbiter::ControlLease;
using arbiter::ControlPage;
using arbiter::ControlSlot;
using arbiter::HotSlot;
using arbiter::RegionPage;

namespace {

// The owner is the only writer of the control page, so its own reads need no order; what it writes
// is ordered by the generation (Announce).
constexpr auto kRelaxed = std::memory_order_relaxed;

absl::Status CheckLease(const ArbiterLease& lease) {
  if (lease.weight.parts() == 0 || lease.weight > Share::Whole()) {
    return absl::InvalidArgumentError(absl::StrCat("asked for a share of ",
                                                   FormatShare(lease.weight),
                                                   "; a share is more than 0 and at most 100 %"));
  }
  if (lease.priority >= arbiter::kPriorities) {
    return absl::InvalidArgumentError(absl::StrCat(
        "asked for priority ", lease.priority, "; priorities are 0 to ", arbiter::kPriorities - 1));
  }
  return absl::OkStatus();
}

uint64_t NewInstance() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

uint64_t PidNamespace() {
  struct stat info;
  return stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

uint32_t ClassOfLease(const ArbiterLease& lease) {
  return arbiter::ClassOf(lease.priority, lease.policy == Policy::kBestEffort);
}

}  // namespace

ControlPage& ArbiterHost::control() const { return *static_cast<ControlPage*>(control_.data()); }
RegionPage* ArbiterHost::Region::page() const { return static_cast<RegionPage*>(pages.data()); }

absl::StatusOr<std::unique_ptr<ArbiterHost>> ArbiterHost::Create(const std::string& device,
                                                                 const ArbiterOptions& options) {
  if (options.depth == 0 || options.depth > 64) {
    return absl::InvalidArgumentError(
        absl::StrCat("asked for ", options.depth, " launches in flight; 1 to 64 are possible"));
  }
  const uint64_t instance = NewInstance();
  absl::StatusOr<SharedPages> pages =
      SharedPages::Create(arbiter::ControlName(instance), sizeof(ControlPage));
  if (!pages.ok()) return pages.status();
  const Clock& clock = options.clock != nullptr ? *options.clock : Clock::Real();
  std::unique_ptr<ArbiterHost> host(new ArbiterHost(clock, *std::move(pages)));
  // The file is zeroed, and zero is the initial value of every atomic in it.
  ControlPage& page = host->control();
  page.version = arbiter::kLayoutVersion;
  page.bytes = sizeof(ControlPage);
  page.depth = options.depth;
  page.depth_ns = options.depth_ns;
  page.run_ahead_ns = options.run_ahead_ns;
  page.hold_ns = options.hold_ns;
  page.pid_namespace = PidNamespace();
  page.instance = instance;
  std::strncpy(page.device, device.c_str(), sizeof(page.device) - 1);
  page.magic = arbiter::kControlMagic;
  page.generation.store(1, kRelaxed);
  for (uint32_t slot = 0; slot < arbiter::kSlots; ++slot) host->free_slots_.push_back({slot, 0, 0});
  for (uint32_t lease = 0; lease < arbiter::kLeases; ++lease) host->free_leases_.push_back(lease);
  host->Beat();
  return host;
}

ArbiterHost::~ArbiterHost() = default;

void ArbiterHost::Announce() {
  // release: who sees the new generation sees what was changed before it.
  control().generation.fetch_add(1, std::memory_order_release);
}

void ArbiterHost::Beat() { control().heartbeat_ns.store(clock_.MonotonicNanos(), kRelaxed); }

absl::Status ArbiterHost::MakeRegion(uint32_t index, uid_t uid) {
  absl::StatusOr<SharedPages> pages =
      SharedPages::Create(arbiter::RegionName(control().instance, index), sizeof(RegionPage));
  if (!pages.ok()) return pages.status();
  auto* page = static_cast<RegionPage*>(pages->data());
  page->version = arbiter::kLayoutVersion;
  page->bytes = sizeof(RegionPage);
  page->region = index;
  page->uid = uid;
  page->magic = arbiter::kRegionMagic;
  regions_.push_back({uid, *std::move(pages)});
  control().regions[index].uid.store(uid, kRelaxed);
  control().regions[index].present.store(1, std::memory_order_release);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> ArbiterHost::RegionOf(uid_t uid) {
  for (uint32_t index = 0; index < regions_.size(); ++index) {
    if (regions_[index].uid == uid) return index;
  }
  if (regions_.size() == arbiter::kRegions) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the arbiter has room for ", arbiter::kRegions, " users; all are taken"));
  }
  const auto index = static_cast<uint32_t>(regions_.size());
  HET_RETURN_IF_ERROR(MakeRegion(index, uid));
  return index;
}

absl::StatusOr<UniqueFd> ArbiterHost::RegionDescriptor(uint32_t region) const {
  if (region >= regions_.size()) {
    return absl::NotFoundError(
        absl::StrCat("there is no region ", region, "; there are ", regions_.size()));
  }
  return regions_[region].pages.ReadOnlyDescriptor();
}

void ArbiterHost::Publish(uint32_t index, const LeaseRecord& record) {
  ControlLease& entry = control().leases[index];
  const ArbiterLease& lease = record.lease;
  std::strncpy(entry.id, lease.id.c_str(), sizeof(entry.id) - 1);
  entry.region.store(record.region, kRelaxed);
  // seq_cst with the sum in ChangeLease: a client that adds memory and then reads the quota, and an
  // owner that stores the quota and then reads the memory, cannot both miss the other.
  entry.memory_quota.store(lease.memory_quota, std::memory_order_seq_cst);
  entry.info.store(arbiter::kLeaseActive |
                       uint64_t{static_cast<uint32_t>(lease.policy)} << arbiter::kLeasePolicyShift |
                       uint64_t{lease.priority} << arbiter::kLeasePriorityShift |
                       uint64_t{lease.weight.parts()} << arbiter::kLeaseWeightShift,
                   kRelaxed);
}

void ArbiterHost::SetCores(const std::vector<uint32_t>& cores) {
  uint64_t words[arbiter::kCoreWords] = {};
  for (uint32_t core : cores) {
    if (core / 64 < arbiter::kCoreWords) words[core / 64] |= uint64_t{1} << (core % 64);
  }
  bool changed = false;
  for (uint32_t word = 0; word < arbiter::kCoreWords; ++word) {
    changed |= control().cores[word].exchange(words[word], kRelaxed) != words[word];
  }
  // release: who sees the version sees the cores, or newer ones, for which another version comes.
  if (changed) control().cores_version.fetch_add(1, std::memory_order_release);
}

absl::StatusOr<uint32_t> ArbiterHost::AddLease(const ArbiterLease& lease) {
  HET_RETURN_IF_ERROR(CheckLease(lease));
  if (free_leases_.empty()) {
    return absl::ResourceExhaustedError(absl::StrCat("the arbiter has room for ", arbiter::kLeases,
                                                     " leases of one device; all are taken"));
  }
  HET_ASSIGN_OR_RETURN(const uint32_t region, RegionOf(lease.uid));
  const uint32_t index = free_leases_.front();
  free_leases_.pop_front();
  LeaseRecord& record = leases_[index];
  record.lease = lease;
  record.region = region;
  regions_[region].page()->caps[index].paid_until_ns.store(0, kRelaxed);
  control().leases[index].generation.fetch_add(1, kRelaxed);
  Publish(index, record);
  Announce();
  return index;
}

absl::Status ArbiterHost::ChangeLease(uint32_t lease, const ArbiterLease& changed) {
  HET_RETURN_IF_ERROR(CheckLease(changed));
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return absl::NotFoundError(absl::StrCat("no lease ", lease));
  LeaseRecord& record = found->second;
  if (changed.uid != record.lease.uid) {
    return absl::InvalidArgumentError(absl::StrCat("lease ", lease, " belongs to user ",
                                                   record.lease.uid,
                                                   "; it cannot be changed to user ", changed.uid));
  }
  const ArbiterLease before = record.lease;
  record.lease = changed;
  if (changed.memory_quota < before.memory_quota) {
    // First the smaller quota, then the look at what is used: nothing slips in between.
    control().leases[lease].memory_quota.store(changed.memory_quota, std::memory_order_seq_cst);
    const uint64_t used = MemoryOf(record, /*with_pending=*/true);
    if (used > changed.memory_quota) {
      record.lease = before;
      control().leases[lease].memory_quota.store(before.memory_quota, std::memory_order_seq_cst);
      return absl::FailedPreconditionError(absl::StrCat(
          "asked to shrink the memory to ", FormatBytes(changed.memory_quota), ", ",
          FormatBytes(used), " are used; the smallest that fits now is ", FormatBytes(used)));
    }
  }
  Publish(lease, record);
  Announce();
  return absl::OkStatus();
}

absl::Status ArbiterHost::RemoveLease(uint32_t lease) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return absl::NotFoundError(absl::StrCat("no lease ", lease));
  control().leases[lease].info.store(0, kRelaxed);
  const std::vector<uint32_t> slots = found->second.slots;
  for (uint32_t slot : slots) HET_RETURN_IF_ERROR(Unseat(slot));
  leases_.erase(lease);
  // Used again last: a process whose seat was taken away may still settle its last launches.
  free_leases_.push_back(lease);
  Announce();
  return absl::OkStatus();
}

std::optional<uint32_t> ArbiterHost::TakeFreeSlot() {
  // Longest free first, and never one whose process lives: it might still write there.
  for (auto it = free_slots_.begin(); it != free_slots_.end(); ++it) {
    if (it->pid != 0 && StateOfProcess(it->pid, it->start_time) != ProcessState::kDead) continue;
    const uint32_t slot = it->slot;
    free_slots_.erase(it);
    return slot;
  }
  return std::nullopt;
}

uint64_t ArbiterHost::VirtualTime(uint32_t klass, uint32_t except) const {
  bool any = false;
  uint64_t time = 0;
  for (const auto& [index, record] : leases_) {
    if (index == except || record.slots.empty() || ClassOfLease(record.lease) != klass) continue;
    const uint64_t tag = regions_[record.region].page()->tags[index].tag[klass].load(kRelaxed);
    if (!any || arbiter::TagDifference(tag, time) > 0) time = tag;
    any = true;
  }
  return time;
}

void ArbiterHost::ClearSlot(uint32_t region, uint32_t slot) {
  RegionPage& page = *regions_[region].page();
  HotSlot& hot = page.hot[slot];
  hot.flight.store(0, kRelaxed);
  hot.hold_since_ns.store(0, kRelaxed);
  hot.waiting_since_ns.store(0, kRelaxed);
  hot.used_ns.store(0, kRelaxed);
  hot.gap_ns.store(0, kRelaxed);
  hot.lmax_ns.store(0, kRelaxed);
  hot.futex.store(0, kRelaxed);
  hot.waiting_for.store(0, kRelaxed);
  hot.from_outside.store(0, kRelaxed);
  hot.looks.store(0, kRelaxed);
  arbiter::ColdSlot& cold = page.cold[slot];
  cold.memory_pending.store(0, kRelaxed);
  cold.launches.store(0, kRelaxed);
  for (auto& throttled : cold.throttled_ns) throttled.store(0, kRelaxed);
  // seq_cst: the memory is free for the lease's other processes from here on.
  cold.memory_reserved.store(0, std::memory_order_seq_cst);
}

absl::StatusOr<SeatGrant> ArbiterHost::Seat(uint32_t lease, pid_t pid, uint64_t start_time) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return absl::NotFoundError(absl::StrCat("no lease ", lease));
  LeaseRecord& record = found->second;

  // Everything that can fail comes first.
  SeatGrant grant;
  HET_ASSIGN_OR_RETURN(grant.control_fd, control_.ReadOnlyDescriptor());
  HET_ASSIGN_OR_RETURN(grant.region_fd, regions_[record.region].pages.WritableDescriptor());
  for (uint32_t index = 0; index < regions_.size(); ++index) {
    if (index == record.region) continue;
    HET_ASSIGN_OR_RETURN(UniqueFd fd, regions_[index].pages.ReadOnlyDescriptor());
    grant.other_regions.emplace_back(index, std::move(fd));
  }
  const std::optional<uint32_t> slot = TakeFreeSlot();
  if (!slot) {
    return absl::ResourceExhaustedError(absl::StrCat("the arbiter has seats for ", arbiter::kSlots,
                                                     " processes of one device; all are taken"));
  }

  ClearSlot(record.region, *slot);
  if (record.slots.empty()) {
    // Nobody sits there: it starts where the others are, with neither credit nor debt.
    for (uint32_t klass = 0; klass < arbiter::kClasses; ++klass) {
      regions_[record.region].page()->tags[lease].tag[klass].store(VirtualTime(klass, lease),
                                                                   kRelaxed);
    }
  }
  ControlSlot& entry = control().slots[*slot];
  const uint32_t epoch = (entry.seat.load(kRelaxed) >> arbiter::kSeatEpochShift) + 1;
  entry.lease.store(lease, kRelaxed);
  entry.region.store(record.region, kRelaxed);
  entry.pid.store(static_cast<uint32_t>(pid), kRelaxed);
  entry.start_time.store(start_time, kRelaxed);
  entry.seat.store(uint64_t{epoch} << arbiter::kSeatEpochShift | arbiter::kSeatTaken, kRelaxed);
  // release: who sees the bit sees the entry and the cleared slot.
  control().active[*slot / 64].fetch_or(uint64_t{1} << (*slot % 64), std::memory_order_release);
  record.slots.push_back(*slot);
  lease_of_slot_[*slot] = lease;
  Announce();

  grant.slot = *slot;
  grant.epoch = epoch;
  grant.lease = lease;
  grant.region = record.region;
  return grant;
}

absl::Status ArbiterHost::Unseat(uint32_t slot) {
  const auto found = lease_of_slot_.find(slot);
  if (found == lease_of_slot_.end()) {
    return absl::NotFoundError(absl::StrCat("nobody sits at slot ", slot));
  }
  LeaseRecord& record = leases_.at(found->second);
  ControlSlot& entry = control().slots[slot];
  const uint32_t epoch = (entry.seat.load(kRelaxed) >> arbiter::kSeatEpochShift) + 1;
  entry.seat.store(uint64_t{epoch} << arbiter::kSeatEpochShift, kRelaxed);
  control().active[slot / 64].fetch_and(~(uint64_t{1} << (slot % 64)), std::memory_order_release);
  Announce();

  const RegionPage& page = *regions_[record.region].page();
  record.retired.used_ns += page.hot[slot].used_ns.load(kRelaxed);
  record.retired.launches += page.cold[slot].launches.load(kRelaxed);
  for (uint32_t reason = 0; reason < kBlockReasons; ++reason) {
    record.retired.throttled_ns[reason] += page.cold[slot].throttled_ns[reason].load(kRelaxed);
  }
  ClearSlot(record.region, slot);
  record.slots.erase(std::find(record.slots.begin(), record.slots.end(), slot));
  lease_of_slot_.erase(found);
  free_slots_.push_back(
      {slot, static_cast<pid_t>(entry.pid.load(kRelaxed)), entry.start_time.load(kRelaxed)});
  return absl::OkStatus();
}

uint64_t ArbiterHost::MemoryOf(const LeaseRecord& record, bool with_pending) const {
  const RegionPage& page = *regions_[record.region].page();
  uint64_t sum = 0;
  for (uint32_t slot : record.slots) {
    // Pending first: a client moves bytes from pending to reserved by adding before it takes away.
    if (with_pending) sum += page.cold[slot].memory_pending.load(std::memory_order_seq_cst);
    sum += page.cold[slot].memory_reserved.load(std::memory_order_seq_cst);
  }
  return sum;
}

absl::StatusOr<ArbiterUsage> ArbiterHost::Usage(uint32_t lease) const {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return absl::NotFoundError(absl::StrCat("no lease ", lease));
  const LeaseRecord& record = found->second;
  const RegionPage& page = *regions_[record.region].page();
  ArbiterUsage usage = record.retired;
  usage.memory = MemoryOf(record, /*with_pending=*/false);
  usage.seats = record.slots.size();
  const int64_t now = clock_.MonotonicNanos();
  for (uint32_t slot : record.slots) {
    const HotSlot& hot = page.hot[slot];
    const uint64_t flight = hot.flight.load(kRelaxed);
    usage.used_ns += hot.used_ns.load(kRelaxed);
    usage.launches += page.cold[slot].launches.load(kRelaxed);
    usage.in_flight += arbiter::FlightCount(flight);
    usage.waiting += arbiter::Waiters(flight);
    for (uint32_t reason = 0; reason < kBlockReasons; ++reason) {
      usage.throttled_ns[reason] += page.cold[slot].throttled_ns[reason].load(kRelaxed);
    }
    const int64_t since = hot.waiting_since_ns.load(kRelaxed);
    const uint32_t reason = hot.waiting_for.load(kRelaxed);
    if (arbiter::Waiters(flight) > 0 && reason < kBlockReasons && since > 0 && since < now) {
      usage.waiting_for = static_cast<Block>(reason);
      usage.throttled_ns[reason] += now - since;
    }
  }
  return usage;
}

const char* ArbiterHost::device() const { return control().device; }

std::vector<std::pair<std::string, int>> ArbiterHost::Files() const {
  const uint64_t instance = control().instance;
  std::vector<std::pair<std::string, int>> files = {
      {arbiter::ControlName(instance), control_.descriptor()}};
  for (uint32_t index = 0; index < regions_.size(); ++index) {
    files.emplace_back(arbiter::RegionName(instance, index), regions_[index].pages.descriptor());
  }
  return files;
}

std::vector<ArbiterHost::Seated> ArbiterHost::Seats() const {
  std::vector<Seated> seats;
  for (const auto& [slot, lease] : lease_of_slot_) {
    const ControlSlot& entry = control().slots[slot];
    seats.push_back({slot, lease, static_cast<pid_t>(entry.pid.load(kRelaxed)),
                     entry.start_time.load(kRelaxed)});
  }
  return seats;
}

std::vector<std::pair<uint32_t, ArbiterLease>> ArbiterHost::Leases() const {
  std::vector<std::pair<uint32_t, ArbiterLease>> leases;
  for (const auto& [index, record] : leases_) leases.emplace_back(index, record.lease);
  return leases;
}

absl::StatusOr<ArbiterLease> ArbiterHost::LeaseOf(uint32_t lease) const {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return absl::NotFoundError(absl::StrCat("no lease ", lease));
  return found->second.lease;
}

}  // namespace het
