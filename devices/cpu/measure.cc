#include "devices/cpu/measure.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/units.h"
#include "devices/cpu/worker_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "devices/cpu/measure.cc"
#include "hwy/aligned_allocator.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace het::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Independent sums: enough loads in flight to be bound by memory and not by the add's latency.
uint64_t SumBlock(const uint64_t* HWY_RESTRICT data, size_t words) {
  const hn::ScalableTag<uint64_t> d;
  const size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(d), b = a, c = a, e = a;
  for (size_t i = 0; i + 4 * lanes <= words; i += 4 * lanes) {
    a = hn::Add(a, hn::Load(d, data + i));
    b = hn::Add(b, hn::Load(d, data + i + lanes));
    c = hn::Add(c, hn::Load(d, data + i + 2 * lanes));
    e = hn::Add(e, hn::Load(d, data + i + 3 * lanes));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
}

// 12 chains hide the latency of two multiply-add units of 4 to 5 cycles, and fit 16 registers with
// their two operands. Returns the operations done (a multiply-add is 2 per lane).
double MultiplyAdds(size_t rounds, float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999f), y = hn::Set(d, 0.001f);
  // Chains that differ from the start: equal ones are one to the compiler.
  auto a0 = hn::Iota(d, 0), a1 = hn::Iota(d, 1), a2 = hn::Iota(d, 2), a3 = hn::Iota(d, 3);
  auto a4 = hn::Iota(d, 4), a5 = hn::Iota(d, 5), a6 = hn::Iota(d, 6), a7 = hn::Iota(d, 7);
  auto a8 = hn::Iota(d, 8), a9 = hn::Iota(d, 9), a10 = hn::Iota(d, 10), a11 = hn::Iota(d, 11);
  for (size_t i = 0; i < rounds; ++i) {
    a0 = hn::MulAdd(a0, x, y);
    a1 = hn::MulAdd(a1, x, y);
    a2 = hn::MulAdd(a2, x, y);
    a3 = hn::MulAdd(a3, x, y);
    a4 = hn::MulAdd(a4, x, y);
    a5 = hn::MulAdd(a5, x, y);
    a6 = hn::MulAdd(a6, x, y);
    a7 = hn::MulAdd(a7, x, y);
    a8 = hn::MulAdd(a8, x, y);
    a9 = hn::MulAdd(a9, x, y);
    a10 = hn::MulAdd(a10, x, y);
    a11 = hn::MulAdd(a11, x, y);
  }
  a0 = hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  a6 = hn::Add(hn::Add(hn::Add(a6, a7), hn::Add(a8, a9)), hn::Add(a10, a11));
  *out = hn::GetLane(hn::SumOfLanes(d, hn::Add(a0, a6)));
  return 2.0 * 12.0 * static_cast<double>(rounds) * static_cast<double>(hn::Lanes(d));
}

}  // namespace HWY_NAMESPACE
}  // namespace het::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace het::cpu {
namespace {

HWY_EXPORT(SumBlock);
HWY_EXPORT(MultiplyAdds);

constexpr int kWindows = 4;
constexpr uint64_t kBlockBytes = 256 * kKiB;
constexpr size_t kRounds = 4000;

int64_t Now() { return Clock::Real().MonotonicNanos(); }

// The time this thread really ran: others on the machine do not make the processor slower.
int64_t ThreadNanos() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// All threads work through the same windows of time; a window's rate is the sum of theirs.
class Windows {
 public:
  Windows(size_t threads, int64_t nanos) : waiting_(threads), nanos_(nanos / kWindows) {}

  // `step` does some work and says how much it was.
  template <typename Step>
  void Work(Step step) {
    if (waiting_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      begin_.store(Now() + 100'000, std::memory_order_release);
    }
    int64_t begin = 0;
    while ((begin = begin_.load(std::memory_order_acquire)) == 0) std::this_thread::yield();
    for (int window = 0; window < kWindows; ++window) {
      const int64_t from = begin + window * nanos_;
      while (Now() < from) CpuRelax();
      const int64_t start = ThreadNanos();
      double work = 0;
      while (Now() < from + nanos_) work += step();
      const int64_t ran = ThreadNanos() - start;
      if (work == 0 || ran <= 0) continue;  // this thread came too late for the whole window
      Add(window, work / (static_cast<double>(ran) * 1e-9));
    }
  }

  double Best() const {
    double best = 0;
    for (const std::atomic<double>& rate : rates_) best = std::max(best, rate.load());
    return best;
  }

 private:
  void Add(int window, double rate) {
    double old = rates_[window].load();
    while (!rates_[window].compare_exchange_weak(old, old + rate)) {
    }
  }

  std::atomic<size_t> waiting_;
  const int64_t nanos_;
  std::atomic<int64_t> begin_{0};
  std::atomic<double> rates_[kWindows] = {};
};

// What is read per thread: all of it several times the last-level cache.
uint64_t RegionBytes(size_t threads) {
  const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
  const uint64_t l3 = cache > 0 ? static_cast<uint64_t>(cache) : 32 * kMiB;
  const uint64_t total = std::clamp<uint64_t>(4 * l3, 64 * kMiB, 512 * kMiB);
  return std::max<uint64_t>(total / threads, 8 * kMiB) / kBlockBytes * kBlockBytes;
}

}  // namespace

absl::StatusOr<HostRates> MeasureHost(const std::vector<uint32_t>& cores, absl::Duration budget) {
  if (cores.empty()) return absl::InvalidArgumentError("asked to measure no processor");
  const uint64_t bytes = RegionBytes(cores.size());
  std::vector<hwy::AlignedFreeUniquePtr<uint64_t[]>> regions;
  for (size_t i = 0; i < cores.size(); ++i) {
    regions.push_back(hwy::AllocateAligned<uint64_t>(bytes / sizeof(uint64_t)));
    if (regions.back() == nullptr) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "measuring ", cores.size(), " processors takes ", FormatBytes(bytes * cores.size())));
    }
  }
  const int64_t nanos = absl::ToInt64Nanoseconds(budget);
  Windows reads(cores.size(), nanos), flops(cores.size(), nanos);
  std::atomic<uint64_t> sink{0};  // keeps the compiler from dropping the work
  std::vector<std::thread> threads;
  for (size_t i = 0; i < cores.size(); ++i) {
    threads.emplace_back([&, i] {
      BindThisThread({cores[i]}, "het-measure");
      uint64_t* data = regions[i].get();
      std::memset(data, 1, bytes);  // first touch: pages near this core
      uint64_t at = 0, sum = 0;
      reads.Work([&] {
        sum += HWY_DYNAMIC_DISPATCH(SumBlock)(data + at / sizeof(uint64_t),
                                              kBlockBytes / sizeof(uint64_t));
        at = (at + kBlockBytes) % bytes;
        return static_cast<double>(kBlockBytes);
      });
      float result = 0;
      flops.Work([&] { return HWY_DYNAMIC_DISPATCH(MultiplyAdds)(kRounds, &result); });
      sink.fetch_add(sum + static_cast<uint64_t>(result), std::memory_order_relaxed);
    });
  }
  for (std::thread& thread : threads) thread.join();
  HostRates rates;
  rates.read_bytes_per_s = reads.Best();
  rates.f32_flops_per_s = flops.Best();
  rates.simd = hwy::TargetName(hwy::SupportedTargets() & -hwy::SupportedTargets());
  return rates;
}

}  // namespace het::cpu
#endif  // HWY_ONCE
