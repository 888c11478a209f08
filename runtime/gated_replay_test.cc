// Recordings on leases that share a card in time: results are right, and a replay is cut where the
// lease's turns are. On the soft CUDA driver (tests/soft_drivers), whose one MIG instance has no
// parts.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "runtime/node_test_util.h"

namespace het::runtime {
namespace {

constexpr uint32_t kItems = 64;
constexpr uint32_t kCommands = 150;  // three turns of at most 64
constexpr uint32_t kReplays = 20;
constexpr char kSource[] = R"CL(
struct IncrementParams { uint by; };
HET_KERNEL HET_GROUP_SIZE(64) void increment(HET_BUFFER(0), struct IncrementParams p) {
  HET_PTR(uint, 0)[het_global_id(0)] += p.by;
}
)CL";

struct Tenant {
  explicit Tenant(Ref<LeaseHandle> of) : lease(std::move(of)) {
    ProgramSource source;
    source.name = "increment";
    source.portable = kSource;
    program = *(*lease->device())->Build(source);
    queue = *lease->CreateQueue(QueueKind::kCompute);
    buffer = *lease->Allocate(kItems * 4, MemoryKind::kDevice);
    done = *(*lease->device())->CreateTimeline();
    EXPECT_TRUE((*queue)->Fill(**buffer, 0, kItems * 4, 0).ok());
  }
  absl::Status Increment(uint32_t by) {
    const BufferArg buffers[] = {{&**buffer, 0}};
    Launch launch;
    launch.kernel = *program->GetKernel("increment");
    launch.group_size[0] = kItems;
    launch.buffers = buffers;
    launch.params = {reinterpret_cast<const std::byte*>(&by), sizeof(by)};
    return (*queue)->Submit(launch);
  }
  std::vector<uint32_t> Values() {
    std::vector<uint32_t> values(kItems);
    EXPECT_TRUE((*queue)->Read(**buffer, 0, values.data(), kItems * 4, {{}, {done, ++value}}).ok());
    EXPECT_TRUE(done->Wait(value, absl::Seconds(30)).ok());
    return values;
  }

  Ref<LeaseHandle> lease;
  Ref<Program> program;
  Ref<QueueHandle> queue;
  Ref<BufferHandle> buffer;
  Ref<Timeline> done;
  uint64_t value = 0;
};

TEST(GatedReplay, IsCutIntoTurnsAndComesOutRight) {
  // Read when the driver is loaded. 60 graphs pass.
  setenv("HET_SOFT_CUDA", "mig=1;fault=cuGraphLaunch:oom:after=60", 1);
  TestNode node;
  const std::string card = node.Find("cuda");
  auto leases = node.session()->Acquire({{card, Share::OfPercent(30), kMiB, Policy::kGuaranteed},
                                         {card, Share::OfPercent(60), kMiB, Policy::kGuaranteed}});
  ASSERT_TRUE(leases.ok()) << leases.status();
  ASSERT_TRUE((*leases)[0]->grant().slice.time_shared);
  Tenant replays((*leases)[0]), other((*leases)[1]);
  std::atomic<bool> stop{false};
  uint32_t launched = 0;
  std::jthread contender([&] {
    for (; !stop; ++launched) {
      ASSERT_TRUE(other.Increment(1).ok());
      if (launched % 100 == 99) (void)other.Values();
    }
  });
  ASSERT_TRUE((*replays.queue)->BeginRecording().ok());
  for (uint32_t i = 0; i < kCommands; ++i) ASSERT_TRUE(replays.Increment(i).ok());
  const auto recording = (*replays.queue)->EndRecording();
  ASSERT_TRUE(recording.ok()) << recording.status();
  EXPECT_EQ((*recording)->size(), kCommands);
  for (uint32_t i = 0; i < kReplays; ++i) {
    ASSERT_TRUE((*replays.queue)->Replay(**recording).ok());
  }
  EXPECT_EQ(replays.Values(),
            std::vector<uint32_t>(kItems, kReplays * kCommands * (kCommands - 1) / 2));
  stop = true;
  contender.join();
  EXPECT_EQ(other.Values(), std::vector<uint32_t>(kItems, launched));
  EXPECT_GT(launched, 0u);
  static_assert(3 * kReplays == 60);
  // The soft driver refuses the next one: so many were launched.
  absl::Status refused =
      (*replays.queue)->Replay(**recording, {{}, {replays.done, ++replays.value}});
  if (refused.ok()) refused = replays.done->Wait(replays.value, absl::Seconds(30));
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
}

}  // namespace
}  // namespace het::runtime
