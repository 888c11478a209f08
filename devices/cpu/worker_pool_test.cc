#include "devices/cpu/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace het::cpu {
namespace {

// Processor 0 as often as wanted: the pool must work however many cores this machine has.
std::vector<uint32_t> Cores(size_t count) { return std::vector<uint32_t>(count, 0); }

struct Tally {
  std::vector<std::atomic<int>> visits;
  std::vector<std::atomic<int>> running;  // by worker
  std::atomic<int> clashes{0};
  std::atomic<int> bad{0};
  absl::Duration nap = absl::ZeroDuration();
};

het_native_call CallOn(void* const* buffers, uint32_t groups) {
  het_native_call call = {};
  call.struct_size = sizeof(call);
  call.buffers = buffers;
  call.buffer_count = 1;
  call.groups[0] = groups;
  return call;
}

void Visit(const het_native_call* call) {
  Tally& tally = *static_cast<Tally*>(call->buffers[0]);
  if (call->worker >= call->workers || call->workers != tally.running.size()) {
    ++tally.bad;
    return;
  }
  if (tally.running[call->worker].fetch_add(1) != 0) ++tally.clashes;
  for (uint64_t group = call->group_begin; group < call->group_end; ++group) {
    ++tally.visits[group];
  }
  if (tally.nap > absl::ZeroDuration()) absl::SleepFor(tally.nap);
  --tally.running[call->worker];
}

TEST(WorkerPool, DoesEveryGroupOnce) {
  for (size_t workers : {1, 2, 3, 5}) {
    WorkerPool pool(Cores(workers));
    for (uint32_t groups : {1u, 2u, 3u, 7u, 8u, 9u, 1000u}) {
      Tally tally{std::vector<std::atomic<int>>(groups), std::vector<std::atomic<int>>(workers)};
      void* buffers[] = {&tally};
      pool.Run(workers - 1, Visit, CallOn(buffers, groups), groups);
      for (uint32_t group = 0; group < groups; ++group) {
        ASSERT_EQ(tally.visits[group], 1) << group << " of " << groups << " by " << workers;
      }
      EXPECT_EQ(tally.clashes, 0);
      EXPECT_EQ(tally.bad, 0);
    }
  }
}

TEST(WorkerPool, GivesConcurrentLaunchesDifferentWorkers) {
  constexpr uint32_t kGroups = 64;
  WorkerPool pool(Cores(3));
  Tally tally{std::vector<std::atomic<int>>(kGroups), std::vector<std::atomic<int>>(3)};
  void* buffers[] = {&tally};
  std::vector<std::thread> launchers;
  for (uint32_t home = 0; home < 3; ++home) {
    launchers.emplace_back([&, home] {
      for (int i = 0; i < 300; ++i) pool.Run(home, Visit, CallOn(buffers, kGroups), kGroups);
    });
  }
  for (std::thread& launcher : launchers) launcher.join();
  for (const auto& visits : tally.visits) EXPECT_EQ(visits, 900);
  EXPECT_EQ(tally.clashes, 0);
}

TEST(WorkerPool, SharesALongLaunchAmongTheWorkers) {
  WorkerPool pool(Cores(4));
  Tally tally{std::vector<std::atomic<int>>(16), std::vector<std::atomic<int>>(4)};
  tally.nap = absl::Milliseconds(20);
  void* buffers[] = {&tally};
  const absl::Time start = absl::Now();
  pool.Run(0, Visit, CallOn(buffers, 16), 16);  // naps can overlap even on one processor
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(16 * 20));
}

TEST(WorkerPool, WakesAfterItFellAsleep) {
  WorkerPool pool(Cores(2));
  Tally tally{std::vector<std::atomic<int>>(8), std::vector<std::atomic<int>>(2)};
  void* buffers[] = {&tally};
  for (int i = 0; i < 20; ++i) {
    pool.Run(0, Visit, CallOn(buffers, 8), 8);
    absl::SleepFor(absl::Milliseconds(1));
  }
  for (const auto& visits : tally.visits) EXPECT_EQ(visits, 20);
}

}  // namespace
}  // namespace het::cpu
