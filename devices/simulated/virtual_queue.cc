#include "devices/simulated/virtual_queue.h"

#include "base/status.h"
#include "devices/cpu/native_program.h"

namespace het::simulated {

absl::Status VirtualWork::Add(Item item) {
  bool first = false;
  {
    absl::MutexLock lock(&mutex_);
    if (absl::Status lost = faults_->lost(); !lost.ok()) return lost;
    items_.push_back(std::move(item));
    count_.store(items_.size(), std::memory_order_release);
    first = items_.size() == 1;
  }
  if (first) AdvanceLater();
  return absl::OkStatus();
}

void VirtualWork::AdvanceLater() {
  clock_->At(clock_->NowNanos(), [self = Ref<VirtualWork>(this)] { self->Advance(); });
}

void VirtualWork::Advance() {
  Signals signals;
  Fence wait;
  std::vector<Item> done;
  {
    absl::MutexLock lock(&mutex_);
    while (state_ == State::kIdle && !items_.empty() && StartFirst(signals, wait)) {
    }
    done.swap(done_);
  }
  done.clear();
  if (wait.timeline) {
    // Called at once when it was reached meanwhile. Whoever signals does not drive: an event does.
    wait.timeline->OnReach(wait.value, [self = Ref<VirtualWork>(this)](const absl::Status&) {
      {
        absl::MutexLock lock(&self->mutex_);
        if (self->state_ == State::kWaiting) self->state_ = State::kIdle;
      }
      self->AdvanceLater();
    });
  }
  Tell(std::move(signals));
}

bool VirtualWork::StartFirst(Signals& signals, Fence& wait) {
  const Item& item = items_.front();
  if (!failure_.ok()) {
    DropFirst(failure_, signals);
    return true;
  }
  for (const Fence& fence : item.waits) {
    if (fence.timeline->value() >= fence.value) continue;
    if (fence.timeline->failed()) {
      failure_ = fence.timeline->status();
      DropFirst(failure_, signals);
      return true;
    }
    state_ = State::kWaiting;
    wait = fence;
    return false;
  }
  const int64_t now = clock_->NowNanos();
  Span span = {now, now};
  if (item.cost.engine != nullptr) span = item.cost.engine->Reserve(now, item.cost.nanos);
  state_ = State::kRunning;
  // An event of its own: what happens to the device until then comes first, and a loss calls back,
  // which must not be under the lock.
  const uint64_t number = number_;
  const auto start = [self = Ref<VirtualWork>(this), number, span,
                      counts = item.cost.engine != nullptr] {
    const FaultState::Verdict verdict =
        counts ? self->faults_->BeforeOp(span.start - self->opened_) : FaultState::Verdict::kRun;
    if (verdict != FaultState::Verdict::kRun) return;  // lost: Break has come; hung: nothing comes
    self->clock_->At(span.end, [self, number] { self->Complete(number); });
  };
  clock_->At(span.start, start);
  return false;
}

void VirtualWork::Complete(uint64_t number) {
  Signals signals;
  std::vector<Item> done;
  {
    absl::MutexLock lock(&mutex_);
    // Broken meanwhile: the items are gone.
    if (items_.empty() || number_ != number || state_ != State::kRunning) return;
    busy_nanos_.fetch_add(items_.front().cost.nanos, std::memory_order_relaxed);
    DropFirst(absl::OkStatus(), signals);
    done.swap(done_);
  }
  done.clear();
  Advance();
  Tell(std::move(signals));
}

void VirtualWork::DropFirst(const absl::Status& status, Signals& signals) {
  Item& item = items_.front();
  if (item.signal.timeline) signals.emplace_back(std::move(item.signal), status);
  done_.push_back(std::move(item));
  items_.pop_front();
  count_.store(items_.size(), std::memory_order_release);
  state_ = State::kIdle;
  ++number_;
}

void VirtualWork::Break(const absl::Status& status) {
  Signals signals;
  std::vector<Item> done;
  {
    absl::MutexLock lock(&mutex_);
    if (failure_.ok()) failure_ = status;
    while (!items_.empty()) DropFirst(failure_, signals);
    done.swap(done_);
  }
  done.clear();
  Tell(std::move(signals));
}

void VirtualWork::Tell(Signals signals) {
  for (auto& [fence, status] : signals) {
    if (status.ok()) {
      fence.timeline->Signal(fence.value);
    } else {
      fence.timeline->Fail(status);
    }
  }
}

VirtualQueue::VirtualQueue(SimulatedDevice& device, QueueKind kind,
                           std::shared_ptr<VirtualClock> clock, int64_t opened)
    : Queue(device, kind),
      device_(device),
      clock_(std::move(clock)),
      work_(MakeRef<VirtualWork>(clock_, device.faults(), opened)) {
  device_.faults().Watch(work_);
}

VirtualQueue::~VirtualQueue() {
  clock_->RunUntil([this] { return work_->empty(); });
  device_.faults().Unwatch(work_.get());
  work_->Break(
      absl::CancelledError("the queue was destroyed, and what was left on it could never end"));
}

absl::Status VirtualQueue::Add(Cost cost, std::initializer_list<Buffer*> buffers,
                               const Sync& sync) {
  VirtualWork::Item item;
  item.cost = cost;
  item.waits.assign(sync.waits.begin(), sync.waits.end());
  item.signal = sync.signal;
  for (Buffer* buffer : buffers) item.buffers.emplace_back(buffer);
  return work_->Add(std::move(item));
}

absl::Status VirtualQueue::DoWrite(const void*, Buffer& to, uint64_t, uint64_t bytes,
                                   const Sync& sync) {
  return Add(device_.CopyCost(cpu::Op::Route::kToDevice, bytes), {&to}, sync);
}

absl::Status VirtualQueue::DoRead(Buffer& from, uint64_t, void*, uint64_t bytes, const Sync& sync) {
  return Add(device_.CopyCost(cpu::Op::Route::kFromDevice, bytes), {&from}, sync);
}

absl::Status VirtualQueue::DoCopy(Buffer& from, uint64_t, Buffer& to, uint64_t, uint64_t bytes,
                                  const Sync& sync) {
  return Add(device_.CopyCost(cpu::Op::Route::kWithin, bytes), {&from, &to}, sync);
}

absl::Status VirtualQueue::DoFill(Buffer& to, uint64_t, uint64_t bytes, uint8_t, const Sync& sync) {
  return Add(device_.FillCost(bytes), {&to}, sync);
}

absl::Status VirtualQueue::DoSubmit(const Launch& launch, const Sync& sync) {
  HET_ASSIGN_OR_RETURN(const cpu::NativeProgram::Entry* entry,
                       cpu::NativeProgram::EntryOf(*launch.kernel));
  VirtualWork::Item item;
  item.cost = device_.LaunchCost(entry->name(), launch.groups[0], launch.work);
  item.waits.assign(sync.waits.begin(), sync.waits.end());
  item.signal = sync.signal;
  for (const BufferArg& arg : launch.buffers) item.buffers.emplace_back(arg.buffer);
  item.program = Ref<Program>(&entry->program());
  return work_->Add(std::move(item));
}

absl::Status VirtualQueue::DoBarrier(const Sync& sync) { return Add(Cost(), {}, sync); }

}  // namespace het::simulated
