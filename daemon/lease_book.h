// LeaseBook: who holds which slice, and the answers that were given, durable together.
//
// Operations change the books in memory at once and are written by Commit, which the daemon calls
// once per turn of its loop before any answer leaves (group commit). When Commit fails every
// operation since the last one is undone, so that memory never holds what disk does not; only a
// reclaim stands (a dead process has no lease, whatever the disk says) and is written later.
//
// Ownership: borrows the ledger, the store and the clock. Threads: one. Failures: those of the
// ledger; PermissionDenied for another user's lease, NotFound, Aborted for a stale generation,
// FailedPrecondition for a lease in the wrong state.
#ifndef HET_DAEMON_LEASE_BOOK_H_
#define HET_DAEMON_LEASE_BOOK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "daemon/process.h"
#include "daemon/store.h"
#include "partition/ledger.h"
#include "partition/slice.h"
#include "protocol/messages.h"

namespace het::daemon {

inline constexpr int64_t kTryMillis = 30'000;  // a lease that nobody confirms ends after this

class LeaseBook {
 public:
  struct Rules {
    size_t leases_per_user = 2048;  // of a user who is no administrator
    // What must keep apart the slices of two users where a request says nothing.
    Isolation isolation_at_least = Isolation::kDriver;
    std::function<std::string()> new_id = NewUuid;
  };

  LeaseBook(Ledger& ledger, Store& store, const Clock& clock, std::string boot_id)
      : LeaseBook(ledger, store, clock, std::move(boot_id), Rules()) {}
  LeaseBook(Ledger& ledger, Store& store, const Clock& clock, std::string boot_id, Rules rules);

  // Takes over what the store has, before anything else; see Reconcile.
  absl::Status Restore(const std::function<bool(const ProcessId&)>& is_alive);

  // Each is all or none over its slices or leases. Acquire adds to its transaction, if it names
  // one, as long as that is not decided, and gives all of it another kTryMillis. Confirm and Cancel
  // decide it, once: the decision is on disk with the leases it is about, and a repeat finds it.
  // A Cancel that comes first is remembered, so that an Acquire that comes later is refused.
  absl::StatusOr<std::vector<Lease>> Acquire(const Caller& caller,
                                             const protocol::LeaseTerms& terms,
                                             absl::Span<const SliceRequest> slices);
  absl::StatusOr<std::vector<Lease>> Confirm(const Caller& caller,
                                             const protocol::LeaseChange& change);
  absl::StatusOr<std::vector<Lease>> Cancel(const Caller& caller,
                                            const protocol::LeaseChange& change);
  absl::StatusOr<std::vector<Lease>> Release(const Caller& caller,
                                             const protocol::LeaseChange& change);
  absl::StatusOr<std::vector<Lease>> Renew(const Caller& caller,
                                           const protocol::LeaseChange& change);

  // Devices on which nothing keeps the caller's slices apart from those of other users as much as
  // the terms ask.
  std::set<std::string> ClosedTo(const Caller& caller, const protocol::LeaseTerms& terms) const;

  // Named slices: cut by an administrator, leased by name, and there again when the lease ends.
  // Create: AlreadyExists. Delete: NotFound, FailedPrecondition while it is leased. Both:
  // PermissionDenied for others.
  absl::StatusOr<Slice> Create(const Caller& caller, const SliceRequest& slice);
  absl::Status Delete(const Caller& caller, const std::string& name);
  bool HasNamed(const std::string& name) const { return FindNamed(name) != nullptr; }

  // What Resize changes; what is not given stays.
  struct Sizes {
    std::optional<Share> share;
    std::optional<uint64_t> memory_bytes;
    std::optional<Priority> priority;
  };
  absl::StatusOr<std::vector<Lease>> Resize(const Caller& caller,
                                            const std::vector<protocol::LeaseRef>& refs,
                                            const Sizes& sizes);
  // Undoes a Resize that was not committed.
  void PutBack(const std::vector<Lease>& before);

  // The leases that are named, if they are the caller's.
  absl::StatusOr<std::vector<Lease>> Find(const Caller& caller,
                                          const protocol::LeaseChange& change) const;

  // Ends the leases of a process that has ended, and those whose time is over. How many.
  size_t ReclaimProcess(const ProcessId& process);
  size_t ReclaimExpired();
  // CLOCK_BOOTTIME nanoseconds; 0: no lease expires.
  int64_t NextExpiry() const;

  // The answer that was given to a request of this user, or nullopt.
  absl::StatusOr<std::optional<Store::Reply>> FindReply(uid_t uid, const std::string& request_id);
  void KeepReply(uid_t uid, const std::string& request_id, Store::Reply reply);

  // Something is staged: of the books, or by others in the store.
  bool HasUncommitted() const {
    return !dirty_.empty() || !replies_.empty() || !decisions_.empty() || store_.HasBatch();
  }
  // The reason why nothing can be recorded: new answers must not leave.
  absl::Status Commit();
  // The outcome of the last Commit or Probe.
  const absl::Status& store_status() const { return store_status_; }
  // Tries to write when the store has failed.
  void Probe();

  const std::map<std::string, Lease, std::less<>>& leases() const { return leases_; }
  // Leases that somebody has.
  size_t held() const;
  const Lease* FindBySlice(const std::string& slice_id) const;
  bool HasLeases(const ProcessId& process) const;
  std::vector<ProcessId> Processes() const;
  // Grows whenever capacity was given back.
  uint64_t freed() const { return freed_; }
  // Grows with every change of a lease.
  uint64_t changes() const { return changes_; }

 private:
  void Put(Lease lease);
  // The slice is free again, or, when it is a named one, available again.
  void Remove(const std::string& id);
  void Erase(const std::string& id);
  void PutAvailable(const Slice& slice, uid_t uid);
  // The lease that has the named slice now, also the one that stands for nobody.
  const Lease* FindNamed(const std::string& name) const;
  absl::StatusOr<std::vector<Slice>> Grant(const Caller& caller, Isolation at_least,
                                           absl::Span<const SliceRequest> slices);
  absl::Status CheckNeighbours(const Caller& caller, Isolation at_least, const Slice& slice) const;
  absl::Status CheckRoom(const Caller& caller, size_t more) const;
  void Confirm(std::vector<Lease>& leases);
  size_t Reclaim(std::vector<std::string> ids, const char* reason);

  // A transaction is its user's.
  using TransactionKey = std::pair<uid_t, std::string>;
  enum class Decision { kOpen, kConfirmed, kCancelled };
  absl::StatusOr<Decision> DecisionOf(const TransactionKey& key);
  std::vector<Lease> LeasesOf(const TransactionKey& key) const;
  absl::StatusOr<std::vector<Lease>> ConfirmAll(const TransactionKey& key);
  absl::StatusOr<std::vector<Lease>> CancelAll(const TransactionKey& key);
  absl::Status WriteBatch();
  void Undo();
  void Index(const Lease& lease);
  void Unindex(const Lease& lease);

  Ledger& ledger_;
  Store& store_;
  const Clock& clock_;
  const std::string boot_id_;
  const Rules rules_;

  std::map<std::string, Lease, std::less<>> leases_;
  std::set<std::pair<int64_t, std::string>> by_expiry_;
  std::map<ProcessId, std::set<std::string>> by_process_;  // leases that live with a process
  std::map<std::string, std::string> by_slice_;
  std::map<TransactionKey, std::set<std::string>> by_transaction_;
  std::map<uid_t, size_t> count_by_user_;
  // Who shares a device: how many leases of a user, of a kind of slice, with a wish.
  struct Tenant {
    uid_t uid = 0;
    Isolation isolation = Isolation::kCooperative;  // of the slice
    Isolation at_least = Isolation::kCooperative;
    friend auto operator<=>(const Tenant&, const Tenant&) = default;
  };
  static Tenant TenantOf(const Lease& lease) {
    return {lease.uid, lease.slice.isolation, lease.isolation_at_least};
  }
  std::map<std::string, std::map<Tenant, size_t>> tenants_;  // by device
  uint64_t generation_ = 0;
  uint64_t freed_ = 0;
  uint64_t changes_ = 0;

  // Since the last commit.
  std::set<std::string> dirty_;                                        // leases to write or remove
  std::vector<std::pair<std::string, std::optional<Lease>>> history_;  // what they were before
  std::set<std::string> reclaimed_;  // not brought back by a failed commit
  std::map<std::pair<uid_t, std::string>, Store::Reply> replies_;
  struct StagedDecision {
    Decision decision = Decision::kOpen;
    bool stands = false;  // not taken back by a failed commit: its leases are gone in any case
  };
  std::map<TransactionKey, StagedDecision> decisions_;
  absl::Status store_status_;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_LEASE_BOOK_H_
