// StepPipeline: items pass through steps in order, several items under way at once. It knows
// nothing of devices: a step either completes inside its function or later, from any thread,
// through a Completion.
//
// - Each step serves items in the order of submission, one call at a time; a step may have up to
//   `max_outstanding` items started and not completed. Completions may come in any order.
// - At most `in_flight` items are between entry and exit; each has a slot of its own. More wait in
// a
//   backlog.
// - An item that fails skips the steps after it; the others go on. After Break every item in flight
//   fails at its next step and every later one at entry.
// - Items leave in order; `leave` is called once for each, one at a time, and may submit.
//
// Threads: Submit, Break and Completion are thread-safe. Steps and `leave` run on the executor's
// workers, or in inline mode on submitting and completing threads. Ownership: the executor outlives
// the pipeline. The destructor waits for every item; do not destroy it from a step or `leave`.
#ifndef HET_RUNTIME_STEP_PIPELINE_H_
#define HET_RUNTIME_STEP_PIPELINE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "runtime/executor.h"

namespace het::runtime {

class StepPipeline {
 public:
  struct Item {
    uint64_t number = 0;  // from 0, in order of submission
    uint32_t slot = 0;    // 0 .. in_flight-1; no two items in flight share one
    void* data = nullptr;
  };

  // The right to complete one item's stay in one step, once. Trivially copyable and two words, so
  // that callbacks carry it without allocating.
  class Completion {
   public:
    void Done(absl::Status status = absl::OkStatus()) const {
      pipeline_->Complete(step_, slot_, std::move(status));
    }

   private:
    friend class StepPipeline;
    Completion(StepPipeline* pipeline, uint32_t step, uint32_t slot)
        : pipeline_(pipeline), step_(step), slot_(slot) {}
    StepPipeline* pipeline_;
    uint32_t step_;
    uint32_t slot_;
  };

  // The item's outcome, or nothing when `completion` will bring it.
  using Outcome = std::optional<absl::Status>;
  static constexpr std::nullopt_t kLater = std::nullopt;
  using Function = absl::AnyInvocable<Outcome(const Item& item, Completion completion)>;
  struct Step {
    Function run;
    uint32_t max_outstanding = 0;  // 0: as many as in flight
  };
  using Leave = absl::AnyInvocable<void(const Item& item, const absl::Status& status)>;

  // `in_flight` >= 1. `leave` may be null.
  StepPipeline(Executor& executor, std::vector<Step> steps, uint32_t in_flight,
               Leave leave = nullptr);
  ~StepPipeline();
  StepPipeline(const StepPipeline&) = delete;
  StepPipeline& operator=(const StepPipeline&) = delete;

  // Returns the item's number.
  uint64_t Submit(void* data);
  // Sticky failure, blamed on `step`. The first one stays.
  void Break(uint32_t step, absl::Status status);

  bool drained() const;
  // Blocks until every submitted item has left: the first failure since the last Drain, or
  // DeadlineExceeded. Not from a step or `leave`.
  absl::Status Drain(absl::Duration timeout = absl::InfiniteDuration());
  // The step that failed first, -1 for none yet.
  int failed_step() const { return failed_step_.load(std::memory_order_acquire); }

 private:
  // One item in flight. Handed from step to step; the ready flags order the accesses.
  struct alignas(64) Slot {
    Item item;
    absl::Status status;
  };

  // Who raises `pending` from 0 holds the step and schedules it; further raises tell the holder to
  // look again. The last step is the exit.
  struct alignas(64) StepState final : Executor::Task {
    StepPipeline* pipeline = nullptr;
    uint32_t index = 0;
    uint32_t max_outstanding = 0;
    Function run;
    // Holder only.
    uint64_t next = 0;  // number of the item to serve next
    uint32_t next_slot = 0;
    uint64_t started_async = 0;
    uint32_t runs = 0;
    // ready[slot] == number + 1: the item completed the step before.
    std::unique_ptr<std::atomic<uint64_t>[]> ready;

    alignas(64) std::atomic<uint64_t> pending{0};
    std::atomic<uint64_t> completed_async{0};

   private:
    bool Run() override { return pipeline->RunStep(*this); }
  };

  bool RunStep(StepState& step);
  bool HasNext(const StepState& step) const;
  void Admit(StepState& entry);
  Outcome Call(StepState& step, Slot& slot);
  void LeaveItem(Slot& slot);
  void RecordFailure(uint32_t step, const absl::Status& status);
  void Complete(uint32_t step, uint32_t slot, absl::Status status);
  void Pass(uint32_t to_step, const Item& item);
  void Activate(StepState& step);

  Executor& executor_;
  const uint32_t in_flight_;
  const uint32_t exit_;
  Leave leave_;
  std::unique_ptr<StepState[]> steps_;
  std::unique_ptr<Slot[]> slots_;

  std::atomic<int> failed_step_{-1};
  std::atomic<bool> broken_{false};
  std::atomic<uint64_t> backlog_size_{0};  // a look without the lock; Activate orders it
  alignas(64) std::atomic<uint64_t> submitted_{0};
  std::atomic<uint64_t> left_{0};
  std::atomic<uint32_t> completing_{0};  // threads inside Complete

  mutable absl::Mutex mutex_;
  absl::CondVar drained_;
  std::deque<void*> backlog_ ABSL_GUARDED_BY(mutex_);
  absl::Status broken_status_ ABSL_GUARDED_BY(mutex_);
  absl::Status first_failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_STEP_PIPELINE_H_
