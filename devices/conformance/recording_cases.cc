// Recordings: what is noted is not run, and then run as often as it is replayed, on what the
// buffers hold then.
#include "devices/conformance/kernels.h"
#include "devices/conformance/suite.h"
#include "devices/recording.h"

namespace het::conformance {
namespace {

constexpr uint32_t kItems = 128;
constexpr uint64_t kBytes = kItems * sizeof(uint32_t);

// x = x * 5 + add, on one buffer.
struct Steps {
  explicit Steps(Fixture& t)
      : program(t.NewProgram()), kernel(Must(program->GetKernel("step"), "GetKernel")) {}
  absl::Status Submit(Queue& queue, Buffer& x, uint32_t add, const Sync& sync = {}) {
    const BufferArg args[] = {{&x, 0}};
    const StepParams params = {add, kItems};
    Launch launch;
    launch.kernel = kernel;
    launch.groups[0] = kItems / 64;
    launch.group_size[0] = 64;
    launch.buffers = args;
    launch.params = BytesOf(params);
    return queue.Submit(launch, sync);
  }
  Ref<Program> program;
  const Kernel* kernel;
};

// y = (x * 5 + 1) * 5 + 2 by a copy and two launches, and x = 0x0303...
Ref<Recording> RecordSteps(Steps& steps, Queue& queue, Buffer& x, Buffer& y) {
  Must(queue.BeginRecording(), "BeginRecording");
  Must(queue.Copy(x, 0, y, 0, kBytes), "Copy");
  Must(steps.Submit(queue, y, 1), "Submit");
  Must(steps.Submit(queue, y, 2), "Submit");
  Must(queue.Fill(x, 0, kBytes, 3), "Fill");
  return Must(queue.EndRecording(), "EndRecording");
}

void IsRefusedWithoutTheCapability(Fixture& t) {
  if (t.device.Can(kReplaysWork)) return;
  const std::unique_ptr<Queue> queue = t.NewQueue();
  EXPECT_EQ(queue->BeginRecording().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(queue->RecordCommands({}).status().code(), absl::StatusCode::kUnimplemented);
  const Ref<Buffer> buffer = t.NewBuffer(kBytes);
  Must(queue->Fill(*buffer, 0, kBytes, 1), "Fill");  // nothing is being recorded
  t.Finish(*queue);
}

void ReplaysSeeWhatTheBuffersHold(Fixture& t) {
  if (!t.device.Can(kReplaysWork)) return;
  Steps steps(t);
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> x = t.NewBuffer(kBytes), y = t.NewBuffer(kBytes);
  Must(queue->Fill(*x, 0, kBytes, 0), "Fill");
  Must(queue->Fill(*y, 0, kBytes, 7), "Fill");
  const Ref<Recording> recording = RecordSteps(steps, *queue, *x, *y);
  EXPECT_EQ(recording->size(), 4u);
  // Recording ran nothing.
  EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *x), std::vector<uint32_t>(kItems, 0));
  EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *y), std::vector<uint32_t>(kItems, 0x07070707));
  for (uint32_t round = 0; round < 300; ++round) {
    const std::vector<uint32_t> input(kItems, round);
    Must(queue->Write(input.data(), *x, 0, kBytes), "Write");
    Must(queue->Replay(*recording), "Replay");
    if (round % 50 != 0) continue;
    EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *y), std::vector<uint32_t>(kItems, round * 25 + 7));
    EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *x), std::vector<uint32_t>(kItems, 0x03030303));
  }
  t.Finish(*queue);
}

void ReplaysWaitAndSignalAsOneOperation(Fixture& t) {
  if (!t.device.Can(kReplaysWork)) return;
  Steps steps(t);
  const std::unique_ptr<Queue> queue = t.NewQueue(), other = t.NewQueue(QueueKind::kTransfer);
  const Ref<Buffer> x = t.NewBuffer(kBytes), y = t.NewBuffer(kBytes);
  const Ref<Recording> recording = RecordSteps(steps, *queue, *x, *y);
  const Ref<Timeline> written = t.NewTimeline(), gate = t.NewTimeline(), done = t.NewTimeline();
  // Behind another queue's work, and behind the host.
  const std::vector<uint32_t> input(kItems, 4);
  Must(other->Write(input.data(), *x, 0, kBytes, {.signal = {written, 1}}), "Write");
  const Fence waits[] = {{written, 1}, {gate, 1}};
  Must(queue->Replay(*recording, {waits, {done, 1}}), "Replay");
  EXPECT_EQ(done->value(), 0u);
  gate->Signal(1);
  t.Await(*done, 1);
  EXPECT_EQ(t.DownloadAs<uint32_t>(*other, *y), std::vector<uint32_t>(kItems, 107));
  // On a queue that did not record it.
  Must(other->Write(input.data(), *x, 0, kBytes), "Write");
  Must(other->Replay(*recording, {.signal = {done, 2}}), "Replay");
  t.Await(*done, 2);
  EXPECT_EQ(t.DownloadAs<uint32_t>(*other, *y), std::vector<uint32_t>(kItems, 107));
}

void KeepsWhatItUses(Fixture& t) {
  if (!t.device.Can(kReplaysWork)) return;
  const uint64_t before = t.device.allocated_bytes();
  Ref<Buffer> y = t.NewBuffer(kBytes);
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Timeline> done = t.NewTimeline();
  Ref<Recording> recording;
  {
    Steps steps(t);
    const Ref<Buffer> x = t.NewBuffer(kBytes);
    Must(queue->Fill(*x, 0, kBytes, 0), "Fill");
    recording = RecordSteps(steps, *queue, *x, *y);
  }
  EXPECT_EQ(t.device.allocated_bytes() - before, 2 * kBytes);
  Must(queue->Replay(*recording, {.signal = {done, 1}}), "Replay");
  recording = nullptr;  // under way, or done
  t.Await(*done, 1);
  EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *y), std::vector<uint32_t>(kItems, 7));
  EXPECT_EQ(t.device.allocated_bytes() - before, kBytes);
}

void RefusesWhatCannotBeRecorded(Fixture& t) {
  if (!t.device.Can(kReplaysWork)) return;
  Steps steps(t);
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> x = t.NewBuffer(kBytes);
  const Ref<Timeline> timeline = t.NewTimeline();
  std::vector<uint32_t> host(kItems);
  const Fence wait[] = {{timeline, 1}};
  const std::pair<const char*, std::function<absl::Status()>> refused[] = {
      {"write", [&] { return queue->Write(host.data(), *x, 0, kBytes); }},
      {"read", [&] { return queue->Read(*x, 0, host.data(), kBytes); }},
      {"wait", [&] { return steps.Submit(*queue, *x, 1, {.waits = wait}); }},
      {"signal",
       [&] {
         return queue->Fill(*x, 0, kBytes, 1, {.signal = {timeline, 1}});
       }},
      {"barrier", [&] { return queue->Barrier({}); }},
      {"flush", [&] { return queue->Flush(); }},
  };
  for (const auto& [what, operation] : refused) {
    Must(queue->BeginRecording(), "BeginRecording");
    Must(steps.Submit(*queue, *x, 1), "Submit");
    EXPECT_EQ(operation().code(), absl::StatusCode::kInvalidArgument) << what;
    Must(steps.Submit(*queue, *x, 1), "Submit");  // says nothing of it, and changes nothing
    const absl::Status status = queue->EndRecording().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << what;
    EXPECT_NE(status.message().find(what), absl::string_view::npos) << status;
  }
  EXPECT_EQ(queue->EndRecording().status().code(), absl::StatusCode::kFailedPrecondition);
  Must(queue->BeginRecording(), "BeginRecording");
  EXPECT_EQ(queue->BeginRecording().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(queue->EndRecording().status().code(), absl::StatusCode::kInvalidArgument) << "nothing";
  // A launch that the driver would not take.
  Must(queue->BeginRecording(), "BeginRecording");
  Launch launch;
  launch.kernel = steps.kernel;
  const BufferArg args[] = {{x.get(), 0}};
  launch.buffers = args;
  launch.group_size[0] = 1u << 20;
  (void)queue->Submit(launch);
  EXPECT_FALSE(queue->EndRecording().ok());
  // The queue is none the worse for it.
  EXPECT_EQ(timeline->value(), 0u);
  Must(queue->Fill(*x, 0, kBytes, 0), "Fill");
  Must(steps.Submit(*queue, *x, 5), "Submit");
  EXPECT_EQ(t.DownloadAs<uint32_t>(*queue, *x), std::vector<uint32_t>(kItems, 5));
}

void FailuresGoToTheSignal(Fixture& t) {
  if (!t.device.Can(kReplaysWork)) return;
  Steps steps(t);
  const std::unique_ptr<Queue> queue = t.NewQueue();
  const Ref<Buffer> x = t.NewBuffer(kBytes), y = t.NewBuffer(kBytes);
  const Ref<Recording> recording = RecordSteps(steps, *queue, *x, *y);
  const Ref<Timeline> failed = t.NewTimeline(), done = t.NewTimeline();
  const Fence waits[] = {{failed, 1}};
  (void)queue->Replay(*recording, {waits, {done, 1}});
  failed->Fail(absl::DataLossError("gone"));
  EXPECT_EQ(done->Wait(1, kPatience).code(), absl::StatusCode::kDataLoss);
}

}  // namespace

std::vector<Case> RecordingCases() {
  return {
      {"Recording", "IsRefusedWithoutTheCapability", IsRefusedWithoutTheCapability},
      {"Recording", "ReplaysSeeWhatTheBuffersHold", ReplaysSeeWhatTheBuffersHold},
      {"Recording", "ReplaysWaitAndSignalAsOneOperation", ReplaysWaitAndSignalAsOneOperation},
      {"Recording", "KeepsWhatItUses", KeepsWhatItUses},
      {"Recording", "RefusesWhatCannotBeRecorded", RefusesWhatCannotBeRecorded},
      {"Recording", "FailuresGoToTheSignal", FailuresGoToTheSignal},
  };
}

}  // namespace het::conformance
