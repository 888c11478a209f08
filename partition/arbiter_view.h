// ArbiterView: one process's reading of the shared pages. It keeps a table of who is seated (read
// again when the owner announces a change), looks at all of them in one pass, and leaves out those
// that make no progress (ArbiterWatch).
//
// Threads: Survey, NextWaiter and Lease are lock-free and may run in any number of threads; Refresh
// locks. The pages may hold anything a hostile peer wrote: every index is masked, every number
// clamped. Ownership: owns its mappings.
#ifndef HET_PARTITION_ARBITER_VIEW_H_
#define HET_PARTITION_ARBITER_VIEW_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "partition/arbiter_grant.h"
#include "partition/arbiter_pages.h"
#include "partition/arbiter_rule.h"
#include "partition/shared_pages.h"

namespace het::arbiter {

// What a lease may, unpacked.
struct LeaseTerms {
  bool active = false;
  bool guaranteed = false;
  bool capped = false;
  uint32_t klass = 0;
  uint32_t rate = 0;  // see RateOf
};
LeaseTerms UnpackLease(uint64_t info);

class ArbiterView {
 public:
  // FailedPrecondition for pages of another version or that are no arbiter's.
  static absl::StatusOr<std::unique_ptr<ArbiterView>> Open(SeatGrant grant, const Clock& clock);
  ~ArbiterView();

  const ControlPage& control() const { return *control_; }
  RegionPage& own_region() const { return *own_; }

  // Whether the owner announced something that Refresh has not read yet.
  bool stale() const {
    // acquire pairs with Announce: what was changed before it is seen.
    return control_->generation.load(std::memory_order_acquire) !=
           seen_.load(std::memory_order_relaxed);
  }
  void Refresh();

  // Nobody else is at work, and nobody's place is to be kept. What Look would find, at a fraction
  // of its cost; false also when it is not known.
  bool Quiet() const {
    const uint32_t count = others_count_.load(std::memory_order_acquire);
    uint64_t any =
        not_quiet_.load(std::memory_order_relaxed) | any_ignored_.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < count; ++i) {
      const HotSlot* hot = others_[i].load(std::memory_order_relaxed);
      // seq_cst: see Look.
      any |= hot->flight.load(std::memory_order_seq_cst) |
             static_cast<uint64_t>(hot->hold_since_ns.load(std::memory_order_relaxed));
    }
    return any == 0;
  }
  // Somebody else waits.
  bool SomebodyWaits() const {
    const uint32_t count = others_count_.load(std::memory_order_acquire);
    uint64_t any = 0;
    for (uint32_t i = 0; i < count; ++i) {
      any |= others_[i].load(std::memory_order_relaxed)->flight.load(std::memory_order_seq_cst);
    }
    return Waiters(any) != 0;
  }

  // Whether a class above `klass` has a seat, as of the last Refresh.
  bool AnySeatAbove(uint32_t klass) const;

  // Looks at all seats but the asker's own. Reads the clock only when a hold may be on.
  // `waiting_since` is 0 for an asker that is not waiting yet.
  Survey Look(uint32_t klass, uint64_t tag, int64_t waiting_since) const;
  // The seat to wake when a place is free: the first in line of those that sleep; null: nobody.
  struct Waiter {
    HotSlot* hot = nullptr;
    uint32_t slot = kNobody;
    uint32_t lease = 0;
    uint32_t klass = 0;
    uint64_t tag = 0;
    bool other_waits = false;  // somebody besides the asker waits, asleep or not
  };
  Waiter NextWaiter() const;

  // Looks for peers that block without making progress, after the asker was blocked for a while.
  // True when one is left out from now on.
  bool Sweep(const Verdict& verdict, Survey survey, int64_t now_ns);
  // Leaves `slot` out for a while, whatever it does: it kept others waiting beyond all reason.
  void Distrust(uint32_t slot, int64_t now_ns);

 private:
  struct Peer {
    // relaxed: hints that one pass of Refresh replaces; a mixed reading is a wrong guess once.
    std::atomic<HotSlot*> hot{nullptr};
    std::atomic<LeaseTags*> tags{nullptr};
    std::atomic<uint64_t> info{0};  // see PackPeer
  };
  struct Watched {
    uint64_t progress = 0;  // launches begun and ended, when last looked at
    int64_t since_ns = 0;   // unchanged since
    uint64_t looks = 0;
    int64_t looked_ns = 0;
    int64_t asked_ns = 0;  // the process's state
    uint64_t seat = 0;
    int64_t distrusted_until_ns = 0;
    uint32_t strikes = 0;
  };

  ArbiterView(SeatGrant& grant, const Clock& clock);
  absl::Status MapAll(SeatGrant& grant);
  void FetchRegions();
  uint64_t Progress(uint32_t slot) const;
  bool StuckLocked(uint32_t slot, const Verdict& verdict, const Survey& survey, int64_t now_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReturnIgnored() const;

  const Clock& clock_;
  const uint32_t slot_;
  const uint32_t lease_;
  const uint32_t own_region_;
  const RegionProvider provider_;
  SharedPages control_pages_;
  const ControlPage* control_ = nullptr;
  RegionPage* own_ = nullptr;
  bool same_pids_ = false;

  std::atomic<uint64_t> seen_{0};
  std::array<std::atomic<uint64_t>, kSlotWords> active_{};
  mutable std::array<std::atomic<uint64_t>, kSlotWords> ignored_{};
  mutable std::atomic<uint32_t> any_ignored_{0};
  std::atomic<uint32_t> words_{0};  // how many words of active_ are in use
  std::unique_ptr<Peer[]> peers_;
  // The hot lines of all others, dense; and whether there is somebody whose line cannot be read.
  std::unique_ptr<std::atomic<const HotSlot*>[]> others_;
  std::atomic<uint32_t> others_count_{0};
  std::atomic<uint32_t> not_quiet_{0};

  mutable absl::Mutex mutex_;
  std::array<SharedPages, kRegions> regions_ ABSL_GUARDED_BY(mutex_);
  mutable std::unique_ptr<Watched[]> watched_ ABSL_GUARDED_BY(mutex_);
  bool fetching_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t fetch_after_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread fetcher_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::arbiter

#endif  // HET_PARTITION_ARBITER_VIEW_H_
