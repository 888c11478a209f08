#include <atomic>
#include <thread>

#include "devices/conformance/kernels.h"
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

// Runs `body(i)` in `count` threads at once; what one throws is recorded already.
void InThreads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&body, i] {
      try {
        body(i);
      } catch (const Abandoned&) {
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

void EveryThreadItsOwnQueue(Fixture& t) {
  const Ref<Program> program = t.NewProgram();
  InThreads(4, [&](int thread) {
    const std::unique_ptr<Queue> queue = t.NewQueue();
    const Ref<Buffer> buffer = t.NewBuffer(256 * 4);
    const BufferArg args[] = {{buffer.get(), 0}};
    Must(queue->Fill(*buffer, 0, buffer->bytes(), 0), "Fill");
    uint32_t expected = 0;
    for (uint32_t i = 0; i < 200; ++i) {
      const StepParams params = {i + static_cast<uint32_t>(thread), 256};
      Launch launch;
      launch.kernel = Must(program->GetKernel("step"), "GetKernel");
      launch.groups[0] = 4;
      launch.group_size[0] = 64;
      launch.buffers = args;
      launch.params = BytesOf(params);
      Must(queue->Submit(launch), "Submit");
      expected = expected * 5 + params.add;
    }
    EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *buffer), std::vector<uint32_t>(256, expected));
  });
}

void ThreadsAllocateAndFree(Fixture& t) {
  InThreads(4, [&](int thread) {
    const std::unique_ptr<Queue> queue = t.NewQueue(QueueKind::kTransfer);
    for (int i = 0; i < 50; ++i) {
      const Ref<Buffer> buffer = t.NewBuffer(1000 + 4096 * ((i + thread) % 7));
      Must(queue->Fill(*buffer, 0, buffer->bytes(), 1), "Fill");
    }
    t.Finish(*queue);
  });
  EXPECT_EQ(t.device.allocated_bytes(), 0u);
}

void ThreadsShareATimeline(Fixture& t) {
  // Each thread's queue waits for the one before it, around a ring, without any host wait between.
  constexpr int kThreads = 3;
  const Ref<Timeline> turn = t.NewTimeline(1);
  const Ref<Buffer> buffer = t.NewBuffer(64);
  const std::unique_ptr<Queue> first = t.NewQueue();
  std::vector<std::unique_ptr<Queue>> queues;
  for (int i = 0; i < kThreads; ++i) queues.push_back(t.NewQueue());
  std::atomic<uint64_t> submitted{1};
  InThreads(kThreads, [&](int thread) {
    for (uint64_t value = 2 + thread; value < 2 + 60; value += kThreads) {
      // A queue may only wait for what was submitted before.
      while (submitted.load(std::memory_order_acquire) != value - 1) std::this_thread::yield();
      const Fence before[] = {{turn, value - 1}};
      Must(queues[thread]->Fill(*buffer, 0, 64, static_cast<uint8_t>(value),
                                {.waits = before, .signal = {turn, value}}),
           "Fill");
      submitted.store(value, std::memory_order_release);
    }
  });
  t.Await(*turn, 61);
  if (!t.device.Can(kNoData)) {
    EXPECT_EQ(t.Download(*first, *buffer), std::vector<uint8_t>(64, 61));
  }
}

}  // namespace

std::vector<Case> ThreadCases() {
  return {
      {"Threads", "EveryThreadItsOwnQueue", EveryThreadItsOwnQueue},
      {"Threads", "ThreadsAllocateAndFree", ThreadsAllocateAndFree},
      {"Threads", "ThreadsShareATimeline", ThreadsShareATimeline},
  };
}

}  // namespace het::conformance
