#include "devices/opencl/completions.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/clock.h"
#include "devices/opencl/errors.h"
#include "devices/opencl/timeline.h"

namespace het::opencl {
namespace {

// Records whose driver callback is still to come, and perhaps never comes (a failed command on PoCL
// and rusticl). They stay reachable here for as long, because the driver holds their address.
class Awaited {
 public:
  static Awaited& The() {
    static Awaited* const awaited = new Awaited;  // never destroyed: callbacks may come at exit
    return *awaited;
  }
  void Insert(Record* record) {
    record->AddRef();
    absl::MutexLock lock(&mutex_);
    records_.insert(record);
  }
  // Gives the reference to the caller.
  Ref<Record> Remove(Record* record) {
    {
      absl::MutexLock lock(&mutex_);
      records_.erase(record);
    }
    return Ref<Record>::Adopt(record);
  }

 private:
  absl::Mutex mutex_;
  std::set<Record*> records_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

Record::~Record() {
  if (first != nullptr) api.clReleaseEvent(first);
  if (last != nullptr) api.clReleaseEvent(last);
}

void Completions::Push(Ref<Record> record) {
  record->owner = Ref<Completions>(this);
  record->ended = !record->failure.ok();
  absl::MutexLock lock(&mutex_);
  records_.push_back(std::move(record));
}

void Completions::Watch(const Ref<Record>& record) {
  if (record->last == nullptr) {  // not queued
    Drain();
    return;
  }
  Awaited::The().Insert(record.get());
  const cl_int error = api_.clSetEventCallback(record->last, CL_COMPLETE, OnEvent, record.get());
  if (error != CL_SUCCESS) {
    Awaited::The().Remove(record.get());
    CommandEnded(*record, error);
  }
}

void CL_CALLBACK Completions::OnEvent(cl_event, cl_int status, void* user) {
  const Ref<Record> record = Awaited::The().Remove(static_cast<Record*>(user));
  const Ref<Completions> owner = record->owner;
  owner->CommandEnded(*record, status);
}

void Completions::CommandEnded(Record& record, cl_int status) {
  CheckEarlier(record);
  {
    absl::MutexLock lock(&mutex_);
    record.command_ended = true;
    record.end_nanos = Clock::Real().MonotonicNanos();
    record.command_failure = ExecutionStatus(status, "an OpenCL command failed on the device");
    EndIfComplete(record);
  }
  Drain();
}

void Completions::EndIfComplete(Record& record) {
  if (record.open_waits == 0 && record.command_ended && record.failure.ok()) {
    record.failure = record.command_failure;
    record.ended = true;
  }
  if (!record.failure.ok()) record.ended = true;
}

void Completions::CheckEarlier(const Record& record) {
  absl::MutexLock lock(&mutex_);
  for (const Ref<Record>& earlier : records_) {
    if (earlier.get() == &record) break;
    if (earlier->ended || earlier->command_ended) continue;
    cl_int status = CL_COMPLETE;
    api_.clGetEventInfo(earlier->last, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status,
                        nullptr);
    if (status < 0) {
      earlier->command_ended = true;
      earlier->command_failure = ExecutionStatus(status, "an OpenCL command failed on the device");
      EndIfComplete(*earlier);
    }
  }
}

void Completions::WaitEnded(Record& record, const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    --record.open_waits;
    record.begin_nanos = std::max(record.begin_nanos, Clock::Real().MonotonicNanos());
    if (record.failure.ok()) record.failure = status;
    EndIfComplete(record);
  }
  Drain();
}

void Completions::Drain() {
  {
    absl::MutexLock lock(&mutex_);
    if (draining_) return;
    draining_ = true;
  }
  while (true) {
    Ref<Record> record;
    absl::Status outcome;
    {
      absl::MutexLock lock(&mutex_);
      if (records_.empty() || (!records_.front()->ended && broken_.ok())) {
        draining_ = false;
        return;
      }
      record = std::move(records_.front());
      records_.pop_front();
      if (broken_.ok() && !record->failure.ok()) {
        broken_ = record->failure;
        // release: whoever sees the flag may take the lock and read why.
        is_broken_.store(true, std::memory_order_release);
      }
      outcome = broken_;
      if (!outcome.ok()) {
        std::move(record->keep.begin(), record->keep.end(), std::back_inserter(orphans_));
      }
    }
    Finish(*record, outcome);
  }
}

void Completions::Finish(Record& record, const absl::Status& outcome) {
  if (outcome.ok() && record.has_work) {
    busy_nanos_.fetch_add(BusyNanos(record), std::memory_order_relaxed);
  }
  // Before the signal: whoever sees it may count the device's memory.
  record.keep.clear();
  const Fence signal = std::move(record.signal);
  if (!signal.timeline) return;
  if (outcome.ok()) {
    signal.timeline->Signal(signal.value);
  } else {
    signal.timeline->Fail(outcome);
  }
  // After the signal: who finds no event for a value may then rely on its being reached.
  if (auto* timeline = dynamic_cast<ClTimeline*>(signal.timeline.get())) {
    timeline->Forget(signal.value);
  }
}

int64_t Completions::BusyNanos(const Record& record) {
  int64_t begin = record.begin_nanos, end = record.end_nanos;
  if (profiles_ && record.first != nullptr) {
    cl_ulong started = 0, ended = 0;
    if (api_.clGetEventProfilingInfo(record.first, CL_PROFILING_COMMAND_START, sizeof(started),
                                     &started, nullptr) != CL_SUCCESS ||
        api_.clGetEventProfilingInfo(record.last, CL_PROFILING_COMMAND_END, sizeof(ended), &ended,
                                     nullptr) != CL_SUCCESS) {
      return 0;
    }
    begin = static_cast<int64_t>(started);
    end = static_cast<int64_t>(ended);
  }
  begin = std::max(begin, busy_until_);
  busy_until_ = std::max(busy_until_, end);
  return std::max<int64_t>(0, end - begin);
}

absl::Status Completions::broken() const {
  absl::MutexLock lock(&mutex_);
  return broken_;
}

void Completions::WaitUntilEmpty() {
  const auto empty = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return records_.empty() && !draining_;
  };
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&empty));
}

void Completions::ReleaseOrphans() {
  std::vector<Ref<RefCounted>> orphans;
  {
    absl::MutexLock lock(&mutex_);
    orphans.swap(orphans_);
  }
}

}  // namespace het::opencl
