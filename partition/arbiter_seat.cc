#include "partition/arbiter_seat.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het {

using arbiter::Asker;
using arbiter::LeaseTerms;
using arbiter::Survey;
using arbiter::Verdict;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
// An addition to `flight` and the look at everybody else's are in one total order: of two that
// reserve at once, at least one sees the other and steps back.
constexpr auto kTotal = std::memory_order_seq_cst;

constexpr int64_t kLongestSleepNs = 1'000'000;
constexpr int64_t kShortestSleepNs = 20'000;
constexpr int64_t kSweepAfterNs = 1'000'000;
// A hard cap allows no burst of device time longer than this after idling.
constexpr int64_t kCapBurstNs = 4'000'000;
// A long launch at a low cap leaves a long debt; beyond this and what our own launches explain it
// is nobody's: some process of this user wrote it.
constexpr int64_t kCapDebtNs = 60'000'000'000;
constexpr int64_t kOwnerSilentNs = 2'000'000'000;
// Waiting for others of the class beyond this, and beyond what the own share explains, is no queue
// any more.
constexpr int64_t kPatienceNs = 100'000'000;

// Flags of terms_.
constexpr uint64_t kGuaranteed = 1;
constexpr uint64_t kCapped = 2;
constexpr uint64_t kAboveSeated = 4;

uint64_t ClampEstimate(uint64_t ns) {
  return std::clamp<uint64_t>(ns, 1, arbiter::kMostEstimateNs - 1);
}

uint64_t FlightOf(uint64_t estimate_ns) {
  return arbiter::kFlightOne | estimate_ns << arbiter::kFlightNsShift;
}

// Sleeps while *word is `expected`. Shared: the word is in memory that other processes map.
void FutexWait(std::atomic<uint32_t>& word, uint32_t expected, int64_t until_ns) {
  const timespec until = {until_ns / 1'000'000'000, until_ns % 1'000'000'000};
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_BITSET, expected, &until,
          nullptr, FUTEX_BITSET_MATCH_ANY);
}

// Works on a read-only mapping, which is what peers have. A waker cannot change the word, so a
// wake-up may fall between the waiter's last look and its sleep: that is why sleeps are short.
void FutexWake(std::atomic<uint32_t>& word, int threads) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE, threads, nullptr, nullptr, 0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ArbiterSeat>> ArbiterSeat::Join(SeatGrant grant,
                                                               const Clock& clock) {
  const uint32_t slot = grant.slot;
  const uint32_t epoch = grant.epoch;
  const uint32_t lease = grant.lease;
  HET_ASSIGN_OR_RETURN(std::unique_ptr<arbiter::ArbiterView> view,
                       arbiter::ArbiterView::Open(std::move(grant), clock));
  std::unique_ptr<ArbiterSeat> seat(new ArbiterSeat(slot, epoch, lease, std::move(view), clock));
  seat->Refresh();
  if (seat->revoked()) {
    return absl::FailedPreconditionError(
        absl::StrCat("seat ", slot, " was taken away before it was taken"));
  }
  return seat;
}

ArbiterSeat::ArbiterSeat(uint32_t slot, uint32_t epoch, uint32_t lease,
                         std::unique_ptr<arbiter::ArbiterView> view, const Clock& clock)
    : slot_(slot),
      epoch_(epoch),
      lease_(lease),
      clock_(clock),
      view_(std::move(view)),
      hot_(view_->own_region().hot[slot]),
      cold_(view_->own_region().cold[slot]),
      tags_(view_->own_region().tags[lease]),
      cap_(view_->own_region().caps[lease]),
      quota_(new arbiter::QuotaBook(view_->control(), view_->own_region(), lease, slot)) {
  // A child of fork would write into its parent's slot; it sees this page zeroed instead.
  void* page =
      mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return;
  fork_mark_ = page;
  *static_cast<volatile uint64_t*>(page) = 1;
  madvise(page, sizeof(uint64_t), MADV_WIPEONFORK);
}

ArbiterSeat::~ArbiterSeat() {
  if (fork_mark_ != nullptr) munmap(fork_mark_, sizeof(uint64_t));
}

bool ArbiterSeat::Forked() const {
  return fork_mark_ != nullptr && *static_cast<volatile uint64_t*>(fork_mark_) == 0;
}

void ArbiterSeat::Refresh() {
  view_->Refresh();
  const arbiter::ControlPage& control = view_->control();
  const uint64_t seat = control.slots[slot_].seat.load(kRelaxed);
  if (seat != (uint64_t{epoch_} << arbiter::kSeatEpochShift | arbiter::kSeatTaken)) {
    revoked_.store(true, kRelaxed);
  }
  const LeaseTerms terms = arbiter::UnpackLease(control.leases[lease_].info.load(kRelaxed));
  terms_.store(uint64_t{terms.rate} << 32 | uint64_t{terms.klass} << 8 |
                   (terms.guaranteed ? kGuaranteed : 0) | (terms.capped ? kCapped : 0) |
                   (view_->AnySeatAbove(terms.klass) ? kAboveSeated : 0),
               kRelaxed);
}

LeaseTerms ArbiterSeat::terms() const {
  const uint64_t packed = terms_.load(kRelaxed);
  LeaseTerms terms;
  terms.active = true;
  terms.guaranteed = (packed & kGuaranteed) != 0;
  terms.capped = (packed & kCapped) != 0;
  terms.klass = (packed >> 8) % arbiter::kClasses;
  terms.rate = static_cast<uint32_t>(packed >> 32);
  return terms;
}

uint64_t ArbiterSeat::cores_version() const {
  // acquire pairs with SetCores.
  return view_->control().cores_version.load(std::memory_order_acquire);
}

std::vector<uint32_t> ArbiterSeat::Cores() const {
  std::vector<uint32_t> cores;
  for (uint32_t core = 0; core < 64 * arbiter::kCoreWords; ++core) {
    if (view_->control().cores[core / 64].load(kRelaxed) >> (core % 64) & 1) cores.push_back(core);
  }
  return cores;
}

Share ArbiterSeat::share() const {
  const uint64_t info = view_->control().leases[lease_].info.load(kRelaxed);
  return Share::OfParts(static_cast<uint32_t>(info >> arbiter::kLeaseWeightShift));
}

bool ArbiterSeat::owner_alive() const {
  return clock_.MonotonicNanos() - view_->control().heartbeat_ns.load(kRelaxed) < kOwnerSilentNs;
}

bool ArbiterSeat::alone() const {
  return !contended_.load(kRelaxed) && (terms_.load(kRelaxed) & kAboveSeated) == 0;
}

uint32_t ArbiterSeat::launches_in_flight() const {
  return arbiter::FlightCount(hot_.flight.load(kRelaxed));
}

// The time at which the hard cap lets the next launch go.
int64_t ArbiterSeat::CapOpensAt() const { return cap_.paid_until_ns.load(kRelaxed) - kCapBurstNs; }

void ArbiterSeat::PayCap(int64_t now_ns, int64_t delta_ns) {
  int64_t before = cap_.paid_until_ns.load(kRelaxed);
  int64_t after;
  do {
    // Time that was not used is gone: paid from now at the earliest. A value far in the future is
    // not ours.
    after = (now_ns > 0 ? std::max(before, now_ns) : before) + delta_ns;
  } while (!cap_.paid_until_ns.compare_exchange_weak(before, after, kRelaxed));
}

// Brings the lease's tag up to date; the same for every process of the lease, so a lost race only
// means that another did it.
void ArbiterSeat::TakeTag(const Survey& survey, Asker& asker) {
  const LeaseTerms terms = this->terms();
  std::atomic<uint64_t>& tag = tags_.tag[terms.klass];
  asker.tag = tag.load(kRelaxed);
  const uint64_t ahead_ns = view_->control().run_ahead_ns +
                            2 * std::max<uint64_t>(hot_.lmax_ns.load(kRelaxed), asker.estimate_ns);
  const bool moved = settled_class_.load(kRelaxed) != terms.klass;
  const bool idle = moved || (asker.in_flight == 0 && !survey.lease_active &&
                              arbiter::Waiters(hot_.flight.load(kRelaxed)) == 0);
  const uint64_t clamped = arbiter::ClampTag(asker.tag, survey, terms.rate, idle, ahead_ns);
  if (clamped != asker.tag) {
    uint64_t expected = asker.tag;
    asker.tag = tag.compare_exchange_strong(expected, clamped, kRelaxed) ? clamped : expected;
  }
  if (moved) settled_class_.store(terms.klass, kRelaxed);
}

bool ArbiterSeat::TryAlone(uint64_t estimate_ns, Ticket* ticket) {
  const uint64_t packed = terms_.load(kRelaxed);
  if ((packed & kCapped) != 0 || contended_.load(kRelaxed) || view_->stale() || revoked()) {
    return false;
  }
  const uint32_t klass = (packed >> 8) % arbiter::kClasses;
  if (settled_class_.load(kRelaxed) != klass) return false;
  const uint64_t reserve = FlightOf(estimate_ns);
  const uint64_t own = hot_.flight.fetch_add(reserve, kTotal);
  const uint32_t count = arbiter::FlightCount(own);
  const arbiter::ControlPage& control = view_->control();
  bool go = view_->Quiet() && arbiter::Waiters(own) == 0;
  if (go && count >= control.depth) {
    const arbiter::Limits limits = {control.depth, control.depth_ns, control.run_ahead_ns};
    go = count < arbiter::kFlightMostCount &&
         arbiter::FlightNs(own) + estimate_ns <=
             arbiter::FreeNs(limits, false, (packed & kAboveSeated) != 0);
  }
  if (!go) {
    hot_.flight.fetch_sub(reserve, kTotal);
    return false;
  }
  ticket->estimate_ns = estimate_ns;
  ticket->klass = klass;
  ticket->charged = arbiter::VirtualCost(estimate_ns, packed >> 32);
  tags_.tag[klass].fetch_add(ticket->charged, kRelaxed);
  return true;
}

ArbiterSeat::Attempt ArbiterSeat::Try(uint64_t estimate_ns, bool queued, bool take) {
  Attempt attempt;
  if (view_->stale()) Refresh();
  if (revoked()) {
    attempt.verdict.block = Block::kRevoked;
    return attempt;
  }
  const LeaseTerms terms = this->terms();
  if (terms.capped) {
    const int64_t now = clock_.MonotonicNanos();
    const int64_t opens = CapOpensAt();
    const uint64_t longest = std::max<uint64_t>(hot_.lmax_ns.load(kRelaxed), estimate_ns);
    const int64_t explained = 2 * static_cast<int64_t>(arbiter::VirtualCost(longest, terms.rate));
    if (opens > now && opens < now + std::max(kCapDebtNs, explained)) {
      attempt.verdict = {Block::kCap, arbiter::kNobody, opens};
      return attempt;
    }
  }
  const arbiter::ControlPage& control = view_->control();
  const arbiter::Limits limits = {control.depth, control.depth_ns, control.run_ahead_ns};
  int64_t since = 0;
  if (queued) {
    since = hot_.waiting_since_ns.load(kRelaxed);
    hot_.looks.fetch_add(1, kRelaxed);
  }
  Asker asker;
  asker.lease = lease_;
  asker.estimate_ns = estimate_ns;

  // Where others are at work, look before touching anything they read.
  if (!take || contended_.load(kRelaxed)) {
    const uint64_t own = hot_.flight.load(kRelaxed);
    asker.in_flight = arbiter::FlightCount(own);
    asker.in_flight_ns = arbiter::FlightNs(own);
    asker.tag = tags_.tag[terms.klass].load(kRelaxed);
    attempt.survey = view_->Look(terms.klass, asker.tag, since);
    TakeTag(attempt.survey, asker);
    attempt.verdict = arbiter::Decide(attempt.survey, asker, limits);
    if (!take || attempt.verdict.block != Block::kNone) return attempt;
  }

  const uint64_t reserve = FlightOf(estimate_ns);
  const uint64_t own = hot_.flight.fetch_add(reserve, kTotal);
  asker.in_flight = arbiter::FlightCount(own);
  asker.in_flight_ns = arbiter::FlightNs(own);
  asker.tag = tags_.tag[terms.klass].load(kRelaxed);
  attempt.survey = view_->Look(terms.klass, asker.tag, since);
  const bool contended = attempt.survey.others_active || attempt.survey.lease_active;
  if (contended != contended_.load(kRelaxed)) contended_.store(contended, kRelaxed);
  TakeTag(attempt.survey, asker);
  attempt.verdict = arbiter::Decide(attempt.survey, asker, limits);
  if (attempt.verdict.block != Block::kNone) {
    hot_.flight.fetch_sub(reserve, kTotal);
    return attempt;
  }

  Ticket ticket;
  ticket.estimate_ns = estimate_ns;
  ticket.klass = terms.klass;
  ticket.charged = arbiter::VirtualCost(estimate_ns, terms.rate);
  tags_.tag[terms.klass].fetch_add(ticket.charged, kRelaxed);
  if (terms.capped) {
    PayCap(clock_.MonotonicNanos(), static_cast<int64_t>(ticket.charged));
  }
  attempt.ticket = ticket;
  return attempt;
}

// The time from the last completion to this request, for the hold rule of others.
void ArbiterSeat::NoteReturn() {
  const int64_t since = hot_.hold_since_ns.load(kRelaxed);
  if (since == 0) return;
  hot_.hold_since_ns.store(0, kRelaxed);
  const int64_t most = 3 * static_cast<int64_t>(view_->control().hold_ns);
  const int64_t gap = std::clamp<int64_t>(clock_.MonotonicNanos() - since, 0, most);
  const int64_t before = hot_.gap_ns.load(kRelaxed);
  hot_.gap_ns.store(static_cast<uint32_t>(before + (gap - before) / 4), kRelaxed);
}

std::optional<Ticket> ArbiterSeat::TryBegin(uint64_t estimate_ns, Block* why) {
  if (Forked()) {
    if (why != nullptr) *why = Block::kRevoked;
    return std::nullopt;
  }
  const bool queued = async_queued_.load(kRelaxed);
  // Others of this process wait: no overtaking.
  if (!queued && arbiter::Waiters(hot_.flight.load(kRelaxed)) > 0) {
    if (why != nullptr) *why = Block::kTurn;
    return std::nullopt;
  }
  if (hot_.hold_since_ns.load(kRelaxed) != 0) NoteReturn();
  estimate_ns = ClampEstimate(estimate_ns);
  if (Ticket ticket; !queued && TryAlone(estimate_ns, &ticket)) return ticket;
  Attempt attempt = Try(estimate_ns, queued, /*take=*/true);
  if (why != nullptr) *why = attempt.verdict.block;
  if (attempt.ticket && queued) Withdraw();
  return attempt.ticket;
}

void ArbiterSeat::Enqueue(int64_t now_ns) {
  hot_.waiting_since_ns.store(now_ns, kRelaxed);
  // Odd while somebody waits: only then is a wake-up worth a system call.
  hot_.futex.fetch_or(1, kRelaxed);
  hot_.flight.fetch_add(arbiter::kWaitOne, kTotal);
}

void ArbiterSeat::Dequeue(Block last, int64_t now_ns) {
  const uint64_t before = hot_.flight.fetch_sub(arbiter::kWaitOne, kTotal);
  if (arbiter::Waiters(before) == 1) hot_.futex.fetch_and(~1u, kRelaxed);
  const int64_t since = hot_.waiting_since_ns.load(kRelaxed);
  hot_.waiting_since_ns.store(0, kRelaxed);
  const uint32_t reason = static_cast<uint32_t>(last);
  if (reason < kBlockReasons && now_ns > since) {
    cold_.throttled_ns[reason].fetch_add(now_ns - since, kRelaxed);
  }
}

// When to look again even if nobody wakes us.
int64_t ArbiterSeat::NextLook(const Attempt& attempt, int64_t now_ns) const {
  const Verdict& verdict = attempt.verdict;
  int64_t wait = kLongestSleepNs;
  if (verdict.until_ns != 0) {
    wait = verdict.until_ns - now_ns;
  } else if (verdict.block == Block::kHold) {
    wait = static_cast<int64_t>(attempt.survey.in_flight_ns + view_->control().hold_ns);
  } else if (attempt.survey.in_flight_ns > 0) {
    wait = static_cast<int64_t>(attempt.survey.in_flight_ns) + 100'000;
  }
  return now_ns + std::clamp(wait, kShortestSleepNs, kLongestSleepNs);
}

bool ArbiterSeat::OverPatience(const Verdict& verdict, uint64_t estimate_ns, int64_t now_ns,
                               int64_t* blocked_ns, int64_t last_ns) const {
  if (verdict.by == arbiter::kNobody || verdict.block == Block::kPriority) return false;
  *blocked_ns += now_ns - last_ns;
  const LeaseTerms terms = this->terms();
  const uint64_t longest = std::max<uint64_t>(estimate_ns, hot_.lmax_ns.load(kRelaxed));
  const uint64_t owed = 4 * arbiter::VirtualCost(longest + arbiter::kCreditNs, terms.rate);
  return *blocked_ns > kPatienceNs + static_cast<int64_t>(owed);
}

absl::StatusOr<Ticket> ArbiterSeat::Begin(uint64_t estimate_ns) {
  if (std::optional<Ticket> ticket = TryBegin(estimate_ns)) return *ticket;
  if (Forked()) {
    return absl::FailedPreconditionError(
        "this process was forked from the one that has the seat; it must take its own");
  }
  estimate_ns = ClampEstimate(estimate_ns);
  absl::MutexLock turn(&turnstile_);
  const int64_t start = clock_.MonotonicNanos();
  int64_t last = start;
  int64_t blocked = 0;
  bool queued = false;
  Block reason = Block::kNone;
  for (;;) {
    const uint32_t word = hot_.futex.load(kTotal);  // before the look
    const Attempt attempt = Try(estimate_ns, queued, /*take=*/true);
    const Block block = attempt.verdict.block;
    const int64_t now = clock_.MonotonicNanos();
    if (attempt.ticket || block == Block::kRevoked) {
      if (queued) Dequeue(reason, now);
      hot_.waiting_for.store(0, kRelaxed);
      if (attempt.ticket) {
        WakeNext(attempt.survey);
        return *attempt.ticket;
      }
      return absl::FailedPreconditionError(
          absl::StrCat("the seat of this process at the device's arbiter was taken away (lease ",
                       lease_, ", slot ", slot_, ")"));
    }
    if (reason != block) hot_.waiting_for.store(static_cast<uint16_t>(block), kRelaxed);
    reason = block;
    if (block == Block::kCap) {
      // Not in the line while the cap holds it: nobody shall wait for it.
      if (queued) Dequeue(block, now);
      queued = false;
      const int64_t until = std::min(attempt.verdict.until_ns, now + kLongestSleepNs);
      const timespec time = {until / 1'000'000'000, until % 1'000'000'000};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
      cold_.throttled_ns[static_cast<uint32_t>(block)].fetch_add(clock_.MonotonicNanos() - now,
                                                                 kRelaxed);
      last = clock_.MonotonicNanos();
      continue;
    }
    if (!queued) {
      Enqueue(now);
      queued = true;
      continue;  // look again: now everybody else sees us
    }
    if (OverPatience(attempt.verdict, estimate_ns, now, &blocked, last)) {
      view_->Distrust(attempt.verdict.by, now);
      last = now;
      continue;
    }
    last = now;
    if (now - start > kSweepAfterNs && view_->Sweep(attempt.verdict, attempt.survey, now)) continue;
    FutexWait(hot_.futex, word, NextLook(attempt, now));
  }
}

void ArbiterSeat::WaitTurn(uint64_t estimate_ns, int64_t deadline_ns) {
  estimate_ns = ClampEstimate(estimate_ns);
  if (Forked() || revoked()) return;
  KeepPlace();
  absl::MutexLock turn(&turnstile_);
  const int64_t start = clock_.MonotonicNanos();
  int64_t last = start;
  for (;;) {
    if (view_->stale()) Refresh();
    if (revoked()) return;
    const int64_t now = clock_.MonotonicNanos();
    if (now >= deadline_ns) return;
    const uint32_t word = hot_.futex.load(kTotal);
    const Attempt attempt = Try(estimate_ns, /*queued=*/true, /*take=*/false);
    if (attempt.verdict.block == Block::kNone) {
      parked_ns_ = 0;
      return;  // the caller takes it itself
    }
    // A place is kept over several calls, and so is what it has cost.
    if (OverPatience(attempt.verdict, estimate_ns, now, &parked_ns_, last)) {
      view_->Distrust(attempt.verdict.by, now);
      last = now;
      continue;
    }
    last = now;
    if (now - start > kSweepAfterNs) view_->Sweep(attempt.verdict, attempt.survey, now);
    FutexWait(hot_.futex, word, std::min(NextLook(attempt, now), deadline_ns));
  }
}

void ArbiterSeat::KeepPlace() {
  if (!async_queued_.exchange(true, kRelaxed)) Enqueue(clock_.MonotonicNanos());
}

void ArbiterSeat::Withdraw() {
  if (async_queued_.exchange(false, kRelaxed)) Dequeue(Block::kNone, 0);
}

void ArbiterSeat::End(const Ticket& ticket, uint64_t busy_ns) {
  if (Forked()) return;
  const LeaseTerms terms = this->terms();
  const uint64_t actual = arbiter::VirtualCost(busy_ns, terms.rate);
  if (!revoked()) {
    // Settle: what it took instead of what was thought. Wraps below zero as it should.
    if (actual != ticket.charged) {
      tags_.tag[ticket.klass % arbiter::kClasses].fetch_add(actual - ticket.charged, kRelaxed);
      if (terms.capped) PayCap(0, static_cast<int64_t>(actual - ticket.charged));
    }
    const uint64_t lmax = hot_.lmax_ns.load(kRelaxed);
    const uint64_t busy = std::min<uint64_t>(busy_ns, UINT_MAX);
    // Decays slowly, so that one odd launch does not stay for ever.
    if (busy > lmax || (busy > 0 && lmax > busy + lmax / 64)) {
      hot_.lmax_ns.store(static_cast<uint32_t>(std::max(busy, lmax - lmax / 64)), kRelaxed);
    }
    hot_.used_ns.fetch_add(busy_ns, kRelaxed);
  }
  const uint64_t before = hot_.flight.fetch_sub(FlightOf(ticket.estimate_ns), kTotal);
  if (arbiter::Waiters(before) == 0 && !view_->SomebodyWaits()) return;
  if (!revoked()) WakeAfterEnd(before);
}

// One wake-up came for us; while there is room for more, it is passed on.
void ArbiterSeat::WakeNext(const Survey& survey) {
  if (survey.in_flight + launches_in_flight() >= view_->control().depth) return;
  const arbiter::ArbiterView::Waiter next = view_->NextWaiter();
  if (next.hot != nullptr && next.slot != slot_) FutexWake(next.hot->futex, 1);
}

void ArbiterSeat::WakeAfterEnd(uint64_t flight_before) {
  const arbiter::ArbiterView::Waiter next = view_->NextWaiter();
  const LeaseTerms terms = this->terms();
  // Nothing left here while others wait: they may have to hold the place for us.
  if (next.other_waits && arbiter::FlightCount(flight_before) == 1 &&
      arbiter::Waiters(flight_before) == 0) {
    hot_.hold_since_ns.store(clock_.MonotonicNanos(), kRelaxed);
    if (next.hot != nullptr && next.slot != slot_ && next.lease != lease_ &&
        hot_.gap_ns.load(kRelaxed) <= view_->control().hold_ns &&
        (next.klass < terms.klass ||
         (next.klass == terms.klass && terms.guaranteed &&
          arbiter::TagDifference(tags_.tag[terms.klass].load(kRelaxed), next.tag) < 0))) {
      return;  // it would only hold the place; it looks by itself when the hold ends
    }
  }
  if (next.hot == nullptr) return;
  // Our own word we may change: no wake-up is lost inside a process.
  if (next.slot == slot_) hot_.futex.fetch_add(2, kTotal);
  FutexWake(next.hot->futex, next.slot == slot_ ? INT_MAX : 1);
}

}  // namespace het
