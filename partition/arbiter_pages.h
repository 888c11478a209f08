// ArbiterPages: the layout of the shared memory of one device's arbiter. Nothing but plain atomics,
// so that every process reads the same bytes; the version in the header changes with the layout.
//
// - ControlPage: who is seated and what each lease may. Written by the owner alone (ArbiterHost),
//   mapped read-only by everybody else.
// - RegionPage: one per UID, what the seats of that UID's leases report. Read-write for processes
//   of that UID, read-only for others, sparse: indexed by the device-wide slot and lease number.
//   A slot has one writer, the process that is seated there; a lease's line is changed by the
//   lease's processes with single atomic instructions, so that a death leaves nothing half done.
//
// Whatever another process wrote is a claim: readers clamp it. Processes of one UID are not
// protected from each other.
#ifndef HET_PARTITION_ARBITER_PAGES_H_
#define HET_PARTITION_ARBITER_PAGES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace het::arbiter {

inline constexpr uint64_t kControlMagic = 0x316c746341746548;  // "HetActl1"
inline constexpr uint64_t kRegionMagic = 0x316e676541746548;   // "HetAegn1"
inline constexpr uint32_t kLayoutVersion = 2;

// The names of the memfds, which nobody can change: what belongs together, and whose it is.
inline constexpr char kPagesPrefix[] = "het-arbiter-";
inline std::string ControlName(uint64_t instance) {
  return absl::StrCat(kPagesPrefix, absl::Hex(instance, absl::kZeroPad16));
}
inline std::string RegionName(uint64_t instance, uint32_t region) {
  return absl::StrCat(ControlName(instance), "-", region);
}

inline constexpr uint32_t kSlots = 1024;
inline constexpr uint32_t kSlotWords = kSlots / 64;
inline constexpr uint32_t kLeases = 1024;
inline constexpr uint32_t kRegions = 256;
inline constexpr uint32_t kCoreWords = 1024 / 64;

// Leases compete inside their class; a class waits for those above it. Two classes per priority:
// best effort below guaranteed and capped.
inline constexpr uint32_t kPriorities = 4;
inline constexpr uint32_t kClasses = 2 * kPriorities;

static_assert(std::atomic<uint64_t>::is_always_lock_free &&
              std::atomic<uint32_t>::is_always_lock_free);

// ---- control: owner writes -------------------------------------------------------------------

// `info` of a lease.
inline constexpr uint64_t kLeaseActive = 1;
inline constexpr uint32_t kLeasePolicyShift = 8;     // Policy, 8 bits
inline constexpr uint32_t kLeasePriorityShift = 16;  // 8 bits
inline constexpr uint32_t kLeaseWeightShift = 32;    // share in 1/10000

struct alignas(64) ControlLease {
  std::atomic<uint64_t> info;
  std::atomic<uint64_t> memory_quota;  // bytes
  std::atomic<uint32_t> region;
  std::atomic<uint32_t> generation;  // grows when the index is used again
  char id[40];                       // for an owner that comes back; written before `info`
};
static_assert(sizeof(ControlLease) == 64);

// `seat` of a slot: epoch (upper 32 bits) and whether it is taken. A seat whose epoch differs from
// the one it was granted with has been taken away.
inline constexpr uint64_t kSeatTaken = 1;
inline constexpr uint32_t kSeatEpochShift = 32;

struct alignas(64) ControlSlot {
  std::atomic<uint64_t> seat;
  std::atomic<uint32_t> lease;
  std::atomic<uint32_t> region;
  std::atomic<uint32_t> pid;
  std::atomic<uint64_t> start_time;  // clock ticks after boot
};

struct ControlRegion {
  std::atomic<uint32_t> uid;
  std::atomic<uint32_t> present;
};

struct ControlPage {
  // Written before the page is handed out.
  uint64_t magic;
  uint32_t version;
  uint32_t bytes;
  uint32_t depth;  // launches in flight while several compete
  uint32_t pad;
  uint64_t depth_ns;       // or as many as are estimated to take this long
  uint64_t run_ahead_ns;   // how far a tenant that is alone may run ahead
  uint64_t hold_ns;        // longest wait for a peer that is owed and about to come back
  uint64_t pid_namespace;  // inode of the owner's; pids mean nothing in another
  uint64_t instance;       // random: part of the names of this page and its regions
  char device[64];

  alignas(64) std::atomic<uint64_t> generation;          // raised after every change below
  std::atomic<int64_t> heartbeat_ns;                     // CLOCK_MONOTONIC
  alignas(64) std::atomic<uint64_t> active[kSlotWords];  // seated slots
  // Host processors, by OS index, that time-shared leases run on; none for other devices.
  std::atomic<uint64_t> cores_version;
  std::atomic<uint64_t> cores[kCoreWords];
  ControlRegion regions[kRegions];
  ControlLease leases[kLeases];
  ControlSlot slots[kSlots];
};

// ---- region: the seats write -----------------------------------------------------------------

// `flight` of a slot: what is in flight and how many wait, in one word that one instruction
// changes.
inline constexpr uint64_t kFlightOne = 1;  // launches in flight: 10 bits
inline constexpr uint64_t kFlightCountMask = 0x3ff;
inline constexpr uint32_t kFlightMostCount = 1000;
inline constexpr uint64_t kWaitOne = uint64_t{1} << 10;  // waiters: 12 bits
inline constexpr uint64_t kWaitMask = 0xfff;
inline constexpr uint32_t kWaitShift = 10;
inline constexpr uint32_t kFlightNsShift = 24;  // estimated time of what is in flight: 40 bits
inline constexpr uint64_t kMostEstimateNs = uint64_t{1} << 30;

inline uint32_t FlightCount(uint64_t flight) { return flight & kFlightCountMask; }
inline uint32_t Waiters(uint64_t flight) { return (flight >> kWaitShift) & kWaitMask; }
inline uint64_t FlightNs(uint64_t flight) { return flight >> kFlightNsShift; }

// What peers read at every decision: one line per slot, packed, so that 64 of them stay in the
// first cache and do not alias.
struct alignas(64) HotSlot {
  std::atomic<uint64_t> flight;
  // When the last launch completed with nothing behind it while others waited, or 0: a peer that is
  // owed time and is about to come back (the hold rule).
  std::atomic<int64_t> hold_since_ns;
  std::atomic<int64_t> waiting_since_ns;
  std::atomic<uint64_t> used_ns;
  std::atomic<uint32_t> gap_ns;       // moving average: completion until the next request
  std::atomic<uint32_t> lmax_ns;      // longest recent launch
  std::atomic<uint32_t> futex;        // odd: somebody sleeps here
  std::atomic<uint16_t> waiting_for;  // Block, for people
  // Not 0: it learns how long its launches took by looking at the clock, so they must have the
  // device to themselves (ArbiterSeat::TimedFromOutside).
  std::atomic<uint16_t> from_outside;
  // Grows whenever a waiter looks whether its turn has come: a sign of life.
  std::atomic<uint64_t> looks;
};
static_assert(sizeof(HotSlot) == 64);

inline constexpr uint32_t kBlocks = 8;

// What is read seldom: memory and the statistics of waiting.
struct alignas(64) ColdSlot {
  std::atomic<uint64_t> memory_reserved;  // bytes
  std::atomic<uint64_t> memory_pending;   // asked, not decided
  std::atomic<uint64_t> launches;
  std::atomic<uint64_t> pad[5];
  std::atomic<uint64_t> throttled_ns[kBlocks];  // by Block
};
static_assert(sizeof(ColdSlot) == 128);

// A lease's virtual time, one per class (a change of class must not carry it over): device time
// used over weight, in ns x 10000 / share. Compared by difference, so that it may wrap.
struct alignas(64) LeaseTags {
  std::atomic<uint64_t> tag[kClasses];
};
static_assert(sizeof(LeaseTags) == 64);

struct alignas(64) LeaseCap {
  // GCRA: the time at which the lease's device time is paid for at its capped rate.
  std::atomic<int64_t> paid_until_ns;
};

struct RegionPage {
  uint64_t magic;
  uint32_t version;
  uint32_t bytes;
  uint32_t region;
  uint32_t uid;
  alignas(64) HotSlot hot[kSlots];
  LeaseTags tags[kLeases];
  LeaseCap caps[kLeases];
  ColdSlot cold[kSlots];
};

// The class of a lease from its `info`.
inline uint32_t ClassOf(uint32_t priority, bool best_effort) {
  return 2 * (priority < kPriorities ? priority : kPriorities - 1) + (best_effort ? 0 : 1);
}

// a before b, with wrap-around.
inline int64_t TagDifference(uint64_t a, uint64_t b) { return static_cast<int64_t>(a - b); }

}  // namespace het::arbiter

#endif  // HET_PARTITION_ARBITER_PAGES_H_
