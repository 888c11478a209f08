#include "runtime/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <thread>
#include <vector>

namespace het::runtime {
namespace {

class FunctionTask final : public Executor::Task {
 public:
  explicit FunctionTask(std::function<bool()> run) : run_(std::move(run)) {}

 private:
  bool Run() override { return run_(); }
  std::function<bool()> run_;
};

TEST(Executor, RunsWhatOthersSchedule) {
  Executor executor(2);
  constexpr int kTasks = 1000;
  std::atomic<int> runs{0};
  std::latch done(kTasks);
  std::vector<std::unique_ptr<FunctionTask>> tasks;
  for (int i = 0; i < kTasks; ++i) {
    tasks.push_back(std::make_unique<FunctionTask>([&] {
      ++runs;
      done.count_down();
      return false;
    }));
  }
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < kTasks; i += 4) executor.Schedule(tasks[i].get());
    });
  }
  done.wait();
  EXPECT_EQ(runs, kTasks);
}

TEST(Executor, RunsATaskAgainUntilItHasEnough) {
  for (int workers : {0, 1, 2}) {
    Executor executor(workers);
    std::latch done(1);
    int left = 1000;  // one thread at a time: no atomic
    FunctionTask task([&] {
      if (--left > 0) return true;
      done.count_down();
      return false;
    });
    executor.Schedule(&task);
    done.wait();
    EXPECT_EQ(left, 0);
  }
}

TEST(Executor, GivesLeftOverLongWorkToAnIdleWorker) {
  Executor executor(2);
  // Each waits for the other: only two workers at once can finish this. Both are made ready by one
  // task, so they start in one worker's hands.
  std::latch first_runs(1), second_runs(1);
  std::latch done(2);
  FunctionTask first([&] {
    first_runs.count_down();
    second_runs.wait();
    done.count_down();
    return false;
  });
  FunctionTask second([&] {
    second_runs.count_down();
    first_runs.wait();
    done.count_down();
    return false;
  });
  FunctionTask both([&] {
    executor.Schedule(&first);
    executor.Schedule(&second);
    return false;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));  // both workers sleep
  executor.Schedule(&both);
  done.wait();
}

TEST(Executor, InlineModeRunsOneAtATimeOnTheCaller) {
  Executor executor(0);
  std::vector<int> order;
  FunctionTask inner([&] {
    order.push_back(2);
    return false;
  });
  FunctionTask outer([&] {
    executor.Schedule(&inner);
    order.push_back(1);  // the inner task waits for its turn
    return false;
  });
  executor.Schedule(&outer);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(Executor, InlineModeDoesNotRecurse) {
  Executor executor(0);
  int left = 1000000;
  std::unique_ptr<FunctionTask> tasks[2];
  for (int i = 0; i < 2; ++i) {
    tasks[i] = std::make_unique<FunctionTask>([&, i] {
      if (--left > 0) executor.Schedule(tasks[1 - i].get());
      return false;
    });
  }
  executor.Schedule(tasks[0].get());
  EXPECT_EQ(left, 0);
}

}  // namespace
}  // namespace het::runtime
