#include "partition/arbiter_quota.h"

#include <time.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/units.h"

namespace het::arbiter {
namespace {

// All of it in one total order: of an addition here and the sums of others, at least one side sees
// the other (also against ArbiterHost::ChangeLease).
constexpr auto kTotal = std::memory_order_seq_cst;
// How long somebody else's announcement may keep us waiting. Under a millisecond with what the
// sleep itself takes.
constexpr int64_t kRetryNs = 500'000;

// A hostile process of the same user could make the sum overflow.
uint64_t AddCapped(uint64_t a, uint64_t b) {
  uint64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? ~uint64_t{0} : sum;
}

}  // namespace

QuotaBook::QuotaBook(const ControlPage& control, RegionPage& region, uint32_t lease, uint32_t slot)
    : control_(control),
      region_(region),
      lease_(lease),
      slot_(slot),
      jitter_(slot * 2654435761u + 1) {}

uint64_t QuotaBook::limit() const { return control_.leases[lease_].memory_quota.load(kTotal); }

uint64_t QuotaBook::used() const { return AddUp().reserved; }

QuotaBook::Sum QuotaBook::AddUp() const {
  Sum sum;
  for (uint32_t word = 0; word < kSlotWords; ++word) {
    for (uint64_t bits = control_.active[word].load(std::memory_order_acquire); bits != 0;
         bits &= bits - 1) {
      const uint32_t slot = word * 64 + __builtin_ctzll(bits);
      if (control_.slots[slot].lease.load(std::memory_order_relaxed) != lease_) continue;
      // Pending first: bytes go from pending to reserved by adding before taking away, so they are
      // counted once or twice, never not at all.
      if (slot != slot_) {
        sum.pending = AddCapped(sum.pending, region_.cold[slot].memory_pending.load(kTotal));
      }
      sum.reserved = AddCapped(sum.reserved, region_.cold[slot].memory_reserved.load(kTotal));
    }
  }
  return sum;
}

absl::Status QuotaBook::Reserve(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  ColdSlot& own = region_.cold[slot_];
  int64_t give_up = 0;
  for (;;) {
    own.memory_pending.store(bytes, kTotal);
    const uint64_t quota = limit();
    const Sum sum = AddUp();
    if (AddCapped(AddCapped(sum.reserved, sum.pending), bytes) <= quota) {
      own.memory_reserved.fetch_add(bytes, kTotal);
      own.memory_pending.store(0, kTotal);
      return absl::OkStatus();
    }
    own.memory_pending.store(0, kTotal);
    const int64_t now = Clock::Real().MonotonicNanos();
    if (give_up == 0) give_up = now + kRetryNs;
    if (AddCapped(sum.reserved, bytes) > quota && sum.pending == 0) {
      const uint64_t left = quota > sum.reserved ? quota - sum.reserved : 0;
      return absl::ResourceExhaustedError(absl::StrCat(
          "asked for ", FormatBytes(bytes), ", the lease uses ", FormatBytes(sum.reserved), " of ",
          FormatBytes(quota), ", ", FormatBytes(left), " are left"));
    }
    if (now >= give_up) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "asked for ", FormatBytes(bytes), ", the lease uses ", FormatBytes(sum.reserved), " of ",
          FormatBytes(quota), " and other processes of it ask for ", FormatBytes(sum.pending),
          " at this moment"));
    }
    // Somebody else asks too: a pause of random length lets one of us go first.
    jitter_ = jitter_ * 1664525 + 1013904223;
    const timespec pause = {0, static_cast<long>((jitter_ >> 16) % 20'000)};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
  }
}

void QuotaBook::GiveBack(uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  std::atomic<uint64_t>& own = region_.cold[slot_].memory_reserved;
  own.fetch_sub(std::min(bytes, own.load(kTotal)), kTotal);
}

}  // namespace het::arbiter
