#include "devices/cpu/worker_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace het::cpu {

void BindThisThread(const std::vector<uint32_t>& cores, const char* name) {
  char short_name[16] = {};
  std::copy_n(name, std::min<size_t>(15, std::char_traits<char>::length(name)), short_name);
  pthread_setname_np(pthread_self(), short_name);
  if (cores.empty()) return;
  const uint32_t largest = *std::max_element(cores.begin(), cores.end());
  cpu_set_t* set = CPU_ALLOC(largest + 1);
  if (set == nullptr) return;
  const size_t size = CPU_ALLOC_SIZE(largest + 1);
  CPU_ZERO_S(size, set);
  for (uint32_t core : cores) CPU_SET_S(core, size, set);
  if (sched_setaffinity(0, size, set) != 0) {
    Log().warn("cannot bind thread {} to its {} cores; it runs unbound", short_name, cores.size());
  }
  CPU_FREE(set);
}

WorkerPool::WorkerPool(std::vector<uint32_t> cores) : cores_(std::move(cores)) {}

WorkerPool::~WorkerPool() {
  absl::MutexLock lock(&launch_mutex_);
  closing_.store(true, std::memory_order_release);
  // A new value, so that who is about to sleep on the old one does not.
  state_.fetch_xor(1u << kNumberShift, std::memory_order_acq_rel);
  FutexWake(state_, INT_MAX);
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void WorkerPool::Start(uint32_t home) {
  if (threads_.empty()) threads_.resize(cores_.size());
  for (uint32_t worker = 0; worker < workers(); ++worker) {
    if (worker == home || threads_[worker].joinable()) continue;
    threads_[worker] = std::thread([this, worker] { WorkerMain(worker); });
  }
}

void WorkerPool::Run(uint32_t home, het_native_fn function, const het_native_call& call,
                     uint64_t groups) {
  absl::MutexLock lock(&launch_mutex_);
  if (workers() == 1 || groups == 1) {
    het_native_call alone = call;
    alone.group_begin = 0;
    alone.group_end = groups;
    alone.worker = home;
    alone.workers = workers();
    function(&alone);
    return;
  }
  Start(home);
  function_ = function;
  call_ = call;
  call_.workers = workers();
  home_ = home;
  groups_ = groups;
  pieces_ = std::min<uint64_t>(groups, uint64_t{workers()} * kPiecesPerWorker);
  next_piece_.store(0, std::memory_order_relaxed);
  number_ = (number_ + 1) & 0xffff;
  // release: who joins sees the launch.
  state_.store((number_ << kNumberShift) | kOpen, std::memory_order_release);
  // A read-modify-write on sleepers_ on both sides, as in Parker: either we see the sleeper, or the
  // sleeper sees the launch before it sleeps.
  if (sleepers_.fetch_add(0, std::memory_order_acq_rel) > 0) {
    FutexWake(state_, static_cast<int>(std::min<uint64_t>(pieces_, workers())));
  }
  TakePieces(home);
  // acq_rel: closes the launch; with the workers' release on leaving, their writes are seen.
  if ((state_.fetch_and(~kOpen, std::memory_order_acq_rel) & kActiveMask) != 0) {
    launcher_.Await([this] { return (state_.load(std::memory_order_acquire) & kActiveMask) == 0; });
  }
}

void WorkerPool::TakePieces(uint32_t worker) {
  het_native_call call = call_;
  call.worker = worker;
  for (;;) {
    // relaxed: it hands out numbers; the data of the launch was seen when joining.
    const uint64_t piece = next_piece_.fetch_add(1, std::memory_order_relaxed);
    if (piece >= pieces_) return;
    // 128 bits: groups can be near 2^96 in theory; a piece's bound must not wrap.
    call.group_begin =
        static_cast<uint64_t>(static_cast<unsigned __int128>(groups_) * piece / pieces_);
    call.group_end =
        static_cast<uint64_t>(static_cast<unsigned __int128>(groups_) * (piece + 1) / pieces_);
    function_(&call);
  }
}

void WorkerPool::WorkerMain(uint32_t worker) {
  BindThisThread(cores_, absl::StrCat("het-cpu-w", worker).c_str());
  uint32_t seen = 0;  // number of the last launch this worker was in or missed
  const auto news = [this, &seen] {
    const uint32_t state = state_.load(std::memory_order_acquire);
    return closing_.load(std::memory_order_acquire) ||
           ((state & kOpen) != 0 && state >> kNumberShift != seen);
  };
  for (;;) {
    if (!SpinFor(kSpinNanos, news)) {
      sleepers_.fetch_add(1, std::memory_order_acq_rel);
      for (;;) {
        const uint32_t state = state_.load(std::memory_order_acquire);
        if (news()) break;
        FutexWait(state_, state);
      }
      sleepers_.fetch_sub(1, std::memory_order_relaxed);
    }
    if (closing_.load(std::memory_order_acquire)) return;
    uint32_t state = state_.load(std::memory_order_acquire);
    if ((state & kOpen) == 0) continue;
    // acquire: the launch is read after joining it.
    if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) continue;
    seen = state >> kNumberShift;
    if (worker != home_) TakePieces(worker);
    // release: what this worker wrote is seen by the launcher, who reads 0 active.
    const uint32_t before = state_.fetch_sub(1, std::memory_order_acq_rel);
    if ((before & kActiveMask) == 1 && (before & kOpen) == 0) launcher_.Unpark();
  }
}

}  // namespace het::cpu
