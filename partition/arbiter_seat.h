// ArbiterSeat: a process's seat at one device's arbiter, for one lease. Everything it puts on the
// device goes between TryBegin (or Begin) and End; everything it allocates is reserved first.
// Decisions are made here, in shared memory, without the owner: with hetd gone they go on with the
// last weights, and a peer that died or stopped is left out after some milliseconds.
//
// Threads: thread-safe. Ownership: the seat owns its mappings; a Ticket must be ended on the seat
// that gave it, and before the seat goes. A forked child has no seat: it gets FailedPrecondition
// (TryBegin: no ticket) until it joins for itself.
// Errors: FailedPrecondition when the seat was taken away, ResourceExhausted for memory over the
// quota (says what was asked, used and left). Estimates and times are nanoseconds of device time.
#ifndef HET_PARTITION_ARBITER_SEAT_H_
#define HET_PARTITION_ARBITER_SEAT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/units.h"
#include "partition/arbiter_block.h"
#include "partition/arbiter_grant.h"
#include "partition/arbiter_quota.h"
#include "partition/arbiter_view.h"

namespace het {

// The right to one launch. Plain data; not forgeable across seats in any useful way, and what a
// process forges harms itself only.
struct Ticket {
  uint64_t estimate_ns = 0;
  uint64_t charged = 0;  // virtual time
  uint32_t klass = 0;
};

class ArbiterSeat {
 public:
  static absl::StatusOr<std::unique_ptr<ArbiterSeat>> Join(SeatGrant grant,
                                                           const Clock& clock = Clock::Real());
  ~ArbiterSeat();

  // A ticket if it is this process's turn now. Never blocks. `why` (may be null) is set when not.
  std::optional<Ticket> TryBegin(uint64_t estimate_ns, Block* why = nullptr);
  // Waits for its turn; every sleep is at most a millisecond. FailedPrecondition when the seat was
  // taken away.
  absl::StatusOr<Ticket> Begin(uint64_t estimate_ns);
  // For a runtime that waits in a thread of its own: keeps a place in the line, sleeps until the
  // turn may have come or `deadline_ns` (CLOCK_MONOTONIC), and returns; then TryBegin. The place is
  // kept until a TryBegin succeeds or Withdraw is called; one line per seat.
  void WaitTurn(uint64_t estimate_ns, int64_t deadline_ns);
  void KeepPlace();
  void Withdraw();

  // Before the first ticket, by who cannot ask the device how long a launch took, but sees it begin
  // and end: what another process has on the device meanwhile would count as well. From then on no
  // launch of this seat is in flight beside one of another seat (of its class or below; a higher
  // class does not wait).
  void TimedFromOutside() { hot_.from_outside.store(1, std::memory_order_relaxed); }

  // The launch is complete and took `busy_ns` on the device. From any thread, once per ticket.
  void End(const Ticket& ticket, uint64_t busy_ns);
  // The launch never reached the device.
  void Cancel(const Ticket& ticket) { End(ticket, 0); }

  // Memory of the lease, all its processes together; never a byte over the quota.
  absl::Status Reserve(uint64_t bytes) { return quota_->Reserve(bytes); }
  void GiveBack(uint64_t bytes) { quota_->GiveBack(bytes); }
  uint64_t memory_limit() const { return quota_->limit(); }
  uint64_t memory_used() const { return quota_->used(); }

  // Host processors that time-shared leases of this device run on, ascending; empty for other
  // devices. They change when cores are given to a slice of their own: look again when the version
  // has grown.
  uint64_t cores_version() const;
  std::vector<uint32_t> Cores() const;

  // As of the last decision.
  Share share() const;
  // Whether the owner gave a sign of life within the last two seconds.
  bool owner_alive() const;
  bool revoked() const { return revoked_.load(std::memory_order_relaxed); }
  uint32_t slot() const { return slot_; }
  uint32_t lease() const { return lease_; }
  uint32_t launches_in_flight() const;
  // Whether, as of the last decision, nobody else was at work and nobody of a higher class has a
  // seat: a launch that is longer than need be keeps nobody waiting then.
  bool alone() const;

 private:
  struct Attempt {
    std::optional<Ticket> ticket;
    arbiter::Verdict verdict;
    arbiter::Survey survey;
  };

  ArbiterSeat(uint32_t slot, uint32_t epoch, uint32_t lease,
              std::unique_ptr<arbiter::ArbiterView> view, const Clock& clock);
  bool Forked() const;
  void Refresh();
  // The usual case at its lowest price: nobody else is at work. False: nothing was done.
  bool TryAlone(uint64_t estimate_ns, Ticket* ticket);
  // `queued`: the asker keeps a place in the line. `take` false: only looks.
  Attempt Try(uint64_t estimate_ns, bool queued, bool take);
  int64_t CapOpensAt() const;
  void PayCap(int64_t now_ns, int64_t delta_ns);
  void TakeTag(const arbiter::Survey& survey, arbiter::Asker& asker);
  void Enqueue(int64_t now_ns);
  void Dequeue(Block last, int64_t now_ns);
  void NoteReturn();
  void WakeNext(const arbiter::Survey& survey);
  void WakeAfterEnd(uint64_t flight_before);
  bool OverPatience(const arbiter::Verdict& verdict, uint64_t estimate_ns, int64_t now_ns,
                    int64_t* blocked_ns, int64_t last_ns) const;
  int64_t NextLook(const Attempt& attempt, int64_t now_ns) const;

  const uint32_t slot_;
  const uint32_t epoch_;
  const uint32_t lease_;
  const Clock& clock_;
  const std::unique_ptr<arbiter::ArbiterView> view_;
  arbiter::HotSlot& hot_;
  arbiter::ColdSlot& cold_;
  arbiter::LeaseTags& tags_;
  arbiter::LeaseCap& cap_;
  const std::unique_ptr<arbiter::QuotaBook> quota_;
  void* fork_mark_ = nullptr;  // a page that a forked child sees zeroed

  // The lease's terms as last read; relaxed: each is a value of its own.
  arbiter::LeaseTerms terms() const;
  std::atomic<uint64_t> terms_{0};            // packed, see Refresh
  std::atomic<uint32_t> settled_class_{~0u};  // the class whose tag was brought up to date
  std::atomic<bool> revoked_{false};
  // Whether the last look found anybody else at work: then look before reserving.
  std::atomic<bool> contended_{false};
  std::atomic<bool> async_queued_{false};  // WaitTurn keeps a place
  absl::Mutex turnstile_;                  // one thread of the process waits at a time
  int64_t parked_ns_ ABSL_GUARDED_BY(turnstile_) =
      0;  // that WaitTurn's place was blocked by a peer
};

}  // namespace het

#endif  // HET_PARTITION_ARBITER_SEAT_H_
