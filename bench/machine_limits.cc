#include "bench/machine_limits.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <new>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/machine_limits.cc"
// clang-format off: must come before every -inl header
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// clang-format on

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace het::bench {
namespace HWY_NAMESPACE {
namespace {  // the same names exist in several files
namespace hn = hwy::HWY_NAMESPACE;

// The sum of 32-bit words of whole 512-byte lines: eight loads in flight, one addition each.
uint64_t SumWords(const uint8_t* from, size_t bytes) {
  const HWY_FULL(uint32_t) d;
  const size_t lanes = hn::Lanes(d);
  const auto* words = reinterpret_cast<const uint32_t*>(from);
  auto a = hn::Zero(d), b = hn::Zero(d), c = hn::Zero(d), e = hn::Zero(d);
  for (size_t i = 0; i + 8 * lanes <= bytes / 4; i += 8 * lanes) {
    a = hn::Add(a, hn::Add(hn::Load(d, words + i), hn::Load(d, words + i + lanes)));
    b = hn::Add(b, hn::Add(hn::Load(d, words + i + 2 * lanes), hn::Load(d, words + i + 3 * lanes)));
    c = hn::Add(c, hn::Add(hn::Load(d, words + i + 4 * lanes), hn::Load(d, words + i + 5 * lanes)));
    e = hn::Add(e, hn::Add(hn::Load(d, words + i + 6 * lanes), hn::Load(d, words + i + 7 * lanes)));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
}

// `rounds` times ten independent chains of multiply-adds, which begin differently lest the compiler
// find them equal and do one. Returns the operations; *sink keeps them alive.
double MultiplyAdds(size_t rounds, float* sink) {
  const HWY_FULL(float) d;
  const auto x = hn::Set(d, 0.999999f), y = hn::Set(d, 1e-6f);
  auto a = hn::Iota(d, 0.0f), b = hn::Iota(d, 1.0f), c = hn::Iota(d, 2.0f), e = hn::Iota(d, 3.0f);
  auto f = hn::Iota(d, 4.0f), g = hn::Iota(d, 5.0f), h = hn::Iota(d, 6.0f), i = hn::Iota(d, 7.0f);
  auto j = hn::Iota(d, 8.0f), k = hn::Iota(d, 9.0f);
  for (size_t round = 0; round < rounds; ++round) {
    a = hn::MulAdd(a, x, y), b = hn::MulAdd(b, x, y), c = hn::MulAdd(c, x, y),
    e = hn::MulAdd(e, x, y);
    f = hn::MulAdd(f, x, y), g = hn::MulAdd(g, x, y), h = hn::MulAdd(h, x, y),
    i = hn::MulAdd(i, x, y);
    j = hn::MulAdd(j, x, y), k = hn::MulAdd(k, x, y);
  }
  a = hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)),
              hn::Add(hn::Add(f, g), hn::Add(hn::Add(h, i), hn::Add(j, k))));
  *sink = hn::GetLane(hn::SumOfLanes(d, a));
  return 2.0 * 10.0 * static_cast<double>(rounds) * static_cast<double>(hn::Lanes(d));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace het::bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace het::bench {

HWY_EXPORT(SumWords);
HWY_EXPORT(MultiplyAdds);

namespace {

void BindTo(int index) {
  cpu_set_t mine;
  if (sched_getaffinity(0, sizeof(mine), &mine) != 0) return;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mine) || index-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
    return;
  }
}

double ProcessorSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

}  // namespace

Crew::Crew(int workers) : workers_(workers) {
  for (int worker = 1; worker < workers; ++worker) {
    threads_.emplace_back([this, worker] {
      BindTo(worker);
      Loop(worker);
    });
  }
}

Crew::~Crew() {
  std::lock_guard lock(mutex_);
  stop_ = true;
  changed_.notify_all();
}

Took Crew::Run(const std::function<void(int)>& work) {
  const auto start = std::chrono::steady_clock::now();
  {
    std::lock_guard lock(mutex_);
    work_ = &work;
    running_ = workers_ - 1;
    longest_ = 0;
    ++round_;
  }
  changed_.notify_all();
  const double before = ProcessorSeconds();
  work(0);
  const double mine = ProcessorSeconds() - before;
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return running_ == 0; });
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
          std::max(mine, longest_)};
}

void Crew::Loop(int worker) {
  uint64_t done = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || round_ != done; });
    if (stop_) return;
    done = round_;
    const auto* work = work_;
    lock.unlock();
    const double before = ProcessorSeconds();
    (*work)(worker);
    const double mine = ProcessorSeconds() - before;
    lock.lock();
    longest_ = std::max(longest_, mine);
    if (--running_ == 0) changed_.notify_all();
  }
}

BigBuffer::BigBuffer(size_t bytes) : bytes_(bytes) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  madvise(address, bytes, MADV_HUGEPAGE);  // a wish
  data_ = static_cast<uint8_t*>(address);
  std::memset(data_, 1, bytes);
}

BigBuffer::~BigBuffer() { munmap(data_, bytes_); }

double ReadBandwidth(Crew& crew, const BigBuffer& buffer, Time time) {
  std::atomic<uint64_t> sink = 0;
  const size_t part = buffer.bytes() / static_cast<size_t>(crew.workers()) / 4096 * 4096;
  const Took took = crew.Run([&](int worker) {
    sink +=
        HWY_DYNAMIC_DISPATCH(SumWords)(buffer.data() + static_cast<size_t>(worker) * part, part);
  });
  return static_cast<double>(part) * crew.workers() / took.In(time);
}

double FmaRate(Crew& crew, double seconds, Time time) {
  std::vector<double> operations(static_cast<size_t>(crew.workers()));
  const Took took = crew.Run([&](int worker) {
    const auto start = std::chrono::steady_clock::now();
    float sink = 0;
    double done = 0;
    while (std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() <
           seconds) {
      done += HWY_DYNAMIC_DISPATCH(MultiplyAdds)(20000, &sink);
    }
    operations[static_cast<size_t>(worker)] = done + (sink == 0.125f ? 1 : 0);
  });
  double sum = 0;
  for (const double done : operations) sum += done;
  return sum / took.In(time);
}

Spread SpreadOf(std::vector<double> figures) {
  if (figures.empty()) return {};
  std::sort(figures.begin(), figures.end());
  const size_t middle = figures.size() / 2;
  const double median =
      figures.size() % 2 == 1 ? figures[middle] : (figures[middle - 1] + figures[middle]) / 2;
  return {median, figures.front(), figures.back()};
}

}  // namespace het::bench
#endif
