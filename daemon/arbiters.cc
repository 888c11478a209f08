#include "daemon/arbiters.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/systemd.h"
#include "partition/arbiter_pages.h"
#include "protocol/descriptors.h"

namespace het::daemon {
namespace {

// Work of several processes on host processors runs at the same time when it is let: one at a time
// makes a share of the time a share of the work. Other devices queue, and two keep them fed.
constexpr uint32_t kDepthOnProcessors = 1;
constexpr uint32_t kDepth = 2;

uint32_t ClassOf(Priority priority) {
  switch (priority) {
    case Priority::kBatch:
      return 0;
    case Priority::kNormal:
      return 1;
    case Priority::kHigh:
      return 2;
  }
  return 1;
}

bool SameTerms(const Slice& a, const Slice& b) {
  return a.share == b.share && a.memory_bytes == b.memory_bytes && a.priority == b.priority;
}

}  // namespace

absl::StatusOr<ArbiterHost*> Arbiters::HostOf(const Slice& slice, std::string& key) {
  key = ledger_.PoolOf(slice.device);
  std::unique_ptr<ArbiterHost>& host = hosts_[key];
  if (host == nullptr) {
    ArbiterOptions options;
    options.depth = slice.cores.empty() ? kDepth : kDepthOnProcessors;
    options.clock = &clock_;
    absl::StatusOr<std::unique_ptr<ArbiterHost>> made = ArbiterHost::Create(key, options);
    if (!made.ok()) {
      hosts_.erase(key);
      return made.status();
    }
    host = *std::move(made);
  }
  return host.get();
}

// A share is of the whole device. Where some of its cores belong to slices of their own, the
// others have the larger part of the time of what is left.
ArbiterLease Arbiters::TermsOf(const Lease& lease) const {
  const Slice& slice = lease.slice;
  ArbiterLease terms;
  terms.weight = slice.share;
  terms.policy = slice.policy;
  terms.priority = ClassOf(slice.priority);
  terms.memory_quota = slice.memory_bytes;
  terms.uid = lease.uid;
  terms.id = lease.id;
  const absl::StatusOr<const DeviceInfo*> device = ledger_.FindDevice(slice.device);
  const size_t cores = ledger_.CoresOf(slice).size();
  if (slice.time_shared && device.ok() && cores > 0) {
    const uint64_t parts = uint64_t{slice.share.parts()} * (*device)->cores.size() / cores;
    terms.weight =
        Share::OfParts(static_cast<uint32_t>(std::clamp<uint64_t>(parts, 1, Share::kWhole)));
  }
  return terms;
}

void Arbiters::KeepPages(const ArbiterHost& host) {
  for (const auto& [name, fd] : host.Files()) {
    if (kept_.insert(name).second) KeepDescriptor(name, fd);
  }
}

std::vector<ProcessId> Arbiters::Recover() {
  std::vector<ProcessId> processes;
  std::map<std::string, UniqueFd> kept = TakeKeptDescriptors(arbiter::kPagesPrefix);
  for (const auto& [name, fd] : kept) kept_.insert(name);
  for (ArbiterHost::Found& found : ArbiterHost::FindPages(std::move(kept))) {
    absl::StatusOr<std::unique_ptr<ArbiterHost>> adopted =
        ArbiterHost::Adopt(std::move(found), clock_);
    if (!adopted.ok()) {
      Log().warn("an arbiter of a hetd before this one is left alone: {}",
                 adopted.status().ToString());
      continue;
    }
    ArbiterHost& host = **adopted;
    const std::string key = host.device();
    std::map<uint32_t, std::string> lease_of_index;
    for (const auto& [index, terms] : host.Leases()) {
      const auto lease = book_.leases().find(terms.id);
      // Another hetd's, perhaps: one with a book of its own.
      if (lease == book_.leases().end() || entries_.contains(terms.id)) continue;
      lease_of_index[index] = terms.id;
    }
    if (lease_of_index.empty() || hosts_.contains(key)) continue;
    for (const auto& [index, terms] : host.Leases()) {
      if (!lease_of_index.contains(index)) (void)host.RemoveLease(index);
    }
    for (const auto& [index, id] : lease_of_index) {
      entries_[id] = Entry{key, index, Slice(), {}};  // published anew by Sync
    }
    for (const ArbiterHost::Seated& seat : host.Seats()) {
      const ProcessId process = {seat.pid, seat.start_time};
      if (!IsAlive(process)) {
        (void)host.Unseat(seat.slot);
        continue;
      }
      seats_[process].push_back({lease_of_index.at(seat.lease), seat.slot});
      processes.push_back(process);
    }
    Log().info("goes on with the arbiter of {}: {} leases, {} processes", key,
               lease_of_index.size(), host.Seats().size());
    hosts_[key] = *std::move(adopted);
  }
  std::set<std::string> in_use;
  for (const auto& [key, host] : hosts_) {
    KeepPages(*host);
    for (const auto& [name, fd] : host->Files()) in_use.insert(name);
  }
  std::erase_if(kept_, [&](const std::string& name) {
    if (!in_use.contains(name)) ForgetDescriptor(name);
    return !in_use.contains(name);
  });
  return processes;
}

absl::StatusOr<Arbiters::Seated> Arbiters::Attach(const Lease& lease, const ProcessId& process) {
  auto entry = entries_.find(lease.id);
  std::string key;
  HET_ASSIGN_OR_RETURN(ArbiterHost * host, HostOf(lease.slice, key));
  if (entry == entries_.end()) {
    HET_ASSIGN_OR_RETURN(const uint32_t index, host->AddLease(TermsOf(lease)));
    entry = entries_.emplace(lease.id, Entry{key, index, lease.slice, {}}).first;
    entry->second.cores = ledger_.CoresOf(lease.slice);
    Sync();  // the cores of this pool may not be published yet
  }
  HET_ASSIGN_OR_RETURN(SeatGrant grant,
                       host->Seat(entry->second.index, process.pid, process.start_time));
  KeepPages(*host);
  // A process that attaches again left its old seat behind (it forked, or ran another program).
  std::vector<SeatRef>& held = seats_[process];
  std::erase_if(held, [&](const SeatRef& ref) {
    if (ref.lease != lease.id) return false;
    (void)host->Unseat(ref.slot);
    return true;
  });
  held.push_back({lease.id, grant.slot});

  Seated seated;
  Json others = Json::array();
  seated.descriptors.push_back(std::move(grant.control_fd));
  seated.descriptors.push_back(std::move(grant.region_fd));
  for (auto& [region, fd] : grant.other_regions) {
    if (seated.descriptors.size() == protocol::kMaxDescriptors) break;  // the rest on demand
    others.push_back(region);
    seated.descriptors.push_back(std::move(fd));
  }
  seated.seat = {{"slot", grant.slot},
                 {"epoch", grant.epoch},
                 {"lease", grant.lease},
                 {"region", grant.region},
                 {"otherRegions", std::move(others)}};
  return seated;
}

absl::StatusOr<UniqueFd> Arbiters::Region(const Lease& lease, uint32_t region) const {
  const auto entry = entries_.find(lease.id);
  if (entry == entries_.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no process attached to lease ", lease.id, " yet"));
  }
  return hosts_.at(entry->second.host)->RegionDescriptor(region);
}

absl::Status Arbiters::Change(const Lease& lease) {
  const auto entry = entries_.find(lease.id);
  if (entry == entries_.end()) return absl::OkStatus();
  HET_RETURN_IF_ERROR(
      hosts_.at(entry->second.host)->ChangeLease(entry->second.index, TermsOf(lease)));
  entry->second.published = lease.slice;
  return absl::OkStatus();
}

void Arbiters::Sync() {
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    ArbiterHost& host = *hosts_.at(entry->second.host);
    const auto lease = book_.leases().find(entry->first);
    if (lease == book_.leases().end()) {
      const absl::Status removed = host.RemoveLease(entry->second.index);
      if (!removed.ok()) Log().error("lease {}: {}", entry->first, removed.ToString());
      for (auto& [process, held] : seats_) {
        std::erase_if(held, [&](const SeatRef& ref) { return ref.lease == entry->first; });
      }
      std::erase_if(seats_, [](const auto& held) { return held.second.empty(); });
      entry = entries_.erase(entry);
      continue;
    }
    std::vector<uint32_t> cores = ledger_.CoresOf(lease->second.slice);
    if (!SameTerms(lease->second.slice, entry->second.published) || cores != entry->second.cores) {
      const absl::Status changed = Change(lease->second);
      if (!changed.ok()) Log().error("lease {}: {}", entry->first, changed.ToString());
      entry->second.cores = std::move(cores);
    }
    if (lease->second.slice.time_shared) host.SetCores(entry->second.cores);
    ++entry;
  }
}

void Arbiters::Reap(const ProcessId& process) {
  const auto held = seats_.find(process);
  if (held == seats_.end()) return;
  for (const SeatRef& ref : held->second) {
    const auto entry = entries_.find(ref.lease);
    if (entry == entries_.end()) continue;
    (void)hosts_.at(entry->second.host)->Unseat(ref.slot);
  }
  seats_.erase(held);
}

void Arbiters::Beat() {
  for (const auto& [key, host] : hosts_) host->Beat();
}

protocol::SliceUsage Arbiters::UsageOf(const Lease& lease) const {
  protocol::SliceUsage usage;
  const auto entry = entries_.find(lease.id);
  if (entry == entries_.end()) return usage;
  const absl::StatusOr<ArbiterUsage> seen =
      hosts_.at(entry->second.host)->Usage(entry->second.index);
  if (!seen.ok()) return usage;
  usage.used_ns = seen->used_ns;
  usage.launches = seen->launches;
  usage.memory_bytes = seen->memory;
  usage.in_flight = seen->in_flight;
  usage.waiting = seen->waiting;
  usage.processes = seen->seats;
  for (uint32_t reason = 0; reason < kBlockReasons; ++reason) {
    if (seen->throttled_ns[reason] == 0) continue;
    usage.throttled_ns.emplace_back(BlockName(static_cast<Block>(reason)),
                                    seen->throttled_ns[reason]);
  }
  if (seen->waiting_for != Block::kNone)
    usage.waiting_for = std::string(BlockName(seen->waiting_for));
  return usage;
}

}  // namespace het::daemon
