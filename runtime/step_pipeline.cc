#include "runtime/step_pipeline.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace het::runtime {
namespace {

// One call in so many is timed: two clock reads would cost more than an empty step.
constexpr uint32_t kSampleEvery = 32;

int64_t NowNanos() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

StepPipeline::StepPipeline(Executor& executor, std::vector<Step> steps, uint32_t in_flight,
                           Leave leave)
    : executor_(executor),
      in_flight_(in_flight == 0 ? 1 : in_flight),
      exit_(static_cast<uint32_t>(steps.size())),
      leave_(std::move(leave)),
      steps_(new StepState[steps.size() + 1]),
      slots_(new Slot[in_flight_]) {
  for (uint32_t i = 0; i <= exit_; ++i) {
    StepState& state = steps_[i];
    state.pipeline = this;
    state.index = i;
    state.max_outstanding = in_flight_;
    if (i < exit_) {
      state.run = std::move(steps[i].run);
      if (steps[i].max_outstanding != 0 && steps[i].max_outstanding < in_flight_) {
        state.max_outstanding = steps[i].max_outstanding;
      }
    }
    state.ready.reset(new std::atomic<uint64_t>[in_flight_]);
    for (uint32_t slot = 0; slot < in_flight_; ++slot) state.ready[slot].store(0);
  }
  for (uint32_t slot = 0; slot < in_flight_; ++slot) slots_[slot].item.slot = slot;
}

StepPipeline::~StepPipeline() {
  Drain().IgnoreError();
  // Every item has left. What can remain are the last instructions of threads that completed or
  // served one. Exit first: it is the last that may still activate another (the entry).
  while (completing_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  for (uint32_t i = exit_ + 1; i-- > 0;) {
    while (steps_[i].pending.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  }
}

uint64_t StepPipeline::Submit(void* data) {
  uint64_t number;
  {
    absl::MutexLock lock(&mutex_);
    number = submitted_.load(std::memory_order_relaxed);
    submitted_.store(number + 1, std::memory_order_release);
    backlog_.push_back(data);
    backlog_size_.store(backlog_.size(), std::memory_order_relaxed);
  }
  Activate(steps_[0]);
  return number;
}

void StepPipeline::Break(uint32_t step, absl::Status status) {
  int none = -1;
  failed_step_.compare_exchange_strong(none, static_cast<int>(step), std::memory_order_acq_rel);
  absl::MutexLock lock(&mutex_);
  if (broken_.load(std::memory_order_relaxed)) return;
  broken_status_ = std::move(status);
  // release: who sees it may read the status under the lock.
  broken_.store(true, std::memory_order_release);
}

bool StepPipeline::drained() const {
  // In this order: an item counts as submitted before it can leave.
  const uint64_t left = left_.load(std::memory_order_acquire);
  return left == submitted_.load(std::memory_order_acquire);
}

absl::Status StepPipeline::Drain(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  absl::MutexLock lock(&mutex_);
  while (!drained()) {
    if (drained_.WaitWithDeadline(&mutex_, deadline) && !drained()) {
      const uint64_t left = left_.load(std::memory_order_acquire);
      return absl::DeadlineExceededError(
          absl::StrCat("waited ", absl::FormatDuration(timeout), "; ", left, " of ",
                       submitted_.load(std::memory_order_acquire), " items are done"));
    }
  }
  return std::exchange(first_failure_, absl::OkStatus());
}

void StepPipeline::Activate(StepState& step) {
  // acq_rel: the holder that sees this raise sees what made it; see RunStep for the other half.
  if (step.pending.fetch_add(1, std::memory_order_acq_rel) == 0) executor_.Schedule(&step);
}

bool StepPipeline::HasNext(const StepState& step) const {
  if (step.started_async - step.completed_async.load(std::memory_order_acquire) >=
      step.max_outstanding) {
    return false;
  }
  if (step.index > 0) {
    return step.ready[step.next_slot].load(std::memory_order_acquire) == step.next + 1;
  }
  return backlog_size_.load(std::memory_order_relaxed) > 0 &&
         step.next - left_.load(std::memory_order_acquire) < in_flight_;
}

// Serves one item and says whether there is another one. `seen` is read before looking: a raise
// that comes after it makes the subtraction leave something, and we look again.
bool StepPipeline::RunStep(StepState& step) {
  uint64_t seen = step.pending.load(std::memory_order_acquire);
  if (HasNext(step)) {
    if (step.index == 0) Admit(step);
    Slot& slot = slots_[step.next_slot];
    ++step.next;
    if (++step.next_slot == in_flight_) step.next_slot = 0;
    if (step.index == exit_) {
      LeaveItem(slot);
    } else if (Outcome outcome = Call(step, slot)) {
      if (!outcome->ok()) {
        RecordFailure(step.index, *outcome);
        slot.status = *std::move(outcome);
      }
      Pass(step.index + 1, slot.item);
    } else {
      ++step.started_async;  // the slot may be another thread's by now
    }
    seen = step.pending.load(std::memory_order_acquire);
  }
  for (;;) {
    if (HasNext(step)) return true;
    // The last access to the step and the pipeline when it gives the step up.
    if (step.pending.fetch_sub(seen, std::memory_order_acq_rel) == seen) return false;
    seen = step.pending.load(std::memory_order_acquire);
  }
}

void StepPipeline::Admit(StepState& entry) {
  Slot& slot = slots_[entry.next_slot];
  absl::MutexLock lock(&mutex_);
  slot.item.number = entry.next;
  slot.item.data = backlog_.front();
  backlog_.pop_front();
  backlog_size_.store(backlog_.size(), std::memory_order_relaxed);
}

StepPipeline::Outcome StepPipeline::Call(StepState& step, Slot& slot) {
  if (!slot.status.ok()) return absl::OkStatus();  // failed before: passes by
  if (broken_.load(std::memory_order_acquire)) {
    absl::MutexLock lock(&mutex_);
    return broken_status_;
  }
  const Completion completion(this, step.index, slot.item.slot);
  if (step.runs++ % kSampleEvery != 0) return step.run(slot.item, completion);
  const int64_t start = NowNanos();
  Outcome outcome = step.run(slot.item, completion);
  step.Took(NowNanos() - start);
  return outcome;
}

void StepPipeline::RecordFailure(uint32_t step, const absl::Status& status) {
  int none = -1;
  failed_step_.compare_exchange_strong(none, static_cast<int>(step), std::memory_order_acq_rel);
  absl::MutexLock lock(&mutex_);
  if (first_failure_.ok()) first_failure_ = status;
}

void StepPipeline::Complete(uint32_t step_index, uint32_t slot_index, absl::Status status) {
  // Before the item can pass on: the destructor waits for this thread then.
  completing_.fetch_add(1, std::memory_order_acq_rel);
  StepState& step = steps_[step_index];
  Slot& slot = slots_[slot_index];
  const Item item = slot.item;
  if (!status.ok()) {
    RecordFailure(step_index, status);
    slot.status = std::move(status);
  }
  // release: pairs with HasNext, which then also sees the slot's new state.
  step.completed_async.fetch_add(1, std::memory_order_release);
  Pass(step_index + 1, item);
  // Somebody may be waiting for room in this step.
  if (step.max_outstanding < in_flight_) Activate(step);
  completing_.fetch_sub(1, std::memory_order_release);
}

void StepPipeline::Pass(uint32_t to_step, const Item& item) {
  StepState& step = steps_[to_step];
  const uint64_t number = item.number;
  step.ready[item.slot].store(number + 1, std::memory_order_release);
  Activate(step);
}

void StepPipeline::LeaveItem(Slot& slot) {
  const absl::Status status = std::exchange(slot.status, absl::OkStatus());
  if (leave_) leave_(slot.item, status);
  const uint64_t left = left_.load(std::memory_order_relaxed) + 1;
  // release: the slot is the entry's again.
  left_.store(left, std::memory_order_release);
  if (left == submitted_.load(std::memory_order_acquire)) {
    absl::MutexLock lock(&mutex_);
    drained_.SignalAll();
  }
  Activate(steps_[0]);
}

}  // namespace het::runtime
