#include <cstring>

#include "base/units.h"
#include "devices/conformance/kernels.h"
#include "devices/conformance/suite.h"

namespace het::conformance {
namespace {

void RefusesZeroBytes(Fixture& t) {
  EXPECT_EQ(t.device.Allocate(0).status().code(), absl::StatusCode::kInvalidArgument);
}

void AllocatesAnySize(Fixture& t) {
  std::vector<Ref<Buffer>> buffers;
  uint64_t sum = 0;
  for (uint64_t bytes : {uint64_t{1}, uint64_t{63}, uint64_t{64}, uint64_t{65}, uint64_t{4096},
                         kMiB - 1, kMiB, kMiB + 1, 5 * kMiB + 3}) {
    for (MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kStaging}) {
      buffers.push_back(t.NewBuffer(bytes, kind));
      EXPECT_EQ(buffers.back()->bytes(), bytes);
      EXPECT_EQ(&buffers.back()->device(), &t.device);
      sum += bytes;
    }
  }
  EXPECT_GE(t.device.allocated_bytes(), sum);
  buffers.clear();
  EXPECT_EQ(t.device.allocated_bytes(), 0u);
}

void RefusesMoreThanThereIs(Fixture& t) {
  for (uint64_t bytes : {t.info.memory_bytes + kGiB, uint64_t{1} << 62, ~uint64_t{0}}) {
    const absl::Status status = t.device.Allocate(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << bytes << ": " << status;
  }
  EXPECT_EQ(t.device.allocated_bytes(), 0u);
  t.NewBuffer(4096);  // and goes on
}

void HostAddressesAreWhatTheCapabilitySays(Fixture& t) {
  const Ref<Buffer> device_memory = t.NewBuffer(256);
  const Ref<Buffer> staging = t.NewBuffer(256, MemoryKind::kStaging);
  if (t.device.Can(kHostAddressable)) {
    EXPECT_NE(device_memory->host(), nullptr);
    EXPECT_NE(staging->host(), nullptr);
  }
  if (t.device.Can(kNoData)) {
    EXPECT_EQ(device_memory->host(), nullptr);
  }
}

void HostAddressesShowTheData(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  for (MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kStaging}) {
    const Ref<Buffer> buffer = t.NewBuffer(256, kind);
    if (buffer->host() == nullptr) continue;  // this backend copies
    std::memset(buffer->host(), 0x11, 256);
    EXPECT_EQ(t.Download(*queue, *buffer), std::vector<uint8_t>(256, 0x11));
    Must(queue->Fill(*buffer, 0, 256, 0x22), "Fill");
    t.Finish(*queue);
    EXPECT_EQ(static_cast<uint8_t*>(buffer->host())[255], 0x22);
  }
}

void WrapsHostMemoryInPlace(Fixture& t) {
  alignas(64) uint32_t memory[64] = {};
  memory[7] = 70;
  if (!t.device.Can(kWrapsHostMemory)) {
    EXPECT_EQ(t.device.WrapHostMemory(memory, sizeof(memory), true).status().code(),
              absl::StatusCode::kUnimplemented);
    return;
  }
  const Ref<Program> program = t.NewProgram();
  const std::unique_ptr<Queue> queue = t.NewQueue();
  {
    const Ref<Buffer> buffer =
        Must(t.device.WrapHostMemory(memory, sizeof(memory), true), "WrapHostMemory");
    EXPECT_EQ(buffer->bytes(), sizeof(memory));
    EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *buffer)[7], 70u);
    const BufferArg args[] = {{buffer.get(), 0}};
    const StepParams params = {3, 64};
    Launch launch;
    launch.kernel = Must(program->GetKernel("step"), "GetKernel");
    launch.group_size[0] = 64;
    launch.buffers = args;
    launch.params = BytesOf(params);
    Must(queue->Submit(launch), "Submit");
    EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *buffer)[7], 353u);
  }
  if (t.device.Can(kHostAddressable)) {
    EXPECT_EQ(memory[7], 353u);
  }
}

void RefusesToWrapNothingOrUnaligned(Fixture& t) {
  if (!t.device.Can(kWrapsHostMemory)) return;
  alignas(64) uint8_t memory[128];
  EXPECT_EQ(t.device.WrapHostMemory(nullptr, 64, true).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(t.device.WrapHostMemory(memory, 0, true).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(t.device.WrapHostMemory(memory + 4, 64, true).status().code(),
            absl::StatusCode::kInvalidArgument);
}

void QueuedWorkKeepsBuffersAlive(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Timeline> done = t.NewTimeline();
  for (uint64_t i = 1; i <= 20; ++i) {
    Ref<Buffer> buffer = t.NewBuffer(64 * kKiB);
    Must(queue->Fill(*buffer, 0, buffer->bytes(), 1), "Fill");
    Must(queue->Barrier({.signal = {done, i}}), "Barrier");
  }
  t.Await(*done, 20);
}

// A quota is given back when the work is known to be done, so the memory must be too.
void MemoryIsBackWhenTheSignalIsSeen(Fixture& t) {
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Timeline> done = t.NewTimeline();
  for (uint64_t i = 1; i <= 50; ++i) {
    Must(queue->Fill(*t.NewBuffer(kMiB), 0, kMiB, 1, {.signal = {done, i}}), "Fill");
    t.Await(*done, i);
    ASSERT_EQ(t.device.allocated_bytes(), 0u) << "round " << i;
  }
}

void TakingAndFreeingWaitsForNobody(Fixture& t) {
  if (!t.device.Can(kPoolMemory)) return;
  const Ref<Program> program = t.NewProgram();
  const std::unique_ptr<Queue> queue = t.NewQueue();
  constexpr uint32_t kCount = 1 << 20;
  const Ref<Buffer> buffer = t.NewBuffer(kCount * 4);
  const BufferArg buffers[] = {{buffer.get(), 0}};
  const StepParams params{1, kCount};
  Launch launch;
  launch.kernel = Must(program->GetKernel("step"), "GetKernel");
  launch.groups[0] = kCount / 256;
  launch.group_size[0] = 256;
  launch.buffers = buffers;
  launch.params = BytesOf(params);
  const Ref<Timeline> done = t.NewTimeline();
  uint64_t value = 0;
  const auto work = [&](int launches) {
    for (int i = 0; i < launches; ++i) {
      Must(queue->Submit(launch, {{}, i + 1 == launches ? Fence{done, ++value} : Fence{}}),
           "Submit");
    }
    Must(queue->Flush(), "Flush");
  };
  // Twice as much each time until the work outlasts the memory calls, as it does when those do not
  // wait for it.
  for (int launches = 16; launches <= 1 << 14; launches *= 2) {
    work(launches);
    for (int i = 0; i < 3; ++i) t.NewBuffer(65536);
    const bool still_running = done->value() < value;
    t.Await(*done, value);
    if (still_running) return;
  }
  ADD_FAILURE() << "taking and freeing memory waited for the queue's work every time";
}

}  // namespace

std::vector<Case> MemoryCases() {
  return {
      {"Memory", "TakingAndFreeingWaitsForNobody", TakingAndFreeingWaitsForNobody},
      {"Memory", "RefusesZeroBytes", RefusesZeroBytes},
      {"Memory", "AllocatesAnySize", AllocatesAnySize},
      {"Memory", "RefusesMoreThanThereIs", RefusesMoreThanThereIs},
      {"Memory", "HostAddressesAreWhatTheCapabilitySays", HostAddressesAreWhatTheCapabilitySays},
      {"Memory", "HostAddressesShowTheData", HostAddressesShowTheData},
      {"Memory", "WrapsHostMemoryInPlace", WrapsHostMemoryInPlace},
      {"Memory", "RefusesToWrapNothingOrUnaligned", RefusesToWrapNothingOrUnaligned},
      {"Memory", "QueuedWorkKeepsBuffersAlive", QueuedWorkKeepsBuffersAlive},
      {"Memory", "MemoryIsBackWhenTheSignalIsSeen", MemoryIsBackWhenTheSignalIsSeen},
  };
}

}  // namespace het::conformance
