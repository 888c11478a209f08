// Executor: a few worker threads that run short tasks, or none (inline mode: tasks run on whichever
// thread makes them ready, one at a time, which is what a virtual clock needs).
//
// A Task is run by one thread at a time: whoever schedules it hands it over, and Run gives it back
// or keeps it. Tasks never wait on a device; they start work and return, and the work's completion
// schedules the next task. A worker follows the task that its own task made ready without touching
// a queue, and keeps the rest in its own deque. Idle workers take from it only what is worth a trip
// between cores (kLongNanos), so a chain of tiny tasks stays on one core and a chain of big ones
// spreads.
//
// Threads: Schedule is thread-safe and never blocks for long. Ownership: tasks belong to the
// caller; a scheduled task must live until it ran, and all tasks must be done before the executor
// goes. Failures: none of its own.
#ifndef HET_RUNTIME_EXECUTOR_H_
#define HET_RUNTIME_EXECUTOR_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace het::runtime {

class Executor {
 public:
  // A task that takes less is not worth another worker: a wake-up costs several times that.
  static constexpr int64_t kLongNanos = 3000;

  class Task {
   public:
    virtual ~Task() = default;

    // Run says now and then how long it took; the executor places the task by it.
    void Took(int64_t nanos);

   private:
    friend class Executor;
    // True: run me again. False: the task is not the executor's any more (and may be gone).
    virtual bool Run() = 0;
    bool IsLong() const { return typical_nanos_.load(std::memory_order_relaxed) > kLongNanos; }

    // Smoothed; unknown counts as long. Relaxed: a hint for other workers, written by the holder.
    std::atomic<int64_t> typical_nanos_{INT64_MAX};
  };

  // `workers` >= 0; 0 is inline mode.
  explicit Executor(int workers);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  void Schedule(Task* task);
  bool is_inline() const { return workers_.empty(); }

 private:
  // One worker's own tasks. The owner uses the back, others take from the front.
  struct alignas(64) Worker {
    absl::Mutex mutex;
    std::deque<Task*> tasks ABSL_GUARDED_BY(mutex);
    std::atomic<uint32_t> size{0};     // a hint for looking without the lock
    std::atomic<bool> in_long{false};  // runs a long task now: its others may be taken
    Executor* executor = nullptr;
    Task* next = nullptr;  // made ready by the task that runs now; owner only
    uint32_t turns = 0;
    int64_t typical_idle_nanos = INT64_MAX / 8;  // how long it lately was without a task
    std::jthread thread;

    void Push(Task* task);
    Task* Pop();
    Task* Steal();
    bool HasForOthers();
  };

  void Work(Worker& self);
  Task* Find(Worker& self);
  Task* TakeShared();
  Task* WaitForWork(Worker& self);
  Task* Sleep(Worker& self);
  bool RunOne(Worker& self, Task* task);
  void RunInline(Task* task);
  bool OthersHave(const Worker& self);

  static thread_local Worker* current_;

  std::vector<std::unique_ptr<Worker>> workers_;  // constant after construction

  absl::Mutex mutex_;
  absl::CondVar work_;
  std::deque<Task*> shared_ ABSL_GUARDED_BY(mutex_);  // from outside; in inline mode all of them
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool inline_running_ ABSL_GUARDED_BY(mutex_) = false;
  // Hints, so that the common paths take no lock. A stale value costs a look or a wake-up, never a
  // task: tasks from outside are added and awaited under the lock, and a worker runs its own.
  std::atomic<uint32_t> shared_size_{0};
  std::atomic<int> idle_{0};   // asleep
  std::atomic<int> awake_{0};  // looking around before sleep: at most one
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_EXECUTOR_H_
