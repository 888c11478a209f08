#include "devices/simulated/virtual_clock.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace het::simulated {
namespace {

TEST(VirtualClock, RunsEventsByTimeAndThenByAge) {
  VirtualClock clock;
  std::vector<int> order;
  clock.At(20, [&] { order.push_back(3); });
  clock.At(10, [&] { order.push_back(1); });
  clock.At(10, [&] { order.push_back(2); });
  EXPECT_EQ(clock.NowNanos(), 0);
  EXPECT_TRUE(order.empty()) << "nothing happens before somebody drives";
  clock.RunUntilIdle();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(clock.NowNanos(), 20);
}

TEST(VirtualClock, EventsMayAddEventsAndThePastIsNow) {
  VirtualClock clock;
  std::vector<int64_t> times;
  clock.At(100, [&] {
    clock.At(50, [&] { times.push_back(clock.NowNanos()); });
    clock.At(130, [&] { times.push_back(clock.NowNanos()); });
  });
  clock.RunUntilIdle();
  EXPECT_EQ(times, (std::vector<int64_t>{100, 130}));
}

TEST(VirtualClock, StopsWhereItIsDone) {
  VirtualClock clock;
  std::atomic<int> count{0};
  for (int i = 1; i <= 10; ++i) clock.At(i, [&] { ++count; });
  EXPECT_TRUE(clock.RunUntil([&] { return count == 4; }));
  EXPECT_EQ(clock.NowNanos(), 4);
  EXPECT_FALSE(clock.RunUntil([&] { return count == 11; })) << "idle before that";
  EXPECT_EQ(clock.NowNanos(), 10);
}

TEST(VirtualClock, AdvancesToATimeWithOrWithoutEvents) {
  VirtualClock clock;
  int ran = 0;
  clock.At(10, [&] { ++ran; });
  clock.At(30, [&] { ++ran; });
  clock.AdvanceTo(20);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(clock.NowNanos(), 20);
  clock.AdvanceTo(5);
  EXPECT_EQ(clock.NowNanos(), 20) << "time does not go back";
  clock.RunUntilIdle();
  EXPECT_EQ(ran, 2);
}

TEST(VirtualClock, BackgroundEventsDoNotKeepItRunning) {
  VirtualClock clock;
  std::vector<int> order;
  clock.At(
      5, [&] { order.push_back(5); }, /*background=*/true);
  clock.At(
      50, [&] { order.push_back(50); }, /*background=*/true);
  clock.RunUntilIdle();
  EXPECT_EQ(clock.NowNanos(), 0);
  clock.At(10, [&] { order.push_back(10); });
  clock.RunUntilIdle();
  EXPECT_EQ(order, (std::vector<int>{5, 10})) << "in passing";
  EXPECT_EQ(clock.NowNanos(), 10);
}

TEST(VirtualClock, AnEventMayDrive) {
  VirtualClock clock;
  std::vector<int> order;
  clock.At(1, [&] {
    order.push_back(1);
    clock.RunUntilIdle();
    order.push_back(9);
  });
  clock.At(2, [&] { order.push_back(2); });
  clock.RunUntilIdle();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 9}));
}

TEST(VirtualClock, ManyThreadsMayDriveAndAdd) {
  constexpr int kThreads = 4, kEvents = 500;
  VirtualClock clock;
  std::atomic<int> ran{0};
  std::atomic<int> inside{0};
  std::atomic<int> overlaps{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 1; i <= kEvents; ++i) {
        std::atomic<bool> mine{false};
        clock.At(clock.NowNanos() + i % 7, [&] {
          if (inside.fetch_add(1) != 0) ++overlaps;
          ++ran;
          --inside;
          mine = true;
        });
        EXPECT_TRUE(clock.RunUntil([&] { return mine.load(); }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ran, kThreads * kEvents);
  EXPECT_EQ(overlaps, 0) << "one event at a time";
}

}  // namespace
}  // namespace het::simulated
