#include "runtime/gated_queue.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/status.h"
#include "devices/device.h"
#include "devices/recording.h"

namespace het::runtime {
namespace {

// A batch is one turn on the device: long enough that turns cost little, short enough that others
// wait little. Stages of a pipeline end theirs themselves.
constexpr uint32_t kMostOperations = 64;
constexpr uint64_t kFirstEstimateNanos = 100'000;

// What a lease records is cut where its turns are: each part is an operation of at most as many
// commands as a batch has, so that a replay holds the device no longer than its launches would.
class GatedRecording final : public Recording {
 public:
  GatedRecording(Device& device, size_t size, std::vector<Ref<Recording>> parts)
      : Recording(device, size), parts_(std::move(parts)) {}
  const std::vector<Ref<Recording>>& parts() const { return parts_; }

 private:
  const std::vector<Ref<Recording>> parts_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Queue>> GatedQueue::Create(std::unique_ptr<Queue> behind,
                                                          Ref<Gate> gate) {
  HET_ASSIGN_OR_RETURN(Ref<Timeline> done, behind->device().CreateTimeline());
  return std::unique_ptr<Queue>(
      new GatedQueue(std::move(behind), std::move(gate), std::move(done)));
}

GatedQueue::GatedQueue(std::unique_ptr<Queue> behind, Ref<Gate> gate, Ref<Timeline> done)
    : Queue(behind->device(), behind->kind()),
      behind_(std::move(behind)),
      gate_(std::move(gate)),
      done_(std::move(done)),
      estimate_ns_(kFirstEstimateNanos) {}

GatedQueue::~GatedQueue() {
  {
    absl::MutexLock lock(&mutex_);
    EndBatch();
  }
  RunPutOff();
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(
      +[](GatedQueue* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
        return self->kept_.empty() && self->callbacks_ == 0;
      },
      this));
}

absl::Status GatedQueue::DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                                 const Sync& sync) {
  return Take({[host, to = Ref<Buffer>(&to), offset, bytes](Queue& queue, const Sync& with) {
                 return queue.Write(host, *to, offset, bytes, with);
               },
               {sync.waits.begin(), sync.waits.end()},
               sync.signal});
}

absl::Status GatedQueue::DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                                const Sync& sync) {
  return Take({[from = Ref<Buffer>(&from), offset, host, bytes](Queue& queue, const Sync& with) {
                 return queue.Read(*from, offset, host, bytes, with);
               },
               {sync.waits.begin(), sync.waits.end()},
               sync.signal});
}

absl::Status GatedQueue::DoCopy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                                uint64_t bytes, const Sync& sync) {
  return Take({[from = Ref<Buffer>(&from), from_offset, to = Ref<Buffer>(&to), to_offset, bytes](
                   Queue& queue, const Sync& with) {
                 return queue.Copy(*from, from_offset, *to, to_offset, bytes, with);
               },
               {sync.waits.begin(), sync.waits.end()},
               sync.signal});
}

absl::Status GatedQueue::DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                                const Sync& sync) {
  return Take({[to = Ref<Buffer>(&to), offset, bytes, value](Queue& queue, const Sync& with) {
                 return queue.Fill(*to, offset, bytes, value, with);
               },
               {sync.waits.begin(), sync.waits.end()},
               sync.signal});
}

absl::Status GatedQueue::DoSubmit(const Launch& launch, const Sync& sync) {
  return Take({[kept = KeptLaunch(launch)](Queue& queue, const Sync& with) {
                 return queue.Submit(kept.launch(), with);
               },
               {sync.waits.begin(), sync.waits.end()},
               sync.signal});
}

absl::Status GatedQueue::DoMultiply(const MatrixProduct& product, const Sync& sync) {
  return Take({[product, w = Ref<Buffer>(product.w.buffer), x = Ref<Buffer>(product.x.buffer),
                y = Ref<Buffer>(product.y.buffer)](Queue& queue, const Sync& with) {
                 return queue.Multiply(product, with);
               },
               {sync.waits.begin(), sync.waits.end()},
               sync.signal});
}

// No work of the device's, and so no turn.
absl::StatusOr<Ref<Recording>> GatedQueue::DoRecord(absl::Span<const Command> commands) {
  std::vector<Ref<Recording>> parts;
  for (size_t at = 0; at < commands.size(); at += kMostOperations) {
    HET_ASSIGN_OR_RETURN(Ref<Recording> part,
                         behind_->RecordCommands(commands.subspan(at, kMostOperations)));
    parts.push_back(std::move(part));
  }
  return Ref<Recording>(MakeRef<GatedRecording>(device(), commands.size(), std::move(parts)));
}

absl::Status GatedQueue::DoReplay(Recording& recording, const Sync& sync) {
  const auto* gated = dynamic_cast<const GatedRecording*>(&recording);
  if (gated == nullptr) {
    return absl::InvalidArgumentError(
        "replay: the recording was made on a queue that wraps one of the caller's, and this one "
        "waits for the lease's turn");
  }
  for (const Ref<Recording>& part : gated->parts()) {
    Operation operation{
        [part](Queue& queue, const Sync& with) { return queue.Replay(*part, with); }, {}, {}};
    operation.commands = static_cast<uint32_t>(part->size());
    if (part == gated->parts().front()) {
      operation.waits.assign(sync.waits.begin(), sync.waits.end());
    }
    if (part == gated->parts().back()) operation.signal = sync.signal;
    HET_RETURN_IF_ERROR(Take(std::move(operation)));
  }
  return absl::OkStatus();
}

absl::Status GatedQueue::DoBarrier(const Sync& sync) {
  return Take({[](Queue& queue, const Sync& with) { return queue.Barrier(with); },
               {sync.waits.begin(), sync.waits.end()},
               sync.signal});
}

absl::Status GatedQueue::DoFlush() {
  return Take({[](Queue& queue, const Sync&) { return queue.Flush(); }, {}, {}, true});
}

absl::Status GatedQueue::Take(Operation operation) {
  const auto take = [&]() -> absl::Status {
    absl::MutexLock lock(&mutex_);
    HET_RETURN_IF_ERROR(broken_);
    // Nothing of one's own to wait for: the usual way, and its errors are the call's.
    if (kept_.empty() && WaitsReached(operation)) {
      if (operation.flush && !pass_) return behind_->Flush();
      if (HasPass()) return PutOne(operation);
    }
    kept_.push_back(std::move(operation));
    Advance();
    return absl::OkStatus();
  };
  absl::Status status = take();
  RunPutOff();
  return status;
}

void GatedQueue::RunPutOff() {
  std::vector<absl::AnyInvocable<void()>> put_off;
  {
    absl::MutexLock lock(&mutex_);
    put_off.swap(put_off_);
  }
  for (auto& run : put_off) run();
}

bool GatedQueue::HasPass() {
  if (!pass_) pass_ = gate_->Try(estimate_ns_);
  return pass_.has_value();
}

bool GatedQueue::WaitsReached(Operation& operation) {
  for (const Fence& wait : operation.waits) {
    if (wait.timeline->value() >= wait.value || wait.timeline->failed()) continue;
    // The work before it goes on; this one asks for the device when it can use it.
    EndBatch();
    if (!waiting_) {
      waiting_ = true;
      ++callbacks_;
      put_off_.push_back([this, fence = wait] {
        fence.timeline->OnReach(fence.value, [this](const absl::Status&) { Reached(); });
      });
    }
    return false;
  }
  return true;
}

absl::Status GatedQueue::PutOne(Operation& operation) {
  absl::Status status = operation.put(*behind_, Sync{operation.waits, operation.signal});
  batch_operations_ += operation.commands;
  const bool ends =
      operation.flush || operation.signal.timeline || batch_operations_ >= kMostOperations;
  if (ends || !status.ok()) EndBatch();
  return status;
}

void GatedQueue::EndBatch() {
  if (!pass_) return;
  const Gate::Pass pass = *std::exchange(pass_, std::nullopt);
  batch_operations_ = 0;
  const uint64_t value = ++batches_;
  absl::Status status = behind_->Barrier(Sync{{}, Fence{done_, value}});
  if (status.ok()) status = behind_->Flush();
  if (!status.ok()) {
    gate_->Done(pass);
    if (broken_.ok()) broken_ = status;
    return;
  }
  ++callbacks_;
  put_off_.push_back([this, value, pass] {
    done_->OnReach(value, [this, pass](const absl::Status&) { Completed(pass); });
  });
}

void GatedQueue::Advance() {
  while (!kept_.empty() && !asked_ && !waiting_) {
    if (!broken_.ok()) return FailKept(broken_);
    Operation& next = kept_.front();
    if (!WaitsReached(next)) return;
    if (!HasPass()) {
      asked_ = true;
      ++callbacks_;
      gate_->Ask(estimate_ns_,
                 [this](absl::StatusOr<Gate::Pass> pass) { Granted(std::move(pass)); });
      return;
    }
    Operation operation = std::move(next);
    kept_.pop_front();
    const absl::Status status = PutOne(operation);
    if (status.ok()) continue;
    broken_ = status;
    kept_.push_front(std::move(operation));  // fails with the others
  }
}

void GatedQueue::FailKept(const absl::Status& status) {
  while (!kept_.empty()) {
    Operation operation = std::move(kept_.front());
    kept_.pop_front();
    if (!operation.signal.timeline) continue;
    put_off_.push_back([timeline = operation.signal.timeline, status] { timeline->Fail(status); });
  }
}

void GatedQueue::Granted(absl::StatusOr<Gate::Pass> pass) {
  {
    absl::MutexLock lock(&mutex_);
    asked_ = false;
    if (pass.ok()) {
      pass_ = *pass;
      Advance();
      if (kept_.empty() && batch_operations_ == 0) EndBatch();
    } else {
      broken_ = pass.status();
      FailKept(broken_);
    }
  }
  RunPutOff();
  absl::MutexLock lock(&mutex_);
  --callbacks_;
}

void GatedQueue::Reached() {
  {
    absl::MutexLock lock(&mutex_);
    waiting_ = false;
    Advance();
  }
  RunPutOff();
  absl::MutexLock lock(&mutex_);
  --callbacks_;
}

void GatedQueue::Completed(const Gate::Pass& pass) {
  int64_t device = behind_->busy_nanos();
  {
    absl::MutexLock lock(&mutex_);
    device -= std::exchange(device_ns_, std::max(device_ns_, device));
  }
  const uint64_t busy = gate_->Done(pass, std::max<int64_t>(0, device));
  absl::MutexLock lock(&mutex_);
  estimate_ns_ = estimate_ns_ - estimate_ns_ / 4 + busy / 4;
  --callbacks_;
}

}  // namespace het::runtime
