// ArbiterHost: the owner's side of one device's arbiter. It makes the shared memory, says which
// leases there are and what each may, seats processes and reaps the dead. It takes no part in any
// launch: clients (ArbiterSeat) decide among themselves and go on without it.
//
// Threads: one at a time. Ownership: owns the memory; mappings of clients outlive it. Errors:
// InvalidArgument for a request that cannot be, NotFound for a lease or seat that is not there,
// ResourceExhausted when the pages are full, FailedPrecondition for a memory quota below what is
// used (says what is used); nothing is changed then.
#ifndef HET_PARTITION_ARBITER_HOST_H_
#define HET_PARTITION_ARBITER_HOST_H_

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/units.h"
#include "partition/arbiter_block.h"
#include "partition/arbiter_grant.h"
#include "partition/shared_pages.h"
#include "partition/slice.h"

namespace het {

namespace arbiter {
struct ControlPage;
struct RegionPage;
}  // namespace arbiter

struct ArbiterOptions {
  uint32_t depth = 2;                 // launches in flight while several leases compete
  uint64_t depth_ns = 600'000;        // or as many as take this long together (short kernels)
  uint64_t run_ahead_ns = 2'000'000;  // what a lease that is alone may have in flight
  uint64_t hold_ns = 300'000;    // longest wait for a guaranteed peer that is about to come back
  const Clock* clock = nullptr;  // default: Clock::Real()
};

// What a lease may. `priority` 0 (batch) to 3; a higher class goes first at every launch.
struct ArbiterLease {
  Share weight;
  Policy policy = Policy::kGuaranteed;
  uint32_t priority = 1;
  uint64_t memory_quota = 0;  // bytes
  uid_t uid = 0;              // whose processes hold it
  std::string id = {};        // at most 39 bytes: by it an owner that was restarted knows the lease
};

struct ArbiterUsage {
  uint64_t used_ns = 0;  // device time, as its processes reported it
  uint64_t launches = 0;
  uint64_t memory = 0;  // bytes reserved
  uint32_t in_flight = 0;
  uint32_t waiting = 0;
  uint32_t seats = 0;
  std::array<uint64_t, kBlockReasons> throttled_ns = {};  // by Block
  Block waiting_for = Block::kNone;                       // of somebody who waits now
};

class ArbiterHost {
 public:
  static absl::StatusOr<std::unique_ptr<ArbiterHost>> Create(const std::string& device,
                                                             const ArbiterOptions& options = {});
  // The pages of an owner that ended, as its clients still map them; only those of this process's
  // user. What there is to adopt on this machine.
  struct Found {
    SharedPages control;
    std::map<uint32_t, SharedPages> regions;
  };
  // `kept`: what somebody else kept of them, by the name of the memfd, and took care of.
  static std::vector<Found> FindPages(std::map<std::string, UniqueFd> kept = {});
  // Goes on with them. Leases, seats, what is reserved and who is owed what are as they were; only
  // the history of seats that had gone is lost. FailedPrecondition for pages of another version.
  static absl::StatusOr<std::unique_ptr<ArbiterHost>> Adopt(Found found,
                                                            const Clock& clock = Clock::Real());
  ~ArbiterHost();

  const char* device() const;
  // The shared memory by the names that FindPages goes by. The descriptors stay this object's.
  std::vector<std::pair<std::string, int>> Files() const;
  struct Seated {
    uint32_t slot = 0;
    uint32_t lease = 0;
    pid_t pid = 0;
    uint64_t start_time = 0;
  };
  std::vector<Seated> Seats() const;
  std::vector<std::pair<uint32_t, ArbiterLease>> Leases() const;

  // The index of the new lease.
  absl::StatusOr<uint32_t> AddLease(const ArbiterLease& lease);
  // Effective with every process's next decision. The uid cannot change.
  absl::Status ChangeLease(uint32_t lease, const ArbiterLease& changed);
  // Takes the lease and its seats away.
  absl::Status RemoveLease(uint32_t lease);

  // The host processors (OS indices below 1,024) that time-shared leases run on from now.
  void SetCores(const std::vector<uint32_t>& cores);

  // A seat for process `pid`, which started at `start_time` (clock ticks after boot).
  absl::StatusOr<SeatGrant> Seat(uint32_t lease, pid_t pid, uint64_t start_time);
  // Gives back everything the seat held. The slot is not used again while the process lives.
  absl::Status Unseat(uint32_t slot);
  // Read-only, for a RegionProvider.
  absl::StatusOr<UniqueFd> RegionDescriptor(uint32_t region) const;

  // To be called some times a second: clients tell by it whether the owner lives.
  void Beat();
  absl::StatusOr<ArbiterUsage> Usage(uint32_t lease) const;
  absl::StatusOr<ArbiterLease> LeaseOf(uint32_t lease) const;

 private:
  struct LeaseRecord {
    ArbiterLease lease;
    uint32_t region = 0;
    std::vector<uint32_t> slots;
    ArbiterUsage retired;  // of seats that are gone
  };
  struct FreeSlot {
    uint32_t slot;
    pid_t pid;  // who sat there, and since when
    uint64_t start_time;
  };
  struct Region {
    uid_t uid;
    SharedPages pages;
    arbiter::RegionPage* page() const;
  };

  ArbiterHost(const Clock& clock, SharedPages control)
      : clock_(clock), control_(std::move(control)) {}
  absl::Status MakeRegion(uint32_t index, uid_t uid);
  void ReadLeases();
  void ReadSeats();
  arbiter::ControlPage& control() const;
  absl::StatusOr<uint32_t> RegionOf(uid_t uid);
  std::optional<uint32_t> TakeFreeSlot();
  void Publish(uint32_t index, const LeaseRecord& record);
  // Everybody reads the control page again.
  void Announce();
  uint64_t MemoryOf(const LeaseRecord& record, bool with_pending) const;
  // The virtual time of a class: where its busiest lease stands.
  uint64_t VirtualTime(uint32_t klass, uint32_t except) const;
  void ClearSlot(uint32_t region, uint32_t slot);

  const Clock& clock_;
  SharedPages control_;
  std::vector<Region> regions_;
  std::map<uint32_t, LeaseRecord> leases_;
  std::map<uint32_t, uint32_t> lease_of_slot_;
  std::deque<FreeSlot> free_slots_;
  std::deque<uint32_t> free_leases_;
};

}  // namespace het

#endif  // HET_PARTITION_ARBITER_HOST_H_
