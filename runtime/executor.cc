#include "runtime/executor.h"

#include <algorithm>
#include <chrono>

namespace het::runtime {
namespace {

// Every so many tasks a worker looks at the tasks from outside first, so that a busy chain starves
// nobody.
constexpr uint32_t kFairness = 64;
// A worker without a task looks around for this long before it sleeps: always a little, and longer
// (one worker at a time) when work lately came at such intervals, since a wake-up costs as much.
constexpr int64_t kLookNanos = 2'000;
constexpr int64_t kLookLongerNanos = 100'000;
constexpr int64_t kFrequentNanos = 60'000;

int64_t NowNanos() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

void CpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

thread_local Executor::Worker* Executor::current_ = nullptr;

void Executor::Task::Took(int64_t nanos) {
  const int64_t before = typical_nanos_.load(std::memory_order_relaxed);
  typical_nanos_.store(before == INT64_MAX ? nanos : before + (nanos - before) / 4,
                       std::memory_order_relaxed);
}

void Executor::Worker::Push(Task* task) {
  absl::MutexLock lock(&mutex);
  tasks.push_back(task);
  size.store(static_cast<uint32_t>(tasks.size()), std::memory_order_relaxed);
}

Executor::Task* Executor::Worker::Pop() {
  // Only the owner adds, so 0 is exact for the owner.
  if (size.load(std::memory_order_relaxed) == 0) return nullptr;
  absl::MutexLock lock(&mutex);
  if (tasks.empty()) return nullptr;
  Task* task = tasks.back();
  tasks.pop_back();
  size.store(static_cast<uint32_t>(tasks.size()), std::memory_order_relaxed);
  return task;
}

Executor::Task* Executor::Worker::Steal() {
  if (size.load(std::memory_order_relaxed) == 0) return nullptr;
  absl::MutexLock lock(&mutex);
  if (tasks.empty()) return nullptr;
  Task* task = tasks.front();
  if (!task->IsLong() && !in_long.load(std::memory_order_relaxed)) return nullptr;
  tasks.pop_front();
  size.store(static_cast<uint32_t>(tasks.size()), std::memory_order_relaxed);
  return task;
}

bool Executor::Worker::HasForOthers() {
  if (size.load(std::memory_order_relaxed) == 0) return false;
  absl::MutexLock lock(&mutex);
  return !tasks.empty() && (tasks.front()->IsLong() || in_long.load(std::memory_order_relaxed));
}

Executor::Executor(int workers) {
  for (int i = 0; i < workers; ++i) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->executor = this;
  }
  // Started last: a worker looks at all the others.
  for (auto& worker : workers_) {
    worker->thread = std::jthread([this, self = worker.get()] { Work(*self); });
  }
}

Executor::~Executor() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    work_.SignalAll();
  }
  for (auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

void Executor::Schedule(Task* task) {
  if (is_inline()) return RunInline(task);
  Worker* self = current_;
  if (self != nullptr && self->executor == this) {
    if (self->next == nullptr) {
      self->next = task;
    } else {
      self->Push(task);
    }
    return;
  }
  absl::MutexLock lock(&mutex_);
  shared_.push_back(task);
  shared_size_.store(static_cast<uint32_t>(shared_.size()), std::memory_order_relaxed);
  // Whoever is awake looks once more, under the lock, before it sleeps.
  if (awake_.load(std::memory_order_relaxed) == 0 && idle_.load(std::memory_order_relaxed) > 0) {
    work_.Signal();
  }
}

// The first thread in runs everything until nothing is left; others (and tasks that schedule tasks)
// only add. So recursion cannot grow, and one task runs at a time.
void Executor::RunInline(Task* task) {
  {
    absl::MutexLock lock(&mutex_);
    shared_.push_back(task);
    if (inline_running_) return;
    inline_running_ = true;
  }
  for (;;) {
    Task* next;
    {
      absl::MutexLock lock(&mutex_);
      if (shared_.empty()) {
        inline_running_ = false;
        return;
      }
      next = shared_.front();
      shared_.pop_front();
    }
    if (next->Run()) {
      absl::MutexLock lock(&mutex_);
      shared_.push_back(next);
    }
  }
}

bool Executor::RunOne(Worker& self, Task* task) {
  if (!task->IsLong()) return task->Run();
  self.in_long.store(true, std::memory_order_relaxed);
  // About to be busy for long with work left over: let somebody else have it.
  if (idle_.load(std::memory_order_relaxed) > 0 &&
      (self.size.load(std::memory_order_relaxed) > 0 ||
       shared_size_.load(std::memory_order_relaxed) > 0)) {
    absl::MutexLock lock(&mutex_);
    work_.Signal();
  }
  const bool again = task->Run();
  self.in_long.store(false, std::memory_order_relaxed);
  // Much may have come from outside meanwhile: that goes first.
  self.turns = kFairness - 1;
  if (self.next != nullptr && shared_size_.load(std::memory_order_relaxed) > 0) {
    self.Push(self.next);
    self.next = nullptr;
  }
  return again;
}

Executor::Task* Executor::TakeShared() {
  if (shared_size_.load(std::memory_order_relaxed) == 0) return nullptr;
  absl::MutexLock lock(&mutex_);
  if (shared_.empty()) return nullptr;
  Task* task = shared_.front();
  shared_.pop_front();
  shared_size_.store(static_cast<uint32_t>(shared_.size()), std::memory_order_relaxed);
  return task;
}

Executor::Task* Executor::Find(Worker& self) {
  if (++self.turns % kFairness == 0) {
    if (Task* task = TakeShared()) return task;
  }
  if (Task* task = self.Pop()) return task;
  if (Task* task = TakeShared()) return task;
  for (auto& other : workers_) {
    if (other.get() == &self) continue;
    if (Task* task = other->Steal()) return task;
  }
  return nullptr;
}

bool Executor::OthersHave(const Worker& self) {
  for (auto& other : workers_) {
    if (other.get() != &self && other->HasForOthers()) return true;
  }
  return false;
}

// Null: look again, or stop.
Executor::Task* Executor::WaitForWork(Worker& self) {
  const int64_t start = NowNanos();
  const bool alone = awake_.fetch_add(1, std::memory_order_relaxed) == 0;
  const int64_t patience =
      alone && self.typical_idle_nanos < kFrequentNanos ? kLookLongerNanos : kLookNanos;
  Task* task = nullptr;
  while (task == nullptr && NowNanos() - start < patience) {
    CpuRelax();
    task = Find(self);
  }
  awake_.fetch_sub(1, std::memory_order_relaxed);
  if (task == nullptr) task = Sleep(self);
  const int64_t idle = std::min<int64_t>(NowNanos() - start, 1'000'000);
  self.typical_idle_nanos = std::min<int64_t>(self.typical_idle_nanos, 1'000'000);
  self.typical_idle_nanos += (idle - self.typical_idle_nanos) / 4;
  return task;
}

// Sleeps until there is something from outside or a worker shares.
Executor::Task* Executor::Sleep(Worker& self) {
  absl::MutexLock lock(&mutex_);
  idle_.fetch_add(1, std::memory_order_relaxed);
  while (shared_.empty() && !stopping_ && !OthersHave(self)) work_.Wait(&mutex_);
  idle_.fetch_sub(1, std::memory_order_relaxed);
  if (shared_.empty()) return nullptr;
  Task* task = shared_.front();
  shared_.pop_front();
  shared_size_.store(static_cast<uint32_t>(shared_.size()), std::memory_order_relaxed);
  return task;
}

void Executor::Work(Worker& self) {
  current_ = &self;
  for (;;) {
    Task* task = self.next;
    self.next = nullptr;
    if (task == nullptr) task = Find(self);
    if (task == nullptr) task = WaitForWork(self);
    if (task == nullptr) {
      absl::MutexLock lock(&mutex_);
      if (stopping_ && shared_.empty()) return;
      continue;
    }
    if (RunOne(self, task)) self.Push(task);
  }
}

}  // namespace het::runtime
