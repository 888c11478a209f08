#include "devices/streams/completions.h"

#include <utility>

#include "base/clock.h"
#include "devices/streams/timeline.h"

namespace het::streams {
namespace {

// How long the thread asks before it sleeps: waking up costs tens of microseconds, which a pipeline
// pays at every hop. Only where there are cores to spare.
int64_t SpinNanos() {
  static const int64_t nanos = std::thread::hardware_concurrency() >= 8 ? 50'000 : 0;
  return nanos;
}

}  // namespace

void Completions::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    ends_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void Completions::Push(Ref<Record> record) {
  pending_.fetch_add(1, std::memory_order_relaxed);
  absl::MutexLock lock(&mutex_);
  records_.push_back(std::move(record));
  if (!thread_.joinable()) thread_ = std::thread([this] { Work(); });
}

void Completions::WaitEnded(Record& record, const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  --record.open_waits;
  if (record.failure.ok()) record.failure = status;
}

absl::Status Completions::broken() const {
  absl::MutexLock lock(&mutex_);
  return broken_;
}

void Completions::Work() {
  const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !records_.empty() || ends_;
  };
  while (true) {
    Ref<Record> record;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&wanted));
      if (records_.empty()) return;
      record = std::move(records_.front());
      records_.pop_front();
    }
    absl::Status outcome = Await(*record);
    {
      absl::MutexLock lock(&mutex_);
      if (broken_.ok() && !outcome.ok()) {
        broken_ = outcome;
        // release: whoever sees the flag may take the lock and read why.
        is_broken_.store(true, std::memory_order_release);
      }
      outcome = broken_;
    }
    Finish(*record, outcome);
  }
}

absl::Status Completions::Await(Record& record) {
  int error = 0;
  if (record.end) {
    const Current current(gpu_);
    const int64_t patience = Clock::Real().MonotonicNanos() + SpinNanos();
    do {
      error = gpu_.Query(record.end->handle());
    } while (gpu_.IsNotReady(error) && Clock::Real().MonotonicNanos() < patience);
    if (gpu_.IsNotReady(error)) error = gpu_.Await(record.end->handle());
  }
  const auto told = [&record, this]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return record.open_waits == 0; };
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&told));
  if (!record.failure.ok() || error == 0) return record.failure;
  const absl::Status failure = gpu_.Error(error, "work failed on the device");
  // What the work should have written is not there.
  return absl::IsResourceExhausted(failure) ? failure : absl::DataLossError(failure.message());
}

void Completions::Finish(Record& record, const absl::Status& outcome) {
  if (outcome.ok() && record.begin) {
    const Current current(gpu_);
    float milliseconds = 0;
    if (gpu_.Elapsed(&milliseconds, record.begin->handle(), record.end->handle()) == 0 &&
        milliseconds > 0) {
      busy_nanos_.fetch_add(static_cast<int64_t>(double{milliseconds} * 1e6),
                            std::memory_order_relaxed);
    }
  }
  // Before the signal: whoever sees it may count the device's memory.
  record.keep.clear();
  record.begin = nullptr;
  record.end = nullptr;
  const Fence signal = std::move(record.signal);
  // Before the signal, too: who sees it may rely on the queue's being idle.
  pending_.fetch_sub(1, std::memory_order_release);
  if (!signal.timeline) return;
  if (outcome.ok()) {
    signal.timeline->Signal(signal.value);
  } else {
    signal.timeline->Fail(outcome);
  }
  // After the signal: who finds no event for a value may then rely on its being reached.
  if (auto* timeline = dynamic_cast<StreamTimeline*>(signal.timeline.get())) {
    timeline->Forget(signal.value);
  }
}

}  // namespace het::streams
