// ArbiterRule: who may put work on the device next. A pure function of what one look at the shared
// pages found (Survey) and of the asker's own standing (Asker); no clock, memory or thread.
//
// Settled start-time fair queueing with depth D: inside a class the lease with the smallest virtual
// time goes first, at most D launches are in flight (those of a process that is timed from outside
// never beside another's), classes go strictly before each other, and a
// guaranteed peer that is owed time keeps its place for a short while when it has nothing waiting
// (a client that synchronises after every launch would otherwise lose every second turn).
#ifndef HET_PARTITION_ARBITER_RULE_H_
#define HET_PARTITION_ARBITER_RULE_H_

#include <algorithm>
#include <cstdint>

#include "partition/arbiter_block.h"
#include "partition/arbiter_pages.h"

namespace het::arbiter {

inline constexpr uint32_t kNobody = ~uint32_t{0};

// The first in line among some peers: smallest tag, then smallest lease index.
struct Front {
  uint32_t slot = kNobody;
  uint32_t lease = 0;
  uint64_t tag = 0;

  bool any() const { return slot != kNobody; }
  bool Before(uint64_t other_tag, uint32_t other_lease) const {
    const int64_t difference = TagDifference(tag, other_tag);
    return difference < 0 || (difference == 0 && lease < other_lease);
  }
  void Offer(uint32_t new_slot, uint32_t new_lease, uint64_t new_tag) {
    if (!any() || !Before(new_tag, new_lease)) *this = {new_slot, new_lease, new_tag};
  }
};

// What one look at all other seats found. Peers that make no progress are left out.
struct Survey {
  Front waiting;                     // same class, other leases: has launches waiting
  Front holding;                     // same class, other leases: keeps its place (hold rule)
  Front active;                      // same class, other leases: waiting, in flight or holding
  uint64_t floor = 0;                // where the hindmost of `active` stood before its last launch
  uint32_t above = kNobody;          // a higher class waits or is in flight
  uint32_t above_holding = kNobody;  // a higher class is about to come back
  uint32_t elder = kNobody;          // another seat of the same lease waits longer
  uint32_t apart = kNobody;          // has launches in flight which the asker's may not join
  int64_t hold_until_ns = 0;         // 0: until it completed
  uint32_t in_flight = 0;            // launches of the same class or above, without the asker's own
  uint64_t in_flight_ns = 0;         // estimate
  uint64_t lmax_ns = 0;              // of those in flight
  bool lease_active = false;         // another seat of the same lease waits or is in flight
  bool others_active = false;        // another lease of the same class or above does
  bool above_seated = false;         // a higher class has a seat, busy or not
};

struct Asker {
  uint32_t lease = 0;
  uint64_t tag = 0;
  uint64_t estimate_ns = 0;
  uint32_t in_flight = 0;  // own, without this launch
  uint64_t in_flight_ns = 0;
};

struct Limits {
  uint32_t depth = 2;
  uint64_t depth_ns = 0;
  uint64_t run_ahead_ns = 0;
};

struct Verdict {
  Block block = Block::kNone;
  uint32_t by = kNobody;  // slot
  int64_t until_ns = 0;   // when it ends by itself, or 0
};

// Estimated time in flight up to which the number does not count. Alone, far enough to keep the
// device busy; among competitors, enough that short launches do not leave it idle between two
// wake-ups; where a higher class may come, next to nothing: it would have to wait for it.
inline constexpr uint64_t kBelowOthersNs = 50'000;
inline uint64_t FreeNs(const Limits& limits, bool others_active, bool above_seated) {
  if (above_seated) return std::min(limits.depth_ns, kBelowOthersNs);
  return others_active ? limits.depth_ns : std::max(limits.run_ahead_ns, limits.depth_ns);
}

inline bool DepthAllows(const Survey& survey, const Asker& asker, const Limits& limits) {
  const uint32_t in_flight = survey.in_flight + asker.in_flight;
  if (in_flight < limits.depth) return true;
  if (in_flight >= kFlightMostCount) return false;
  const uint64_t ns = survey.in_flight_ns + asker.in_flight_ns + asker.estimate_ns;
  return ns <= FreeNs(limits, survey.others_active, survey.above_seated);
}

inline Verdict Decide(const Survey& survey, const Asker& asker, const Limits& limits) {
  if (survey.above != kNobody) return {Block::kPriority, survey.above, 0};
  if (survey.above_holding != kNobody) {
    return {Block::kPriority, survey.above_holding, survey.hold_until_ns};
  }
  if (survey.waiting.any() && survey.waiting.Before(asker.tag, asker.lease)) {
    return {Block::kShare, survey.waiting.slot, 0};
  }
  if (survey.holding.any() && TagDifference(survey.holding.tag, asker.tag) < 0) {
    return {Block::kHold, survey.holding.slot, survey.hold_until_ns};
  }
  if (survey.elder != kNobody) return {Block::kTurn, survey.elder, 0};
  if (survey.apart != kNobody) return {Block::kDepth, kNobody, 0};
  if (!DepthAllows(survey, asker, limits)) return {Block::kDepth, kNobody, 0};
  return {};
}

// Virtual time per device time, 16.16, of a lease's weight in 1/10000: a multiplication per launch
// instead of a division.
inline uint32_t RateOf(uint64_t weight) {
  return static_cast<uint32_t>((uint64_t{10000} << 16) / std::clamp<uint64_t>(weight, 1, 10000));
}
inline uint64_t VirtualCost(uint64_t ns, uint64_t rate) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(ns) * rate >> 16);
}

// How much unused time a lease keeps when it was idle (device time).
inline constexpr uint64_t kCreditNs = 4'000'000;

// Where a lease stands when it asks: not further behind the active ones than its credit, and after
// it was idle not further ahead than its own launches can have put it.
inline uint64_t ClampTag(uint64_t tag, const Survey& survey, uint64_t rate, bool idle,
                         uint64_t ahead_ns) {
  if (!survey.active.any()) return tag;
  const uint64_t least = survey.floor - VirtualCost(kCreditNs, rate);
  if (TagDifference(tag, least) < 0) return least;
  if (idle) {
    const uint64_t most = survey.active.tag + VirtualCost(ahead_ns, rate);
    if (TagDifference(tag, most) > 0) return most;
  }
  return tag;
}

}  // namespace het::arbiter

#endif  // HET_PARTITION_ARBITER_RULE_H_
