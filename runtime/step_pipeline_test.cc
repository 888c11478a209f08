#include "runtime/step_pipeline.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace het::runtime {
namespace {

using Item = StepPipeline::Item;
using Completion = StepPipeline::Completion;
using Outcome = StepPipeline::Outcome;

StepPipeline::Step Inline(StepPipeline::Function run) { return {std::move(run), 0}; }

// Completes what it is given from its own thread, in an order drawn by chance.
class Completer {
 public:
  ~Completer() {
    stop_ = true;
    thread_.join();
  }
  void Add(Completion completion, absl::Status status = absl::OkStatus()) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back({completion, std::move(status)});
  }

 private:
  void Run() {
    std::mt19937 random(7);
    while (!stop_) {
      std::optional<std::pair<Completion, absl::Status>> one;
      {
        const std::lock_guard lock(mutex_);
        if (!waiting_.empty()) {
          const size_t i = random() % waiting_.size();
          one = waiting_[i];
          waiting_[i] = waiting_.back();
          waiting_.pop_back();
        }
      }
      if (one) {
        one->first.Done(one->second);
      } else {
        std::this_thread::yield();
      }
    }
  }
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::vector<std::pair<Completion, absl::Status>> waiting_;
  std::thread thread_{[this] { Run(); }};
};

class StepPipelineModes : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Workers, StepPipelineModes, testing::Values(0, 1, 2, 4));

TEST_P(StepPipelineModes, ServesItemsInOrderInEveryStep) {
  Executor executor(GetParam());
  constexpr int kItems = 3000;
  constexpr int kSteps = 5;
  std::vector<std::vector<uint64_t>> seen(kSteps + 1);
  std::vector<StepPipeline::Step> steps;
  for (int s = 0; s < kSteps; ++s) {
    steps.push_back(Inline([&seen, s](const Item& item, Completion) -> Outcome {
      seen[s].push_back(item.number);
      return absl::OkStatus();
    }));
  }
  StepPipeline pipeline(executor, std::move(steps), 7, [&](const Item& item, const absl::Status&) {
    seen[kSteps].push_back(item.number);
  });
  for (int i = 0; i < kItems; ++i) EXPECT_EQ(pipeline.Submit(nullptr), static_cast<uint64_t>(i));
  EXPECT_TRUE(pipeline.Drain().ok());
  for (const auto& numbers : seen) {
    ASSERT_EQ(numbers.size(), static_cast<size_t>(kItems));
    for (int i = 0; i < kItems; ++i) ASSERT_EQ(numbers[i], static_cast<uint64_t>(i));
  }
}

TEST_P(StepPipelineModes, KeepsOrderWhenCompletionsComeInAnyOrder) {
  Completer completer;
  Executor executor(GetParam());
  std::vector<uint64_t> second, left;
  std::vector<StepPipeline::Step> steps;
  const auto later = [&](const Item&, Completion completion) -> Outcome {
    completer.Add(completion);
    return StepPipeline::kLater;
  };
  steps.push_back(Inline(later));
  steps.push_back(Inline([&](const Item& item, Completion) -> Outcome {
    second.push_back(item.number);
    return absl::OkStatus();
  }));
  steps.push_back(Inline(later));
  StepPipeline pipeline(executor, std::move(steps), 9, [&](const Item& item, const absl::Status&) {
    left.push_back(item.number);
  });
  for (int i = 0; i < 10000; ++i) pipeline.Submit(nullptr);
  EXPECT_TRUE(pipeline.Drain(absl::Seconds(50)).ok());
  ASSERT_EQ(left.size(), 10000u);
  for (size_t i = 0; i < left.size(); ++i) {
    ASSERT_EQ(left[i], i);
    ASSERT_EQ(second[i], i);
  }
}

TEST_P(StepPipelineModes, HoldsTheLimitsOfItemsUnderWay) {
  Completer completer;
  Executor executor(GetParam());
  std::atomic<int> in_step{0}, in_flight{0}, most_in_step{0}, most_in_flight{0};
  std::set<uint32_t> slots;
  const auto raise = [](std::atomic<int>& most, int value) {
    int now = most;
    while (value > now && !most.compare_exchange_weak(now, value)) {
    }
  };
  std::vector<StepPipeline::Step> steps;
  steps.push_back(Inline([&](const Item& item, Completion) -> Outcome {
    raise(most_in_flight, ++in_flight);
    slots.insert(item.slot);
    return absl::OkStatus();
  }));
  steps.push_back({[&](const Item&, Completion completion) -> Outcome {
                     raise(most_in_step, ++in_step);
                     completer.Add(completion);
                     return StepPipeline::kLater;
                   },
                   3});
  steps.push_back(Inline([&](const Item&, Completion) -> Outcome {
    --in_step;
    return absl::OkStatus();
  }));
  StepPipeline pipeline(executor, std::move(steps), 8,
                        [&](const Item&, const absl::Status&) { --in_flight; });
  for (int i = 0; i < 3000; ++i) pipeline.Submit(nullptr);
  EXPECT_TRUE(pipeline.Drain(absl::Seconds(50)).ok());
  EXPECT_LE(most_in_flight, 8);
  EXPECT_GE(most_in_flight, 2);
  // in_step falls one step later than the room is given back, so it may show the in-flight limit,
  // never more.
  EXPECT_LE(most_in_step, 8);
  EXPECT_EQ(slots.size(), 8u);
}

TEST(StepPipeline, StartsNoMoreThanMaxOutstanding) {
  Executor executor(0);
  std::vector<Completion> started;
  std::vector<StepPipeline::Step> steps;
  steps.push_back({[&](const Item&, Completion completion) -> Outcome {
                     started.push_back(completion);
                     return StepPipeline::kLater;
                   },
                   3});
  StepPipeline pipeline(executor, std::move(steps), 8);
  for (int i = 0; i < 6; ++i) pipeline.Submit(nullptr);
  EXPECT_EQ(started.size(), 3u);
  started[2].Done();  // out of order: room all the same
  EXPECT_EQ(started.size(), 4u);
  EXPECT_FALSE(pipeline.drained());
  for (size_t i = 0; i < 6; ++i) {
    if (i != 2) started[i].Done();
  }
  EXPECT_TRUE(pipeline.drained());
}

TEST_P(StepPipelineModes, AnErrorFailsItsItemOnly) {
  Executor executor(GetParam());
  std::atomic<int> second_ran{0};
  std::vector<StepPipeline::Step> steps;
  steps.push_back(Inline([&](const Item& item, Completion) -> Outcome {
    if (item.number == 3) return absl::InternalError("item three");
    return absl::OkStatus();
  }));
  steps.push_back(Inline([&](const Item&, Completion) -> Outcome {
    ++second_ran;
    return absl::OkStatus();
  }));
  std::vector<absl::Status> outcomes;
  StepPipeline pipeline(
      executor, std::move(steps), 2,
      [&](const Item&, const absl::Status& status) { outcomes.push_back(status); });
  for (int i = 0; i < 6; ++i) pipeline.Submit(nullptr);
  EXPECT_EQ(pipeline.Drain().message(), "item three");
  EXPECT_EQ(second_ran, 5);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(outcomes[i].ok(), i != 3) << i;
  EXPECT_EQ(pipeline.failed_step(), 0);
  pipeline.Submit(nullptr);
  EXPECT_TRUE(pipeline.Drain().ok());  // told once
}

TEST_P(StepPipelineModes, AfterBreakEverythingFailsWithItsReason) {
  Completer completer;
  Executor executor(GetParam());
  StepPipeline* self = nullptr;
  std::vector<StepPipeline::Step> steps;
  steps.push_back(Inline([&](const Item&, Completion completion) -> Outcome {
    completer.Add(completion);
    return StepPipeline::kLater;
  }));
  steps.push_back(Inline([&](const Item& item, Completion) -> Outcome {
    if (item.number < 100) return absl::OkStatus();
    const absl::Status lost = absl::DataLossError("the device is gone");
    self->Break(1, lost);
    return lost;
  }));
  std::vector<absl::Status> outcomes;
  StepPipeline pipeline(
      executor, std::move(steps), 5,
      [&](const Item&, const absl::Status& status) { outcomes.push_back(status); });
  self = &pipeline;
  for (int i = 0; i < 500; ++i) pipeline.Submit(nullptr);
  EXPECT_EQ(pipeline.Drain(absl::Seconds(50)).code(), absl::StatusCode::kDataLoss);
  ASSERT_EQ(outcomes.size(), 500u);
  for (size_t i = 0; i < outcomes.size(); ++i) {
    EXPECT_EQ(outcomes[i].code(), i < 100 ? absl::StatusCode::kOk : absl::StatusCode::kDataLoss)
        << i;
  }
  EXPECT_EQ(pipeline.failed_step(), 1);
}

TEST_P(StepPipelineModes, LeavingItemsMaySubmitMore) {
  Executor executor(GetParam());
  StepPipeline* self = nullptr;
  std::atomic<int> left{0};
  std::vector<StepPipeline::Step> steps;
  steps.push_back(Inline([](const Item&, Completion) -> Outcome { return absl::OkStatus(); }));
  StepPipeline pipeline(executor, std::move(steps), 4, [&](const Item&, const absl::Status&) {
    if (++left < 1000) self->Submit(nullptr);
  });
  self = &pipeline;
  pipeline.Submit(nullptr);
  EXPECT_TRUE(pipeline.Drain(absl::Seconds(50)).ok());
  EXPECT_EQ(left, 1000);
}

TEST(StepPipeline, DrainSaysHowFarItCame) {
  Executor executor(1);
  std::optional<Completion> held;
  std::atomic<bool> started{false};
  std::vector<StepPipeline::Step> steps;
  steps.push_back(Inline([&](const Item&, Completion completion) -> Outcome {
    held = completion;
    started = true;
    return StepPipeline::kLater;
  }));
  StepPipeline pipeline(executor, std::move(steps), 4);
  EXPECT_TRUE(pipeline.Drain().ok());  // nothing to wait for
  pipeline.Submit(nullptr);
  const absl::Status late = pipeline.Drain(absl::Milliseconds(20));
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(late.message().find("0 of 1 items are done"), std::string::npos) << late;
  while (!started) std::this_thread::yield();
  held->Done();
  EXPECT_TRUE(pipeline.Drain().ok());
}

TEST_P(StepPipelineModes, CanGoAsSoonAsTheLastItemLeft) {
  Completer completer;
  Executor executor(GetParam());
  for (int round = 0; round < 300; ++round) {
    std::vector<StepPipeline::Step> steps;
    for (int s = 0; s < 3; ++s) {
      steps.push_back({[&](const Item&, Completion completion) -> Outcome {
                         completer.Add(completion);
                         return StepPipeline::kLater;
                       },
                       2});
    }
    StepPipeline pipeline(executor, std::move(steps), 3);
    for (int i = 0; i < 5; ++i) pipeline.Submit(nullptr);
    // The destructor waits.
  }
}

TEST_P(StepPipelineModes, TakesSubmissionsFromManyThreads) {
  Executor executor(GetParam());
  std::atomic<uint64_t> sum{0};
  std::vector<StepPipeline::Step> steps;
  for (int s = 0; s < 3; ++s) {
    steps.push_back(Inline([&](const Item& item, Completion) -> Outcome {
      sum += *static_cast<uint64_t*>(item.data);
      return absl::OkStatus();
    }));
  }
  StepPipeline pipeline(executor, std::move(steps), 6);
  uint64_t one = 1;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2500; ++i) pipeline.Submit(&one);
    });
  }
  threads.clear();
  EXPECT_TRUE(pipeline.Drain().ok());
  EXPECT_EQ(sum, 30000u);
}

}  // namespace
}  // namespace het::runtime
