#include "devices/cpu/host_queue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "devices/cpu/host_memory.h"
#include "devices/cpu/native_program.h"
#include "devices/cpu/worker_pool.h"
#include "devices/device.h"

namespace het::cpu {
namespace {

// Queue checked that the buffer is its device's, and this device makes only these.
HostBuffer& AsHost(Buffer& buffer) { return static_cast<HostBuffer&>(buffer); }

absl::Status CheckWritable(const HostBuffer& buffer, absl::string_view what) {
  if (buffer.writable()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": the buffer wraps memory that is only to be read"));
}

}  // namespace

HostQueue::HostQueue(Device& device, QueueKind kind, std::unique_ptr<OpRunner> runner,
                     std::vector<uint32_t> cores, std::string thread_name, bool note_ready)
    : Queue(device, kind), runner_(std::move(runner)), note_ready_(note_ready) {
  thread_ = std::thread([this, cores = std::move(cores), name = std::move(thread_name)] {
    BindThisThread(cores, name.c_str());
    Main();
  });
}

HostQueue::~HostQueue() {
  // release: the thread that sees it sees everything queued.
  closing_.store(true, std::memory_order_release);
  runner_->Abandon();
  wakeup_->parker.Unpark();
  thread_.join();
}

absl::Status HostQueue::DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                                const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckWritable(AsHost(to), "write"));
  return Copy(Op::Route::kToDevice, host, AsHost(to).data() + offset, bytes, {&to}, sync);
}

absl::Status HostQueue::DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                               const Sync& sync) {
  return Copy(Op::Route::kFromDevice, AsHost(from).data() + offset, host, bytes, {&from}, sync);
}

absl::Status HostQueue::DoCopy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                               uint64_t bytes, const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckWritable(AsHost(to), "copy"));
  return Copy(Op::Route::kWithin, AsHost(from).data() + from_offset, AsHost(to).data() + to_offset,
              bytes, {&from, &to}, sync);
}

absl::Status HostQueue::Copy(Op::Route route, const void* from, void* to, uint64_t bytes,
                             std::initializer_list<Buffer*> buffers, const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckUsable());
  Op& op = ops_.Back();
  op.kind = bytes > 0 ? Op::Kind::kCopy : Op::Kind::kBarrier;
  op.route = route;
  op.from = from;
  op.to = to;
  op.bytes = bytes;
  for (Buffer* buffer : buffers) op.buffers.emplace_back(buffer);
  Push(op, sync);
  return absl::OkStatus();
}

absl::Status HostQueue::DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                               const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckWritable(AsHost(to), "fill"));
  HET_RETURN_IF_ERROR(CheckUsable());
  Op& op = ops_.Back();
  op.kind = bytes > 0 ? Op::Kind::kFill : Op::Kind::kBarrier;
  op.to = AsHost(to).data() + offset;
  op.bytes = bytes;
  op.value = value;
  op.buffers.emplace_back(&to);
  Push(op, sync);
  return absl::OkStatus();
}

absl::Status HostQueue::DoSubmit(const Launch& launch, const Sync& sync) {
  HET_ASSIGN_OR_RETURN(const NativeProgram::Entry* entry, NativeProgram::EntryOf(*launch.kernel));
  HET_RETURN_IF_ERROR(CheckUsable());
  Op& op = ops_.Back();
  op.kind = Op::Kind::kLaunch;
  op.program = Ref<Program>(&entry->program());
  op.kernel = entry;
  op.function = entry->function();
  for (const BufferArg& arg : launch.buffers) {
    op.buffers.emplace_back(arg.buffer);
    op.addresses.push_back(AsHost(*arg.buffer).data() + arg.offset);
  }
  for (int axis = 0; axis < 3; ++axis) {
    op.groups[axis] = launch.groups[axis];
    op.group_size[axis] = launch.group_size[axis];
  }
  op.params.Assign(launch.params);
  op.work = launch.work;
  Push(op, sync);
  return absl::OkStatus();
}

absl::Status HostQueue::DoBarrier(const Sync& sync) {
  HET_RETURN_IF_ERROR(CheckUsable());
  Push(ops_.Back(), sync);
  return absl::OkStatus();
}

void HostQueue::Push(Op& op, const Sync& sync) {
  op.waits.assign(sync.waits.begin(), sync.waits.end());
  op.signal = sync.signal;
  if (note_ready_) op.ready_nanos = Clock::Real().MonotonicNanos();
  ops_.Push();
  wakeup_->parker.Unpark();
}

void HostQueue::Break(absl::Status status) {
  {
    absl::MutexLock lock(&mutex_);
    if (!failure_.ok()) return;
    failure_ = std::move(status);
  }
  // release: who sees it may take the lock and read the failure.
  broken_.store(true, std::memory_order_release);
  wakeup_->parker.Unpark();
}

absl::Status HostQueue::Broken() const {
  if (!broken_.load(std::memory_order_acquire)) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  return failure_;
}

void HostQueue::Main() {
  for (;;) {
    wakeup_->parker.Await(
        [this] { return !ops_.empty() || closing_.load(std::memory_order_acquire); });
    Op* op = ops_.Front();
    if (op == nullptr) return;  // closing: nothing is queued after that
    Execute(*op);
  }
}

void HostQueue::Execute(Op& op) {
  absl::Status status = Broken();
  if (status.ok()) status = AwaitAll(op);
  if (status.ok() && op.kind != Op::Kind::kBarrier) {
    const int64_t start = Clock::Real().MonotonicNanos();
    status = runner_->Run(op);
    // relaxed: a statistic with one writer; a reader that needs it exact waits for a signal first.
    busy_nanos_.store(
        busy_nanos_.load(std::memory_order_relaxed) + Clock::Real().MonotonicNanos() - start,
        std::memory_order_relaxed);
  }
  if (!status.ok()) Break(status);
  // Who waits for the signal may count on the buffers being let go of.
  Fence signal = std::move(op.signal);
  ops_.Pop();
  if (!signal.timeline) return;
  if (status.ok()) {
    signal.timeline->Signal(signal.value);
  } else {
    signal.timeline->Fail(std::move(status));
  }
}

absl::Status HostQueue::AwaitAll(Op& op) {
  for (const Fence& wait : op.waits) {
    Timeline& timeline = *wait.timeline;
    if (timeline.value() >= wait.value) continue;
    const auto over = [&] {
      return timeline.value() >= wait.value || timeline.failed() ||
             broken_.load(std::memory_order_acquire);
    };
    if (!SpinFor(kSpinNanos, over)) {
      timeline.OnReach(wait.value,
                       [wakeup = wakeup_](const absl::Status&) { wakeup->parker.Unpark(); });
      wakeup_->parker.Await(over, /*spin_nanos=*/0);
    }
    if (timeline.value() >= wait.value) {
      if (note_ready_) op.ready_nanos = Clock::Real().MonotonicNanos();
      continue;
    }
    HET_RETURN_IF_ERROR(Broken());
    return timeline.status();
  }
  return absl::OkStatus();
}

}  // namespace het::cpu
