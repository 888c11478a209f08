#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "base/units.h"
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

void StartsWhereAsked(Fixture& t) {
  const Ref<Timeline> timeline = t.NewTimeline(5);
  EXPECT_EQ(timeline->value(), 5u);
  EXPECT_EQ(timeline->driver(), &t.driver);
  t.Await(*timeline, 5);
  const absl::Status later = timeline->Wait(6, absl::Milliseconds(5));
  EXPECT_EQ(later.code(), absl::StatusCode::kDeadlineExceeded) << later;
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Fence reached[] = {{timeline, 3}, {timeline, 5}};
  Must(queue->Barrier({.waits = reached, .signal = {timeline, 6}}), "Barrier");
  t.Await(*timeline, 6);
}

void CallsBackInTheOrderOfTheQueue(Fixture& t) {
  constexpr uint64_t kSignals = 200;
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Timeline> timeline = t.NewTimeline();
  const Ref<Buffer> buffer = t.NewBuffer(4096);
  std::mutex mutex;
  std::vector<uint64_t> seen;
  for (uint64_t i = 1; i <= kSignals; ++i) {
    Must(queue->Fill(*buffer, 0, 4096, 1, {.signal = {timeline, i}}), "Fill");
    timeline->OnReach(i, [&, i](const absl::Status& status) {
      const std::lock_guard lock(mutex);
      seen.push_back(status.ok() ? i : 0);
    });
  }
  t.Await(*timeline, kSignals);
  // The waiter may be ahead of the last callback: another signal comes after it.
  t.Finish(*queue);
  t.Await(*timeline, kSignals);
  for (int i = 0; i < 1000; ++i) {
    {
      const std::lock_guard lock(mutex);
      if (seen.size() == kSignals) break;
    }
    usleep(1000);
  }
  const std::lock_guard lock(mutex);
  ASSERT_EQ(seen.size(), kSignals);
  for (uint64_t i = 0; i < kSignals; ++i) EXPECT_EQ(seen[i], i + 1);
}

void OrdersTwoQueues(Fixture& t) {
  constexpr uint64_t kRounds = 100;
  const std::unique_ptr<Queue> producer = t.NewQueue();
  const std::unique_ptr<Queue> consumer = t.NewQueue(QueueKind::kTransfer);
  const Ref<Timeline> full = t.NewTimeline();
  const Ref<Timeline> empty = t.NewTimeline();
  const Ref<Buffer> buffer = t.NewBuffer(64 * kKiB);
  std::vector<std::vector<uint8_t>> read(kRounds, std::vector<uint8_t>(buffer->bytes()));
  for (uint64_t i = 1; i <= kRounds; ++i) {
    const Fence room[] = {{empty, i - 1}};
    Must(producer->Fill(*buffer, 0, buffer->bytes(), static_cast<uint8_t>(i),
                        {.waits = room, .signal = {full, i}}),
         "Fill");
    const Fence data[] = {{full, i}};
    Must(consumer->Read(*buffer, 0, read[i - 1].data(), buffer->bytes(),
                        {.waits = data, .signal = {empty, i}}),
         "Read");
  }
  t.Await(*empty, kRounds);
  if (t.device.Can(kNoData)) return;
  for (uint64_t i = 1; i <= kRounds; ++i) {
    ASSERT_EQ(read[i - 1], std::vector<uint8_t>(buffer->bytes(), static_cast<uint8_t>(i)));
  }
}

void AFailureTravelsAlongTheWork(Fixture& t) {
  const std::unique_ptr<Queue> first = t.NewQueue();
  const std::unique_ptr<Queue> second = t.NewQueue();
  const std::unique_ptr<Queue> healthy = t.NewQueue();
  const Ref<Timeline> cause = t.NewTimeline();
  const Ref<Timeline> a = t.NewTimeline();
  const Ref<Timeline> b = t.NewTimeline();
  const Ref<Buffer> buffer = t.NewBuffer(64);
  uint8_t untouched = 0x77;
  cause->Fail(absl::DataLossError("the cause"));
  const Fence on_cause[] = {{cause, 1}};
  Must(first->Fill(*buffer, 0, 64, 1, {.waits = on_cause, .signal = {a, 1}}), "Fill");
  const Fence on_a[] = {{a, 1}};
  Must(second->Read(*buffer, 0, &untouched, 1, {.waits = on_a, .signal = {b, 1}}), "Read");
  for (const Ref<Timeline>& timeline : {a, b}) {
    const absl::Status status = timeline->Wait(1, kPatience);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_NE(status.message().find("the cause"), absl::string_view::npos) << status;
  }
  EXPECT_EQ(untouched, 0x77) << "an operation that waited on a failure must not run";
  t.Finish(*healthy);
}

void AFailureBreaksItsQueueForGood(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Timeline> cause = t.NewTimeline();
  const Ref<Timeline> before = t.NewTimeline();
  const Ref<Timeline> next = t.NewTimeline();
  const Ref<Timeline> after = t.NewTimeline();
  const Ref<Buffer> buffer = t.NewBuffer(64);
  Must(queue->Fill(*buffer, 0, 64, 1, {.signal = {before, 1}}), "Fill");
  t.Await(*before, 1);
  cause->Fail(absl::AbortedError("the cause"));
  const Fence on_cause[] = {{cause, 1}};
  Must(queue->Fill(*buffer, 0, 64, 2, {.waits = on_cause}), "Fill without a signal");
  Must(queue->Fill(*buffer, 0, 64, 3, {.signal = {next, 1}}), "Fill");
  EXPECT_EQ(next->Wait(1, kPatience).code(), absl::StatusCode::kAborted)
      << "the failure of an operation without a signal goes to the next signal";
  Must(queue->Barrier({.signal = {after, 1}}), "Barrier");
  EXPECT_EQ(after->Wait(1, kPatience).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(before->value(), 1u);
  EXPECT_FALSE(before->failed()) << "what was done before stays done";
  const std::unique_ptr<Queue> other = t.NewQueue();
  if (!t.device.Can(kNoData)) {
    EXPECT_EQ(t.Download(*other, *buffer), std::vector<uint8_t>(64, 1));
  }
}

void RefusesAWaitOnAForeignTimeline(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Timeline> host = MakeRef<Timeline>(nullptr);
  const Fence wait[] = {{host, 1}};
  EXPECT_EQ(queue->Barrier({.waits = wait}).code(), absl::StatusCode::kFailedPrecondition);
  host->Signal(1);
  Must(queue->Barrier({.waits = wait}), "a foreign wait that is reached");
  t.Finish(*queue);
  const Fence nothing[] = {Fence{}};
  EXPECT_EQ(queue->Barrier({.waits = nothing}).code(), absl::StatusCode::kInvalidArgument);
}

void SignalsAForeignTimeline(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Timeline> host = MakeRef<Timeline>(nullptr);
  Must(queue->Fill(*t.NewBuffer(64), 0, 64, 1, {.signal = {host, 3}}), "Fill");
  t.Finish(*queue);
  EXPECT_TRUE(host->Wait(3, kPatience).ok());
}

void WakesWaitersInManyThreads(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Timeline> timeline = t.NewTimeline();
  std::atomic<int> woken{0};
  std::vector<std::thread> waiters;
  for (uint64_t i = 0; i < 8; ++i) {
    waiters.emplace_back([&, i] {
      if (timeline->Wait(1 + i % 4, kPatience).ok()) ++woken;
    });
  }
  for (uint64_t i = 1; i <= 4; ++i) {
    usleep(1000);
    Must(queue->Barrier({.signal = {timeline, i}}), "Barrier");
  }
  t.Await(*timeline, 4);
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(woken, 8);
}

void GivesAnEventFd(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Timeline> timeline = t.NewTimeline();
  const int fd = Must(timeline->EventFd(2), "EventFd");
  const auto readable = [fd](int millis) {
    pollfd request{fd, POLLIN, 0};
    return poll(&request, 1, millis) == 1;
  };
  Must(queue->Barrier({.signal = {timeline, 1}}), "Barrier");
  t.Await(*timeline, 1);
  EXPECT_FALSE(readable(0));
  Must(queue->Fill(*t.NewBuffer(64), 0, 64, 1, {.signal = {timeline, 2}}), "Fill");
  if (t.device.Can(kVirtualTime)) t.Await(*timeline, 2);  // somebody has to drive the clock
  EXPECT_TRUE(readable(static_cast<int>(absl::ToInt64Milliseconds(kPatience))));
  close(fd);
}

// The executor lives on this: a completion queues what comes next, and no thread waits.
void ACallbackMaySubmit(Fixture& t) {
  constexpr uint64_t kHops = 100;
  const std::unique_ptr<Queue> queues[] = {t.NewQueue(), t.NewQueue()};
  const Ref<Timeline> timeline = t.NewTimeline();
  const Ref<Timeline> finished = MakeRef<Timeline>(nullptr);
  const Ref<Buffer> buffer = t.NewBuffer(256);
  std::function<void(uint64_t)> hop = [&](uint64_t i) {
    if (i > kHops) {
      // Who signals holds a reference: the waiter may drop its own while Signal is still at work.
      const Ref<Timeline> held = finished;
      return held->Signal(1);
    }
    const absl::Status status = queues[i % 2]->Fill(*buffer, 0, 256, 1, {.signal = {timeline, i}});
    if (!status.ok()) return finished->Fail(status);
    timeline->OnReach(i, [&, i](const absl::Status& reached) {
      if (!reached.ok()) return finished->Fail(reached);
      hop(i + 1);
    });
  };
  hop(1);
  t.Await(*timeline, kHops);
  EXPECT_TRUE(finished->Wait(1, kPatience).ok());
  EXPECT_EQ(timeline->value(), kHops);
}

}  // namespace

std::vector<Case> TimelineCases() {
  return {
      {"Timeline", "StartsWhereAsked", StartsWhereAsked},
      {"Timeline", "CallsBackInTheOrderOfTheQueue", CallsBackInTheOrderOfTheQueue},
      {"Timeline", "OrdersTwoQueues", OrdersTwoQueues},
      {"Timeline", "AFailureTravelsAlongTheWork", AFailureTravelsAlongTheWork},
      {"Timeline", "AFailureBreaksItsQueueForGood", AFailureBreaksItsQueueForGood},
      {"Timeline", "RefusesAWaitOnAForeignTimeline", RefusesAWaitOnAForeignTimeline},
      {"Timeline", "SignalsAForeignTimeline", SignalsAForeignTimeline},
      {"Timeline", "WakesWaitersInManyThreads", WakesWaitersInManyThreads},
      {"Timeline", "GivesAnEventFd", GivesAnEventFd},
      {"Timeline", "ACallbackMaySubmit", ACallbackMaySubmit},
  };
}

}  // namespace het::conformance
