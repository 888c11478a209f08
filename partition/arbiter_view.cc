#include "partition/arbiter_view.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "partition/process_state.h"
#include "partition/slice.h"

namespace het::arbiter {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
// What decides between two askers is read in one total order with their own additions: of two that
// add and then look, at least one sees the other.
constexpr auto kTotal = std::memory_order_seq_cst;

// A peer's `info`: lease 16 bits, class 8 bits, flags 8 bits, and virtual per device time in 16.16
// (RateOf).
constexpr uint64_t kPeerGuaranteed = uint64_t{1} << 24;
uint64_t PackPeer(uint32_t lease, const LeaseTerms& terms) {
  return lease | uint64_t{terms.klass} << 16 | (terms.guaranteed ? kPeerGuaranteed : 0) |
         uint64_t{terms.rate} << 32;
}

// No peer may claim more than this is worth.
constexpr uint32_t kMostLmaxNs = 1'000'000'000;
constexpr uint32_t kMostPeerFlight = 64;

// Blocked for this long before anybody is suspected; how long a peer may go without progress.
constexpr int64_t kAskProcessNs = 1'000'000;
constexpr int64_t kStuckWaiterNs = 3'000'000;  // a waiter looks every millisecond
constexpr int64_t kIdleWaiterNs = 20'000'000;  // it looks, could go, and does not
constexpr int64_t kStuckFlightNs = 4'000'000;
// The same where death and arrest are seen (above): its first launch may be long, and what runs
// beside it counts twice.
constexpr int64_t kStuckRunningNs = 100'000'000;
constexpr int64_t kFetchAgainNs = 100'000'000;
constexpr int64_t kDistrustNs = 1'000'000'000;

}  // namespace

LeaseTerms UnpackLease(uint64_t info) {
  LeaseTerms terms;
  const auto policy = static_cast<Policy>((info >> kLeasePolicyShift) & 0xff);
  terms.active = (info & kLeaseActive) != 0;
  terms.guaranteed = policy == Policy::kGuaranteed;
  terms.capped = policy == Policy::kCapped;
  terms.klass = ClassOf((info >> kLeasePriorityShift) & 0xff, policy == Policy::kBestEffort);
  terms.rate = RateOf(info >> kLeaseWeightShift);
  return terms;
}

absl::StatusOr<std::unique_ptr<ArbiterView>> ArbiterView::Open(SeatGrant grant,
                                                               const Clock& clock) {
  if (grant.slot >= kSlots || grant.lease >= kLeases || grant.region >= kRegions) {
    return absl::InvalidArgumentError(absl::StrCat("the grant names slot ", grant.slot, ", lease ",
                                                   grant.lease, ", region ", grant.region,
                                                   ", which cannot be"));
  }
  std::unique_ptr<ArbiterView> view(new ArbiterView(grant, clock));
  HET_RETURN_IF_ERROR(view->MapAll(grant));
  view->Refresh();
  return view;
}

ArbiterView::ArbiterView(SeatGrant& grant, const Clock& clock)
    : clock_(clock),
      slot_(grant.slot),
      lease_(grant.lease),
      own_region_(grant.region),
      provider_(std::move(grant.provider)),
      peers_(new Peer[kSlots]),
      others_(new std::atomic<const HotSlot*>[kSlots]),
      watched_(new Watched[kSlots]) {}

ArbiterView::~ArbiterView() {
  std::thread fetcher;
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
    fetcher = std::move(fetcher_);
  }
  if (fetcher.joinable()) fetcher.join();
}

namespace {

absl::Status CheckHeader(bool matches, uint32_t version) {
  if (matches) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the shared memory is no arbiter's of layout version ", kLayoutVersion,
                   " (it says ", version, "); the daemon and this library do not match"));
}

}  // namespace

absl::Status ArbiterView::MapAll(SeatGrant& grant) {
  HET_ASSIGN_OR_RETURN(control_pages_,
                       SharedPages::Map(std::move(grant.control_fd), sizeof(ControlPage), false));
  control_ = static_cast<const ControlPage*>(control_pages_.data());
  HET_RETURN_IF_ERROR(CheckHeader(
      control_->magic == kControlMagic && control_->version == kLayoutVersion, control_->version));
  struct stat info;
  same_pids_ = stat("/proc/self/ns/pid", &info) == 0 && info.st_ino == control_->pid_namespace;

  absl::MutexLock lock(&mutex_);
  HET_ASSIGN_OR_RETURN(regions_[own_region_],
                       SharedPages::Map(std::move(grant.region_fd), sizeof(RegionPage), true));
  own_ = static_cast<RegionPage*>(regions_[own_region_].data());
  HET_RETURN_IF_ERROR(
      CheckHeader(own_->magic == kRegionMagic && own_->version == kLayoutVersion, own_->version));
  for (auto& [index, fd] : grant.other_regions) {
    if (index >= kRegions || regions_[index].valid()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the grant brings region ", index, ", which cannot be, or twice"));
    }
    HET_ASSIGN_OR_RETURN(regions_[index],
                         SharedPages::Map(std::move(fd), sizeof(RegionPage), false));
  }
  return absl::OkStatus();
}

void ArbiterView::Refresh() {
  absl::MutexLock lock(&mutex_);
  // acquire pairs with Announce. Read first: a change during the pass leaves the view stale.
  const uint64_t generation = control_->generation.load(std::memory_order_acquire);
  uint32_t words = 0;
  uint32_t others = 0;
  bool missing = false;
  for (uint32_t word = 0; word < kSlotWords; ++word) {
    const uint64_t bits = control_->active[word].load(std::memory_order_acquire);
    for (uint64_t rest = bits; rest != 0; rest &= rest - 1) {
      const uint32_t slot = word * 64 + __builtin_ctzll(rest);
      const ControlSlot& entry = control_->slots[slot];
      const uint32_t lease = entry.lease.load(kRelaxed) % kLeases;
      const uint32_t region = entry.region.load(kRelaxed) % kRegions;
      // Never through a pointer to const: the view of another region is mapped read-only, and
      // nothing here writes through it.
      auto* page = static_cast<RegionPage*>(regions_[region].data());
      Peer& peer = peers_[slot];
      peer.info.store(PackPeer(lease, UnpackLease(control_->leases[lease].info.load(kRelaxed))),
                      kRelaxed);
      peer.tags.store(page != nullptr ? &page->tags[lease] : nullptr, kRelaxed);
      peer.hot.store(page != nullptr ? &page->hot[slot] : nullptr, kRelaxed);
      missing |= page == nullptr;
      if (page != nullptr && slot != slot_) others_[others++].store(&page->hot[slot], kRelaxed);
      // Somebody else sits there now.
      const uint64_t seat = entry.seat.load(kRelaxed);
      if (watched_[slot].seat != seat) {
        watched_[slot] = Watched{};
        watched_[slot].seat = seat;
        ignored_[word].fetch_and(~(uint64_t{1} << (slot % 64)), kRelaxed);
      }
    }
    active_[word].store(bits, kRelaxed);
    if (bits != 0) words = word + 1;
  }
  words_.store(words, kRelaxed);
  // release: whoever reads the count finds that many lines.
  others_count_.store(others, std::memory_order_release);
  not_quiet_.store(missing ? 1 : 0, kRelaxed);
  seen_.store(generation, kRelaxed);
  if (missing && provider_ && !fetching_ && !closing_ &&
      clock_.MonotonicNanos() >= fetch_after_ns_) {
    fetching_ = true;
    if (fetcher_.joinable()) fetcher_.join();  // ended: fetching_ was false
    fetcher_ = std::thread([this] { FetchRegions(); });
  }
}

void ArbiterView::FetchRegions() {
  for (uint32_t region = 0; region < kRegions; ++region) {
    {
      absl::MutexLock lock(&mutex_);
      if (closing_) break;
      if (regions_[region].valid() ||
          control_->regions[region].present.load(std::memory_order_acquire) == 0) {
        continue;
      }
    }
    absl::StatusOr<UniqueFd> fd = provider_(region);
    if (!fd.ok()) continue;
    absl::StatusOr<SharedPages> pages =
        SharedPages::Map(*std::move(fd), sizeof(RegionPage), /*writable=*/false);
    if (!pages.ok()) continue;
    absl::MutexLock lock(&mutex_);
    regions_[region] = *std::move(pages);
  }
  absl::MutexLock lock(&mutex_);
  fetching_ = false;
  fetch_after_ns_ = clock_.MonotonicNanos() + kFetchAgainNs;
  seen_.store(0, kRelaxed);  // no generation is 0: the next decision refreshes
}

bool ArbiterView::AnySeatAbove(uint32_t klass) const {
  for (uint32_t word = 0; word < words_.load(kRelaxed); ++word) {
    for (uint64_t bits = active_[word].load(kRelaxed); bits != 0; bits &= bits - 1) {
      const uint32_t slot = word * 64 + __builtin_ctzll(bits);
      if (((peers_[slot].info.load(kRelaxed) >> 16) & 0xff) > klass) return true;
    }
  }
  return false;
}

Survey ArbiterView::Look(uint32_t klass, uint64_t tag, int64_t waiting_since) const {
  Survey survey;
  const uint32_t words = words_.load(kRelaxed);
  int64_t now = 0;
  const bool from_outside = own_->hot[slot_].from_outside.load(kRelaxed) != 0;
  const int64_t hold_ns = static_cast<int64_t>(control_->hold_ns);
  if (any_ignored_.load(kRelaxed) != 0) {
    ReturnIgnored();
    survey.others_active = true;  // it may be back any moment: no running ahead
  }
  for (uint32_t word = 0; word < words; ++word) {
    uint64_t bits = active_[word].load(kRelaxed) & ~ignored_[word].load(kRelaxed);
    for (; bits != 0; bits &= bits - 1) {
      const uint32_t slot = word * 64 + __builtin_ctzll(bits);
      if (slot == slot_) continue;
      const Peer& peer = peers_[slot];
      const uint64_t info = peer.info.load(kRelaxed);
      const uint32_t peer_class = (info >> 16) & 0xff;
      if (peer_class > klass) survey.above_seated = true;
      const HotSlot* hot = peer.hot.load(kRelaxed);
      if (hot == nullptr) {  // its region is not mapped yet: it may have something in flight
        if (peer_class >= klass) {
          survey.others_active = true;
          survey.in_flight = 1;
        }
        continue;
      }
      const uint64_t flight = hot->flight.load(kTotal);
      const int64_t hold_since = hot->hold_since_ns.load(kRelaxed);
      if (flight == 0 && hold_since == 0) continue;
      if (peer_class < klass) continue;

      const uint32_t count = std::min(FlightCount(flight), kMostPeerFlight);
      const bool waits = Waiters(flight) > 0;
      const uint32_t lease = info & 0xffff;
      if (count > 0) {
        survey.in_flight += count;
        if (from_outside || hot->from_outside.load(kRelaxed) != 0) survey.apart = slot;
        survey.in_flight_ns += std::min(FlightNs(flight), count * kMostEstimateNs);
        survey.lmax_ns =
            std::max<uint64_t>(survey.lmax_ns, std::min(hot->lmax_ns.load(kRelaxed), kMostLmaxNs));
      }
      if (lease == lease_) {
        if (flight != 0) survey.lease_active = true;
        if (waits) {
          const int64_t since = hot->waiting_since_ns.load(kRelaxed);
          const bool older = waiting_since == 0 || since < waiting_since ||
                             (since == waiting_since && slot < slot_);
          if (since != 0 && older) survey.elder = slot;
        }
        continue;
      }
      // It keeps its place while it is in flight or has just completed, if it used to come back
      // quickly.
      bool holds = false;
      int64_t until = 0;
      if (!waits && hot->gap_ns.load(kRelaxed) <= hold_ns) {
        if (count > 0) {
          holds = true;
        } else if (hold_since != 0) {
          if (now == 0) now = clock_.MonotonicNanos();
          until = std::min(hold_since, now) + hold_ns;
          holds = until > now;
        }
      }
      if (flight != 0 || holds) survey.others_active = true;
      if (peer_class > klass) {
        if (flight != 0) {
          survey.above = slot;
        } else if (holds) {
          survey.above_holding = slot;
          survey.hold_until_ns = until;
        }
        continue;
      }
      if (flight == 0 && !holds) continue;
      const uint64_t peer_tag = peer.tags.load(kRelaxed)->tag[klass].load(kRelaxed);
      const uint64_t last_ns =
          std::max<uint64_t>(std::min(hot->lmax_ns.load(kRelaxed), kMostLmaxNs),
                             std::min(FlightNs(flight), kMostEstimateNs));
      const uint64_t before = peer_tag - VirtualCost(last_ns, info >> 32);
      if (!survey.active.any() || TagDifference(before, survey.floor) < 0) survey.floor = before;
      survey.active.Offer(slot, lease, peer_tag);
      if (waits) survey.waiting.Offer(slot, lease, peer_tag);
      if (holds && (info & kPeerGuaranteed) != 0 && TagDifference(peer_tag, tag) < 0) {
        if (!survey.holding.any() || survey.holding.Before(peer_tag, lease) == false) {
          survey.hold_until_ns = until;
        }
        survey.holding.Offer(slot, lease, peer_tag);
      }
    }
  }
  return survey;
}

ArbiterView::Waiter ArbiterView::NextWaiter() const {
  Waiter best;
  const uint32_t words = words_.load(kRelaxed);
  for (uint32_t word = 0; word < words; ++word) {
    uint64_t bits = active_[word].load(kRelaxed) & ~ignored_[word].load(kRelaxed);
    for (; bits != 0; bits &= bits - 1) {
      const uint32_t slot = word * 64 + __builtin_ctzll(bits);
      const Peer& peer = peers_[slot];
      HotSlot* hot = peer.hot.load(kRelaxed);
      if (hot == nullptr || Waiters(hot->flight.load(kTotal)) == 0) continue;
      if (slot != slot_) best.other_waits = true;
      if ((hot->futex.load(kTotal) & 1) == 0) continue;
      const uint64_t info = peer.info.load(kRelaxed);
      const uint32_t klass = ((info >> 16) & 0xff) % kClasses;
      const uint32_t lease = info & 0xffff;
      const uint64_t tag = peer.tags.load(kRelaxed)->tag[klass].load(kRelaxed);
      bool better = best.hot == nullptr || klass > best.klass;
      if (!better && klass == best.klass) {
        const int64_t difference = TagDifference(tag, best.tag);
        better = difference < 0 || (difference == 0 && lease < best.lease) ||
                 (lease == best.lease &&
                  hot->waiting_since_ns.load(kRelaxed) < best.hot->waiting_since_ns.load(kRelaxed));
      }
      if (better) {
        best.hot = hot;
        best.slot = slot;
        best.lease = lease;
        best.klass = klass;
        best.tag = tag;
      }
    }
  }
  return best;
}

uint64_t ArbiterView::Progress(uint32_t slot) const {
  const Peer& peer = peers_[slot];
  const HotSlot* hot = peer.hot.load(kRelaxed);
  if (hot == nullptr) return 0;
  const uint32_t klass = ((peer.info.load(kRelaxed) >> 16) & 0xff) % kClasses;
  // What only real progress changes, not what a toggled flag would.
  const uint64_t tag = peer.tags.load(kRelaxed)->tag[klass].load(kRelaxed);
  const uint64_t used = hot->used_ns.load(kRelaxed);
  const uint64_t count = FlightCount(hot->flight.load(kRelaxed));
  return (tag * 0x9e3779b97f4a7c15) ^ (used * 0xc2b2ae3d27d4eb4f) ^ count;
}

bool ArbiterView::StuckLocked(uint32_t slot, const Verdict& verdict, const Survey& survey,
                              int64_t now_ns) {
  const HotSlot* hot = peers_[slot].hot.load(kRelaxed);
  if (hot == nullptr) return false;
  const uint64_t flight = hot->flight.load(kRelaxed);
  const bool in_flight = FlightCount(flight) > 0;
  if (slot != verdict.by && !in_flight) return false;
  Watched& watched = watched_[slot];
  const uint64_t progress = Progress(slot);
  const uint64_t looks = hot->looks.load(kRelaxed);
  if (watched.looks != looks || watched.looked_ns == 0) {
    watched.looks = looks;
    watched.looked_ns = now_ns;
  }
  if (watched.progress != progress || watched.since_ns == 0) {
    watched.progress = progress;
    watched.since_ns = now_ns;
    watched.asked_ns = now_ns;
    return false;
  }
  const int64_t unchanged = now_ns - watched.since_ns;
  if (same_pids_ && now_ns - watched.asked_ns >= kAskProcessNs) {
    watched.asked_ns = now_ns;
    const ControlSlot& entry = control_->slots[slot];
    const ProcessState state = StateOfProcess(static_cast<pid_t>(entry.pid.load(kRelaxed)),
                                              entry.start_time.load(kRelaxed));
    if (state == ProcessState::kDead) return true;
    // What a stopped process has in flight still runs; it is not waited for beyond its length.
    const int64_t length = in_flight ? static_cast<int64_t>(survey.lmax_ns) : 0;
    if (state == ProcessState::kStopped && unchanged >= length) return true;
  }
  // In flight: everything queued before it on the device may take its time too.
  if (in_flight) {
    return unchanged > std::max<int64_t>(same_pids_ ? kStuckRunningNs : kStuckFlightNs,
                                         4 * static_cast<int64_t>(survey.lmax_ns));
  }
  // Waiting, first in line, with a free place: it could have gone.
  const bool waits_for_all = survey.apart != kNobody || hot->from_outside.load(kRelaxed) != 0;
  if (survey.in_flight >= (waits_for_all ? 1 : control_->depth)) {
    watched.since_ns = now_ns;
    return false;
  }
  return now_ns - watched.looked_ns > kStuckWaiterNs || unchanged > kIdleWaiterNs;
}

bool ArbiterView::Sweep(const Verdict& verdict, Survey survey, int64_t now_ns) {
  // What is in flight here counts for the depth and for how long the device may take, too.
  const HotSlot& own = own_->hot[slot_];
  survey.in_flight += FlightCount(own.flight.load(kRelaxed));
  survey.lmax_ns = std::max<uint64_t>(survey.lmax_ns, own.lmax_ns.load(kRelaxed));
  absl::MutexLock lock(&mutex_);
  bool found = false;
  for (uint32_t word = 0; word < kSlotWords; ++word) {
    uint64_t bits = active_[word].load(kRelaxed) & ~ignored_[word].load(kRelaxed);
    for (; bits != 0; bits &= bits - 1) {
      const uint32_t slot = word * 64 + __builtin_ctzll(bits);
      if (slot == slot_ || !StuckLocked(slot, verdict, survey, now_ns)) continue;
      ignored_[word].fetch_or(uint64_t{1} << (slot % 64), kRelaxed);
      any_ignored_.store(1, kRelaxed);
      found = true;
    }
  }
  return found;
}

void ArbiterView::Distrust(uint32_t slot, int64_t now_ns) {
  if (slot >= kSlots || slot == slot_) return;
  absl::MutexLock lock(&mutex_);
  Watched& watched = watched_[slot];
  watched.distrusted_until_ns = now_ns + (kDistrustNs << std::min(watched.strikes, uint32_t{6}));
  ++watched.strikes;
  ignored_[slot / 64].fetch_or(uint64_t{1} << (slot % 64), kRelaxed);
  any_ignored_.store(1, kRelaxed);
}

// Those that were left out and moved again are back.
void ArbiterView::ReturnIgnored() const {
  if (!mutex_.TryLock()) return;
  bool any = false;
  int64_t now = 0;
  for (uint32_t word = 0; word < kSlotWords; ++word) {
    for (uint64_t bits = ignored_[word].load(kRelaxed); bits != 0; bits &= bits - 1) {
      const uint32_t slot = word * 64 + __builtin_ctzll(bits);
      Watched& watched = watched_[slot];
      bool back = false;
      if (watched.distrusted_until_ns != 0) {
        if (now == 0) now = clock_.MonotonicNanos();
        back = now >= watched.distrusted_until_ns;
      } else {
        const HotSlot* hot = peers_[slot].hot.load(kRelaxed);
        back = Progress(slot) != watched.progress ||
               (hot != nullptr && hot->looks.load(kRelaxed) != watched.looks);
      }
      if (back) {
        watched.distrusted_until_ns = 0;
        watched.since_ns = 0;
        watched.looked_ns = 0;
        ignored_[word].fetch_and(~(uint64_t{1} << (slot % 64)), kRelaxed);
      } else {
        any = true;
      }
    }
  }
  any_ignored_.store(any ? 1 : 0, kRelaxed);
  mutex_.Unlock();
}

}  // namespace het::arbiter
