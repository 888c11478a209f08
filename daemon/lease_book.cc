#include "daemon/lease_book.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/journal.h"
#include "daemon/reconcile.h"

namespace het::daemon {
namespace {

constexpr int64_t kNanosPerMilli = 1'000'000;

// How a decision is written down.
constexpr absl::string_view kConfirmed = "confirmed";
constexpr absl::string_view kCancelled = "cancelled";

// What is tried in a transaction goes with that, not by itself.
absl::Status CheckAlone(const std::vector<Lease>& leases) {
  for (const Lease& lease : leases) {
    if (lease.state != LeaseState::kTried || lease.transaction.empty()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("lease ", lease.id, " is decided with its transaction ", lease.transaction,
                     "; confirm or cancel that"));
  }
  return absl::OkStatus();
}

}  // namespace

LeaseBook::LeaseBook(Ledger& ledger, Store& store, const Clock& clock, std::string boot_id,
                     Rules rules)
    : ledger_(ledger),
      store_(store),
      clock_(clock),
      boot_id_(std::move(boot_id)),
      rules_(std::move(rules)) {}

absl::Status LeaseBook::Restore(const std::function<bool(const ProcessId&)>& is_alive) {
  HET_ASSIGN_OR_RETURN(const Store::Contents stored, store_.Load());
  generation_ = stored.generation;
  const int64_t now = clock_.BoottimeNanos();
  Reconciled reconciled =
      Reconcile(stored.leases, {IsSameBoot(stored.boot_id, stored.last_boottime, boot_id_, now),
                                stored.last_boottime, now, is_alive});
  for (Lease& lease : reconciled.kept) {
    HET_RETURN_IF_ERROR(ledger_.Adopt({lease.slice}));
    generation_ = std::max(generation_, lease.generation);
    Index(lease);
    dirty_.insert(lease.id);  // its expiry may have moved
    std::string id = lease.id;
    leases_.emplace(std::move(id), std::move(lease));
  }
  for (const Reconciled::Ended& ended : reconciled.ended) {
    Log().info("lease {} of {} ended: {}", ended.lease.id, ended.lease.tenant, ended.reason);
    dirty_.insert(ended.lease.id);
    reclaimed_.insert(ended.lease.id);
    if (ended.lease.state == LeaseState::kTried && !ended.lease.transaction.empty()) {
      decisions_[{ended.lease.uid, ended.lease.transaction}] = {Decision::kCancelled, true};
    }
  }
  return absl::OkStatus();
}

void LeaseBook::Index(const Lease& lease) {
  if (lease.expiry_boottime != 0) by_expiry_.emplace(lease.expiry_boottime, lease.id);
  if (lease.holder == Holder::kProcess) {
    by_process_[{lease.pid, lease.start_time}].insert(lease.id);
  }
  by_slice_.emplace(lease.slice.id, lease.id);
  if (!lease.transaction.empty()) {
    by_transaction_[{lease.uid, lease.transaction}].insert(lease.id);
  }
  if (lease.state == LeaseState::kAvailable) return;
  ++count_by_user_[lease.uid];
  ++tenants_[lease.slice.device][TenantOf(lease)];
}

void LeaseBook::Unindex(const Lease& lease) {
  by_expiry_.erase({lease.expiry_boottime, lease.id});
  if (lease.holder == Holder::kProcess) {
    const auto of_process = by_process_.find({lease.pid, lease.start_time});
    of_process->second.erase(lease.id);
    if (of_process->second.empty()) by_process_.erase(of_process);
  }
  by_slice_.erase(lease.slice.id);
  if (!lease.transaction.empty()) {
    const auto of_transaction = by_transaction_.find({lease.uid, lease.transaction});
    of_transaction->second.erase(lease.id);
    if (of_transaction->second.empty()) by_transaction_.erase(of_transaction);
  }
  if (lease.state == LeaseState::kAvailable) return;
  const auto count = count_by_user_.find(lease.uid);
  if (--count->second == 0) count_by_user_.erase(count);
  const auto tenants = tenants_.find(lease.slice.device);
  const auto tenant = tenants->second.find(TenantOf(lease));
  if (--tenant->second == 0) tenants->second.erase(tenant);
  if (tenants->second.empty()) tenants_.erase(tenants);
}

void LeaseBook::Put(Lease lease) {
  ++changes_;
  const std::string id = lease.id;
  const auto it = leases_.find(id);
  if (it == leases_.end()) {
    history_.emplace_back(id, std::nullopt);
    Index(lease);
    leases_.emplace(id, std::move(lease));
  } else {
    history_.emplace_back(id, it->second);
    Unindex(it->second);
    Index(lease);
    it->second = std::move(lease);
  }
  dirty_.insert(id);
}

void LeaseBook::Erase(const std::string& id) {
  ++changes_;
  const auto it = leases_.find(id);
  history_.emplace_back(id, it->second);
  dirty_.insert(id);
  Unindex(it->second);
  leases_.erase(it);
}

void LeaseBook::Remove(const std::string& id) {
  const Lease& lease = leases_.at(id);
  const Slice slice = lease.slice;
  const uid_t uid = lease.uid;
  const bool available = lease.state == LeaseState::kAvailable;
  Erase(id);
  ++freed_;
  if (!slice.name.empty() && !available) return PutAvailable(slice, uid);
  const absl::Status released = ledger_.Release(slice.id);
  if (!released.ok()) Log().error("lease {}: {}", id, released.ToString());
}

void LeaseBook::PutAvailable(const Slice& slice, uid_t uid) {
  Lease lease;
  lease.id = rules_.new_id();
  lease.uid = uid;
  lease.holder = Holder::kManual;
  lease.state = LeaseState::kAvailable;
  lease.slice = slice;
  lease.generation = ++generation_;
  Put(std::move(lease));
}

const Lease* LeaseBook::FindNamed(const std::string& name) const {
  for (const auto& [id, lease] : leases_) {
    if (lease.slice.name == name) return &lease;
  }
  return nullptr;
}

absl::StatusOr<Slice> LeaseBook::Create(const Caller& caller, const SliceRequest& slice) {
  if (!caller.admin) {
    return absl::PermissionDeniedError(
        "named slices are cut by root and by the user hetd runs as; acquire one ad hoc");
  }
  const auto is_legal = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_';
  };
  if (slice.name.empty() || slice.name.size() > 64 ||
      !std::all_of(slice.name.begin(), slice.name.end(), is_legal)) {
    return InvalidField(
        "name",
        absl::StrCat("\"", slice.name, "\" must be 1 to 64 letters, digits, '.', '-' or '_'"));
  }
  if (FindNamed(slice.name) != nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat("there is a slice \"", slice.name, "\"; delete it first"));
  }
  HET_ASSIGN_OR_RETURN(const std::vector<Slice> granted, ledger_.TryAcquire({&slice, 1}));
  PutAvailable(granted.front(), caller.uid);
  return granted.front();
}

absl::Status LeaseBook::Delete(const Caller& caller, const std::string& name) {
  if (!caller.admin) {
    return absl::PermissionDeniedError(
        "named slices are deleted by root and by the user hetd runs as");
  }
  const Lease* lease = FindNamed(name);
  if (name.empty() || lease == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no slice named \"", name, "\""));
  }
  if (lease->state != LeaseState::kAvailable) {
    return absl::FailedPreconditionError(absl::StrCat("slice ", name, " is leased by ",
                                                      lease->tenant, " (lease ", lease->id,
                                                      "); release that first"));
  }
  Remove(std::string(lease->id));
  return absl::OkStatus();
}

// The slices of a request: named ones as they were cut, the others from what is free. All or none.
absl::StatusOr<std::vector<Slice>> LeaseBook::Grant(const Caller& caller, Isolation at_least,
                                                    absl::Span<const SliceRequest> slices) {
  std::vector<SliceRequest> ad_hoc;
  std::vector<std::string> taken;
  for (const SliceRequest& slice : slices) {
    if (slice.name.empty()) {
      ad_hoc.push_back(slice);
      continue;
    }
    const Lease* lease = FindNamed(slice.name);
    if (lease == nullptr) {
      return absl::NotFoundError(absl::StrCat("there is no slice named \"", slice.name,
                                              "\"; hetctl get slices lists what there is"));
    }
    const bool twice = std::find(taken.begin(), taken.end(), lease->id) != taken.end();
    if (lease->state != LeaseState::kAvailable || twice) {
      Shortage shortage;
      shortage.device = lease->slice.device;
      shortage.requested = {lease->slice.share, lease->slice.memory_bytes};
      shortage.never_fits = twice;
      return NoCapacity(
          absl::StrCat("asked slice ", slice.name, twice ? " twice" : ", which is leased by ",
                       twice ? "" : lease->tenant),
          shortage);
    }
    HET_RETURN_IF_ERROR(CheckNeighbours(caller, at_least, lease->slice));
    taken.push_back(lease->id);
  }
  std::vector<Slice> fresh;
  if (!ad_hoc.empty()) {
    HET_ASSIGN_OR_RETURN(fresh, ledger_.TryAcquire(ad_hoc));
  }
  for (const Slice& slice : fresh) {
    const absl::Status apart = CheckNeighbours(caller, at_least, slice);
    if (apart.ok()) continue;
    for (const Slice& given : fresh) (void)ledger_.Release(given.id);
    return apart;
  }
  std::vector<Slice> granted;
  size_t next_fresh = 0, next_taken = 0;
  for (const SliceRequest& slice : slices) {
    if (slice.name.empty()) {
      granted.push_back(fresh[next_fresh++]);
    } else {
      const std::string id = taken[next_taken++];
      granted.push_back(leases_.at(id).slice);
      Erase(id);  // the slice stays booked
    }
  }
  return granted;
}

absl::StatusOr<std::vector<Lease>> LeaseBook::Acquire(const Caller& caller,
                                                      const protocol::LeaseTerms& terms,
                                                      absl::Span<const SliceRequest> slices) {
  if (terms.holder == Holder::kProcess && caller.process.pid == 0) {
    return absl::FailedPreconditionError(
        "asked a lease that lives with the calling process, which hetd cannot see (it has ended, "
        "or "
        "lives in another pid namespace); ask with holder \"manual\"");
  }
  const TransactionKey key = {caller.uid, terms.transaction};
  if (!terms.transaction.empty()) {
    HET_ASSIGN_OR_RETURN(const Decision decision, DecisionOf(key));
    if (decision != Decision::kOpen) {
      return absl::FailedPreconditionError(absl::StrCat(
          "transaction ", terms.transaction, " was ",
          decision == Decision::kConfirmed ? "confirmed" : "cancelled", "; begin another"));
    }
  }
  HET_RETURN_IF_ERROR(CheckRoom(caller, slices.size()));
  const Isolation at_least = terms.isolation_at_least.value_or(rules_.isolation_at_least);
  HET_ASSIGN_OR_RETURN(const std::vector<Slice> granted, Grant(caller, at_least, slices));
  const int64_t now = clock_.BoottimeNanos();
  std::vector<Lease> leases;
  for (const Slice& slice : granted) {
    Lease lease;
    lease.id = rules_.new_id();
    lease.transaction = terms.transaction;
    lease.isolation_at_least = at_least;
    lease.tenant = terms.tenant.empty() ? absl::StrCat("uid-", caller.uid) : terms.tenant;
    lease.job = terms.job;
    lease.uid = caller.uid;
    lease.pid = caller.process.pid;
    lease.start_time = caller.process.start_time;
    lease.holder = terms.holder;
    lease.slice = slice;
    lease.state = terms.confirm ? LeaseState::kConfirmed : LeaseState::kTried;
    lease.generation = ++generation_;
    lease.ttl_ms = terms.ttl_ms;
    const int64_t lives_ms = terms.confirm ? terms.ttl_ms : kTryMillis;
    if (lives_ms > 0) lease.expiry_boottime = now + lives_ms * kNanosPerMilli;
    leases.push_back(lease);
    Put(std::move(lease));
  }
  if (terms.transaction.empty()) return leases;
  for (Lease before : LeasesOf(key)) {
    if (before.expiry_boottime == leases.front().expiry_boottime) continue;
    before.expiry_boottime = leases.front().expiry_boottime;
    Put(std::move(before));
  }
  return leases;
}

absl::Status LeaseBook::CheckRoom(const Caller& caller, size_t more) const {
  const auto count = count_by_user_.find(caller.uid);
  const size_t held = count == count_by_user_.end() ? 0 : count->second;
  if (caller.admin || held + more <= rules_.leases_per_user) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("user ", caller.uid, " has ", held, " leases and asked ", more,
                   " more; hetd.toml allows ", rules_.leases_per_user));
}

// What keeps two slices apart is what one of them has: units of its own, or nothing but turns.
absl::Status LeaseBook::CheckNeighbours(const Caller& caller, Isolation at_least,
                                        const Slice& slice) const {
  const std::string pool = ledger_.PoolOf(slice.device);
  for (const auto& [device, tenants] : tenants_) {
    if (device != slice.device && ledger_.PoolOf(device) != pool) continue;
    for (const auto& [other, count] : tenants) {
      const Isolation between = std::min(slice.isolation, other.isolation);  // the stronger one
      if (other.uid == caller.uid) continue;
      if (between <= at_least && between <= other.at_least) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "device ", slice.device, " has slices of user ", other.uid, ", from which this one (",
          FormatShare(slice.share), ") would be kept apart by ", IsolationName(between),
          " means only; you ask at least ", IsolationName(at_least), ", they ask at least ",
          IsolationName(other.at_least), ". Ask for units of its own, for another device, or both ",
          "with isolationAtLeast \"", IsolationName(between), "\""));
    }
  }
  return absl::OkStatus();
}

std::set<std::string> LeaseBook::ClosedTo(const Caller& caller,
                                          const protocol::LeaseTerms& terms) const {
  std::set<std::string> closed;
  for (const DeviceInfo& device : ledger_.devices()) {
    Slice slice;  // of the kind that is kept apart the least
    slice.device = device.uuid;
    const Isolation at_least = terms.isolation_at_least.value_or(rules_.isolation_at_least);
    if (!CheckNeighbours(caller, at_least, slice).ok()) closed.insert(device.uuid);
  }
  return closed;
}

absl::StatusOr<std::vector<Lease>> LeaseBook::Find(const Caller& caller,
                                                   const protocol::LeaseChange& change) const {
  std::vector<Lease> leases;
  for (const protocol::LeaseRef& ref : change.leases) {
    const auto it = leases_.find(ref.id);
    if (it == leases_.end()) {
      return absl::NotFoundError(absl::StrCat("no lease ", ref.id, "; it has ended, or never was"));
    }
    const Lease& lease = it->second;
    if (lease.state == LeaseState::kAvailable) {
      return absl::NotFoundError(absl::StrCat("nobody has leased slice ", lease.slice.name));
    }
    if (lease.uid != caller.uid && !caller.admin) {
      return absl::PermissionDeniedError(absl::StrCat("lease ", ref.id, " belongs to user ",
                                                      lease.uid, ", you are user ", caller.uid));
    }
    if (ref.generation != 0 && ref.generation != lease.generation) {
      return absl::AbortedError(absl::StrCat("lease ", ref.id, " is at generation ",
                                             lease.generation, ", you have ", ref.generation,
                                             "; list it again"));
    }
    leases.push_back(lease);
  }
  return leases;
}

void LeaseBook::Confirm(std::vector<Lease>& leases) {
  const int64_t now = clock_.BoottimeNanos();
  for (Lease& lease : leases) {
    if (lease.state == LeaseState::kConfirmed) continue;
    lease.state = LeaseState::kConfirmed;
    lease.generation = ++generation_;
    lease.expiry_boottime = lease.ttl_ms > 0 ? now + lease.ttl_ms * kNanosPerMilli : 0;
    Put(lease);
  }
}

absl::StatusOr<std::vector<Lease>> LeaseBook::Confirm(const Caller& caller,
                                                      const protocol::LeaseChange& change) {
  if (!change.transaction.empty()) return ConfirmAll({caller.uid, change.transaction});
  HET_ASSIGN_OR_RETURN(std::vector<Lease> leases, Find(caller, change));
  HET_RETURN_IF_ERROR(CheckAlone(leases));
  Confirm(leases);
  return leases;
}

absl::StatusOr<std::vector<Lease>> LeaseBook::Cancel(const Caller& caller,
                                                     const protocol::LeaseChange& change) {
  if (!change.transaction.empty()) return CancelAll({caller.uid, change.transaction});
  HET_ASSIGN_OR_RETURN(std::vector<Lease> leases, Find(caller, change));
  HET_RETURN_IF_ERROR(CheckAlone(leases));
  for (const Lease& lease : leases) {
    if (lease.state == LeaseState::kConfirmed) {
      return absl::FailedPreconditionError(
          absl::StrCat("lease ", lease.id, " is confirmed; Release gives it up"));
    }
  }
  for (Lease& lease : leases) {
    Remove(lease.id);
    lease.state = LeaseState::kCancelled;
    lease.generation = ++generation_;
  }
  return leases;
}

// ---- transactions ----

absl::StatusOr<LeaseBook::Decision> LeaseBook::DecisionOf(const TransactionKey& key) {
  if (const auto staged = decisions_.find(key); staged != decisions_.end()) {
    return staged->second.decision;
  }
  HET_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                       store_.FindDecision(key.first, key.second));
  if (!stored) return Decision::kOpen;
  return *stored == kConfirmed ? Decision::kConfirmed : Decision::kCancelled;
}

std::vector<Lease> LeaseBook::LeasesOf(const TransactionKey& key) const {
  std::vector<Lease> leases;
  const auto ids = by_transaction_.find(key);
  if (ids == by_transaction_.end()) return leases;
  for (const std::string& id : ids->second) leases.push_back(leases_.at(id));
  return leases;
}

absl::StatusOr<std::vector<Lease>> LeaseBook::ConfirmAll(const TransactionKey& key) {
  HET_ASSIGN_OR_RETURN(const Decision decision, DecisionOf(key));
  std::vector<Lease> leases = LeasesOf(key);
  if (decision == Decision::kConfirmed) return leases;
  if (decision == Decision::kCancelled) {
    return absl::FailedPreconditionError(
        absl::StrCat("transaction ", key.second,
                     " was cancelled, was not confirmed in time, or lost one of its processes"));
  }
  if (leases.empty()) {
    return absl::NotFoundError(absl::StrCat("no lease was tried in transaction ", key.second));
  }
  Confirm(leases);
  decisions_[key] = {Decision::kConfirmed};
  return leases;
}

absl::StatusOr<std::vector<Lease>> LeaseBook::CancelAll(const TransactionKey& key) {
  HET_ASSIGN_OR_RETURN(const Decision decision, DecisionOf(key));
  if (decision == Decision::kConfirmed) {
    return absl::FailedPreconditionError(
        absl::StrCat("transaction ", key.second, " is confirmed; Release gives its leases up"));
  }
  std::vector<Lease> leases = LeasesOf(key);
  for (Lease& lease : leases) {
    Remove(lease.id);
    lease.state = LeaseState::kCancelled;
    lease.generation = ++generation_;
  }
  if (decision == Decision::kOpen) decisions_[key] = {Decision::kCancelled};
  return leases;
}

absl::StatusOr<std::vector<Lease>> LeaseBook::Release(const Caller& caller,
                                                      const protocol::LeaseChange& change) {
  HET_ASSIGN_OR_RETURN(std::vector<Lease> leases, Find(caller, change));
  HET_RETURN_IF_ERROR(CheckAlone(leases));
  for (Lease& lease : leases) {
    Remove(lease.id);
    lease.state = LeaseState::kExpired;
    lease.generation = ++generation_;
  }
  return leases;
}

absl::StatusOr<std::vector<Lease>> LeaseBook::Renew(const Caller& caller,
                                                    const protocol::LeaseChange& change) {
  HET_ASSIGN_OR_RETURN(std::vector<Lease> leases, Find(caller, change));
  for (const Lease& lease : leases) {
    if (lease.holder != Holder::kManual || lease.state != LeaseState::kConfirmed) {
      return absl::FailedPreconditionError(
          absl::StrCat("lease ", lease.id, " is ", LeaseStateName(lease.state), " and lives with ",
                       lease.holder == Holder::kManual ? "nobody" : "its process",
                       "; only a confirmed manual lease has a time to renew"));
    }
  }
  const int64_t now = clock_.BoottimeNanos();
  for (Lease& lease : leases) {
    lease.generation = ++generation_;
    lease.ttl_ms = change.ttl_ms;
    lease.expiry_boottime = change.ttl_ms > 0 ? now + change.ttl_ms * kNanosPerMilli : 0;
    Put(lease);
  }
  return leases;
}

absl::StatusOr<std::vector<Lease>> LeaseBook::Resize(const Caller& caller,
                                                     const std::vector<protocol::LeaseRef>& refs,
                                                     const Sizes& sizes) {
  HET_ASSIGN_OR_RETURN(const std::vector<Lease> before, Find(caller, {"", refs, 0}));
  for (const Lease& lease : before) {
    if (lease.slice.name.empty() || caller.admin) continue;
    return absl::PermissionDeniedError(absl::StrCat(
        "slice ", lease.slice.name, " is as an administrator cut it; only one can change it"));
  }
  std::vector<Lease> leases = before;
  for (size_t i = 0; i < leases.size(); ++i) {
    Lease& lease = leases[i];
    absl::StatusOr<Slice> slice = ledger_.Resize(lease.slice.id, sizes.share, sizes.memory_bytes);
    if (slice.ok() && sizes.priority) slice = ledger_.SetPriority(lease.slice.id, *sizes.priority);
    if (!slice.ok()) {
      PutBack({before.begin(), before.begin() + static_cast<std::ptrdiff_t>(i)});
      return slice.status();
    }
    lease.slice = *std::move(slice);
    lease.generation = ++generation_;
    Put(lease);
  }
  ++freed_;  // what became smaller may be what somebody waits for
  return leases;
}

void LeaseBook::PutBack(const std::vector<Lease>& before) {
  for (auto lease = before.rbegin(); lease != before.rend(); ++lease) {
    ledger_.Restore(lease->slice);
    Put(*lease);
  }
}

// What is not decided ends whole.
size_t LeaseBook::Reclaim(std::vector<std::string> ids, const char* reason) {
  std::set<std::string> all(ids.begin(), ids.end());
  for (const std::string& id : ids) {
    const Lease& lease = leases_.at(id);
    if (lease.state != LeaseState::kTried || lease.transaction.empty()) continue;
    const TransactionKey key = {lease.uid, lease.transaction};
    decisions_[key] = {Decision::kCancelled, /*stands=*/true};
    const std::set<std::string>& others = by_transaction_.at(key);
    all.insert(others.begin(), others.end());
  }
  for (const std::string& id : all) {
    const Lease& lease = leases_.at(id);
    LogEvent(Event::kLeaseEnded,
             absl::StrCat("lease ", id, " of ", lease.tenant, " ended: ", reason),
             {{"HET_LEASE_ID", id}, {"HET_DEVICE", lease.slice.device}, {"HET_ERROR", reason}});
    reclaimed_.insert(id);
    Remove(id);
  }
  return all.size();
}

size_t LeaseBook::ReclaimProcess(const ProcessId& process) {
  const auto held = by_process_.find(process);
  if (held == by_process_.end()) return 0;
  return Reclaim({held->second.begin(), held->second.end()}, "its process has ended");
}

size_t LeaseBook::ReclaimExpired() {
  const int64_t now = clock_.BoottimeNanos();
  std::vector<std::string> ids;
  for (const auto& [expiry, id] : by_expiry_) {
    if (expiry > now) break;
    ids.push_back(id);
  }
  return Reclaim(ids, "its time is over");
}

int64_t LeaseBook::NextExpiry() const { return by_expiry_.empty() ? 0 : by_expiry_.begin()->first; }

absl::StatusOr<std::optional<Store::Reply>> LeaseBook::FindReply(uid_t uid,
                                                                 const std::string& request_id) {
  const auto staged = replies_.find({uid, request_id});
  if (staged != replies_.end()) return std::optional<Store::Reply>(staged->second);
  return store_.FindReply(uid, request_id);
}

void LeaseBook::KeepReply(uid_t uid, const std::string& request_id, Store::Reply reply) {
  replies_.insert_or_assign({uid, request_id}, std::move(reply));
}

absl::Status LeaseBook::WriteBatch() {
  for (const std::string& id : dirty_) {
    const auto it = leases_.find(id);
    HET_RETURN_IF_ERROR(it == leases_.end() ? store_.RemoveLease(id) : store_.PutLease(it->second));
  }
  for (const auto& [key, reply] : replies_) {
    HET_RETURN_IF_ERROR(store_.PutReply(key.first, key.second, reply));
  }
  for (const auto& [key, staged] : decisions_) {
    const bool confirmed = staged.decision == Decision::kConfirmed;
    HET_RETURN_IF_ERROR(
        store_.PutDecision(key.first, key.second, confirmed ? kConfirmed : kCancelled));
  }
  return store_.Commit(generation_, boot_id_);
}

absl::Status LeaseBook::Commit() {
  Failpoint("commit.begin");
  const absl::Status written = WriteBatch();
  if (written.ok()) {
    dirty_.clear();
    reclaimed_.clear();
    decisions_.clear();
    if (!store_status_.ok()) LogEvent(Event::kStoreHealed, "the store can be written again");
  } else {
    store_.Rollback();
    Undo();
    dirty_ = reclaimed_;  // to be written with the next batch
    std::erase_if(decisions_, [](const auto& staged) { return !staged.second.stands; });
    if (store_status_.ok()) {
      LogEvent(Event::kStoreFailed, absl::StrCat("new leases are refused: ", written.ToString()),
               {{"HET_ERROR", std::string(written.message())}});
    }
  }
  history_.clear();
  replies_.clear();
  store_status_ = written;
  return written;
}

void LeaseBook::Undo() {
  ++changes_;
  for (auto entry = history_.rbegin(); entry != history_.rend(); ++entry) {
    const auto& [id, before] = *entry;
    if (reclaimed_.contains(id)) continue;
    const auto now = leases_.find(id);
    if (now != leases_.end()) {
      Unindex(now->second);
      if (!before) {
        (void)ledger_.Release(now->second.slice.id);
      } else if (before->slice != now->second.slice) {
        ledger_.Restore(before->slice);
      }
      leases_.erase(now);
    } else if (before) {
      // Fits: everything that was granted after it was released has been undone.
      const absl::Status adopted = ledger_.Adopt({before->slice});
      if (!adopted.ok()) Log().error("lease {}: {}", id, adopted.ToString());
    }
    if (before) {
      Index(*before);
      leases_.emplace(id, *before);
    }
  }
}

void LeaseBook::Probe() {
  if (store_status_.ok()) return;
  if (HasUncommitted()) {
    (void)Commit();
    return;
  }
  store_status_ = store_.Heartbeat(generation_, boot_id_);
  if (store_status_.ok()) LogEvent(Event::kStoreHealed, "the store can be written again");
}

size_t LeaseBook::held() const {
  size_t held = 0;
  for (const auto& [uid, count] : count_by_user_) held += count;
  return held;
}

const Lease* LeaseBook::FindBySlice(const std::string& slice_id) const {
  const auto id = by_slice_.find(slice_id);
  return id == by_slice_.end() ? nullptr : &leases_.at(id->second);
}

bool LeaseBook::HasLeases(const ProcessId& process) const { return by_process_.contains(process); }

std::vector<ProcessId> LeaseBook::Processes() const {
  std::vector<ProcessId> processes;
  for (const auto& [process, ids] : by_process_) processes.push_back(process);
  return processes;
}

}  // namespace het::daemon
