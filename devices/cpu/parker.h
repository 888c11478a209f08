// Parker: where one thread waits for others, first by polling for a few microseconds (work usually
// follows work), then asleep in the kernel, so that an idle waiter costs no CPU.
//
// Protocol: whoever makes the awaited condition true does so with at least release order and then
// calls Unpark(). Threads: one waiter at a time, any number of callers of Unpark. Nothing fails.
#ifndef HET_DEVICES_CPU_PARKER_H_
#define HET_DEVICES_CPU_PARKER_H_

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

#include "base/clock.h"

namespace het::cpu {

// How long a waiter polls. Longer than the gap between two launches of a running engine, short
// enough that a queue that went idle is gone from the processor before anybody could measure it.
inline constexpr int64_t kSpinNanos = 30'000;
// After this long the poller gives way to others that want its core.
inline constexpr int64_t kSpinYieldAfterNanos = 4'000;

inline void CpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Sleeps while `word` is `expected`; may return early. Errors (EAGAIN, EINTR) mean the same.
inline void FutexWait(std::atomic<uint32_t>& word, uint32_t expected) {
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
inline void FutexWake(std::atomic<uint32_t>& word, int count) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

// Polls `ready` for about `nanos`; whether it came true.
template <typename Ready>
bool SpinFor(int64_t nanos, Ready ready) {
  if (ready()) return true;
  const int64_t start = Clock::Real().MonotonicNanos();
  for (;;) {
    for (int i = 0; i < 64; ++i) {
      CpuRelax();
      if (ready()) return true;
    }
    const int64_t spent = Clock::Real().MonotonicNanos() - start;
    if (spent >= nanos) return false;
    if (spent >= kSpinYieldAfterNanos) sched_yield();
  }
}

class Parker {
 public:
  // Returns when `ready()` is true.
  template <typename Ready>
  void Await(Ready ready, int64_t spin_nanos = kSpinNanos) {
    if (SpinFor(spin_nanos, ready)) return;
    for (;;) {
      // acq_rel, a read-modify-write: it either follows Unpark's exchange in the order of this
      // atomic, and then what was published before is seen by ready(), or comes first, and then
      // Unpark sees the 1 and wakes.
      parked_.exchange(1, std::memory_order_acq_rel);
      if (ready()) break;
      FutexWait(parked_, 1);
    }
    parked_.store(0, std::memory_order_relaxed);
  }

  void Unpark() {
    if (parked_.exchange(0, std::memory_order_acq_rel) == 1) FutexWake(parked_, 1);
  }

 private:
  alignas(64) std::atomic<uint32_t> parked_{0};
};

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_PARKER_H_
