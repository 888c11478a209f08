#include "base/clock.h"
#include "base/units.h"
#include "devices/conformance/kernels.h"
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

constexpr uint32_t kItems = 256;

// Launches of "step" on one buffer.
struct Steps {
  Steps(Fixture& t, uint32_t items)
      : program(t.NewProgram()),
        kernel(Must(program->GetKernel("step"), "GetKernel")),
        buffer(t.NewBuffer(items * sizeof(uint32_t))),
        items(items) {}

  void Submit(Queue& queue, uint32_t add, const Sync& sync = {}) {
    const BufferArg args[] = {{buffer.get(), 0}};
    const StepParams params = {add, items};
    Launch launch;
    launch.kernel = kernel;
    launch.groups[0] = items / 64;
    launch.group_size[0] = 64;
    launch.buffers = args;
    launch.params = BytesOf(params);
    Must(queue.Submit(launch, sync), "Submit");
  }

  Ref<Program> program;
  const Kernel* kernel;
  Ref<Buffer> buffer;
  uint32_t items;
};

void RunsLaunchesInOrder(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  Steps steps(t, kItems);
  Must(queue->Fill(*steps.buffer, 0, steps.buffer->bytes(), 0), "Fill");
  uint32_t expected = 0;
  for (uint32_t i = 1; i <= 1000; ++i) {
    steps.Submit(*queue, i);
    expected = expected * 5 + i;
  }
  EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *steps.buffer), std::vector<uint32_t>(kItems, expected));
}

void RunsDifferentOperationsInOrder(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  Steps steps(t, kItems);
  const Ref<Buffer> saved = t.NewBuffer(steps.buffer->bytes());
  const std::vector<uint32_t> sevens(kItems, 7);
  std::vector<uint32_t> read(kItems, 0);
  for (int round = 0; round < 50; ++round) {
    Must(queue->Write(sevens.data(), *steps.buffer, 0, steps.buffer->bytes()), "Write");
    steps.Submit(*queue, 1);  // 36
    Must(queue->Copy(*steps.buffer, 0, *saved, 0, saved->bytes()), "Copy");
    Must(queue->Fill(*steps.buffer, 0, steps.buffer->bytes(), 0), "Fill");
    steps.Submit(*queue, 9);  // 9
    Must(queue->Copy(*saved, 0, *steps.buffer, 0, 4), "Copy");
    steps.Submit(*queue, 2);  // 182 first, then 47
    Must(queue->Read(*steps.buffer, 0, read.data(), steps.buffer->bytes()), "Read");
    t.Finish(*queue);
    ASSERT_EQ(read[0], 182u) << "round " << round;
    ASSERT_EQ(read[1], 47u) << "round " << round;
    ASSERT_EQ(read[kItems - 1], 47u) << "round " << round;
  }
}

void TakesManyLaunches(Fixture& t) {
  constexpr uint32_t kLaunches = 20'000;
  const std::unique_ptr<Queue> queue = t.NewQueue();
  Steps steps(t, 64);
  const Ref<Timeline> done = t.NewTimeline();
  Must(queue->Fill(*steps.buffer, 0, steps.buffer->bytes(), 0), "Fill");
  uint32_t expected = 0;
  for (uint32_t i = 1; i <= kLaunches; ++i) {
    // Some signal, most do not.
    steps.Submit(*queue, i, i % 100 == 0 ? Sync{.signal = {done, i}} : Sync{});
    expected = expected * 5 + i;
  }
  t.Await(*done, kLaunches);
  if (!t.device.Can(kNoData)) {
    EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *steps.buffer), std::vector<uint32_t>(64, expected));
  }
}

void DestructionWaitsForWhatIsQueued(Fixture& t) {
  Steps steps(t, kItems);
  std::vector<uint32_t> read(kItems, 0);
  const Ref<Timeline> done = t.NewTimeline();
  {
    const std::unique_ptr<Queue> queue = t.NewQueue();
    Must(queue->Fill(*steps.buffer, 0, steps.buffer->bytes(), 0), "Fill");
    for (int i = 0; i < 100; ++i) steps.Submit(*queue, 1);
    Must(queue->Fill(*steps.buffer, 0, steps.buffer->bytes(), 0), "Fill");
    steps.Submit(*queue, 5, {.signal = {done, 1}});
    Must(queue->Read(*steps.buffer, 0, read.data(), steps.buffer->bytes()), "Read");
  }
  EXPECT_EQ(done->value(), 1u);
  if (!t.device.Can(kNoData)) {
    EXPECT_EQ(read, std::vector<uint32_t>(kItems, 5));
  }
}

void CountsBusyTime(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  EXPECT_EQ(queue->busy_nanos(), 0);
  const Ref<Buffer> buffer = t.NewBuffer(16 * kMiB);
  const int64_t start = Clock::Real().MonotonicNanos();
  int64_t before = 0;
  for (int round = 0; round < 3; ++round) {
    Must(queue->Fill(*buffer, 0, buffer->bytes(), 1), "Fill");
    t.Finish(*queue);
    EXPECT_GT(queue->busy_nanos(), before);
    before = queue->busy_nanos();
  }
  if (t.device.Can(kVirtualTime)) return;
  // One queue cannot have been busy for longer than there was time (a device's clock may be a
  // little off the host's).
  const int64_t wall = Clock::Real().MonotonicNanos() - start;
  EXPECT_LE(queue->busy_nanos(), wall + wall / 20 + 1'000'000);
}

void FlushIsAlwaysAllowed(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  Must(queue->Flush(), "Flush of nothing");
  Must(queue->Fill(*t.NewBuffer(64), 0, 64, 1), "Fill");
  Must(queue->Flush(), "Flush");
  Must(queue->Flush(), "Flush again");
  t.Finish(*queue);
}

void ManyQueuesAtOnce(Fixture& t) {
  std::vector<std::unique_ptr<Queue>> queues;
  std::vector<std::unique_ptr<Steps>> steps;
  for (int i = 0; i < 6; ++i) {
    queues.push_back(t.NewQueue(i % 3 == 2 ? QueueKind::kTransfer : QueueKind::kCompute));
    EXPECT_EQ(&queues.back()->device(), &t.device);
    EXPECT_EQ(queues.back()->kind(), i % 3 == 2 ? QueueKind::kTransfer : QueueKind::kCompute);
    steps.push_back(std::make_unique<Steps>(t, kItems));
    Must(queues[i]->Fill(*steps[i]->buffer, 0, steps[i]->buffer->bytes(), 0), "Fill");
  }
  for (uint32_t add = 1; add <= 50; ++add) {
    for (size_t i = 0; i < queues.size(); ++i) steps[i]->Submit(*queues[i], add);
  }
  uint32_t expected = 0;
  for (uint32_t add = 1; add <= 50; ++add) expected = expected * 5 + add;
  for (size_t i = 0; i < queues.size(); ++i) {
    EXPECT_EQ(t.DownloadAs<uint32_t>(*queues[i], *steps[i]->buffer),
              std::vector<uint32_t>(kItems, expected));
  }
}

}  // namespace

std::vector<Case> QueueCases() {
  return {
      {"Queue", "RunsLaunchesInOrder", RunsLaunchesInOrder},
      {"Queue", "RunsDifferentOperationsInOrder", RunsDifferentOperationsInOrder},
      {"Queue", "TakesManyLaunches", TakesManyLaunches},
      {"Queue", "DestructionWaitsForWhatIsQueued", DestructionWaitsForWhatIsQueued},
      {"Queue", "CountsBusyTime", CountsBusyTime},
      {"Queue", "FlushIsAlwaysAllowed", FlushIsAlwaysAllowed},
      {"Queue", "ManyQueuesAtOnce", ManyQueuesAtOnce},
  };
}

}  // namespace het::conformance
