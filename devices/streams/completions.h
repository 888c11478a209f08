// Completions: the end of the work of one queue, in the order of submission. Every signal of a
// queue is a Record here. A thread of its own waits for the records' events, one after the other (a
// host function in the stream would hold the device up, and is not called after a failure); it
// counts busy time, lets go of buffers, and then signals the timeline or fails it. The first
// failure breaks the queue: it goes to its record's signal, or to the next one, and to all that
// follow.
//
// Threads: all members are thread-safe; timelines are signalled without locks, on the own thread.
#ifndef HET_DEVICES_STREAMS_COMPLETIONS_H_
#define HET_DEVICES_STREAMS_COMPLETIONS_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/ref.h"
#include "devices/streams/event.h"
#include "devices/timeline.h"

namespace het::streams {

// A stretch of work on the queue that ends with one event. Filled before Push; `open_waits` and
// `failure` then belong to Completions.
struct Record final : RefCounted {
  Fence signal;                       // may be empty
  Ref<Event> begin;                   // reached before the stretch's first work; null without work
  Ref<Event> end;                     // null: the command was not queued, and `failure` says why
  std::vector<Ref<RefCounted>> keep;  // buffers and programs that the stretch uses
  absl::Status failure;
  int open_waits = 0;  // results still to come by WaitEnded
};

class Completions final {
 public:
  explicit Completions(Gpu& gpu) : gpu_(gpu) {}

  // Finishes every record, and ends the thread. Nothing may be pushed after.
  void Stop();

  // Queues the record. The queue's order is the order of these calls. Calls nobody.
  void Push(Ref<Record> record);
  // One of the record's `open_waits` is over.
  void WaitEnded(Record& record, const absl::Status& status);

  // Why the queue is broken; OK while it is not.
  absl::Status broken() const;
  bool is_broken() const { return is_broken_.load(std::memory_order_acquire); }
  bool idle() const { return pending_.load(std::memory_order_acquire) == 0; }
  int64_t busy_nanos() const { return busy_nanos_.load(std::memory_order_relaxed); }

 private:
  void Work();
  absl::Status Await(Record& record);
  void Finish(Record& record, const absl::Status& outcome);

  Gpu& gpu_;
  std::atomic<int64_t> busy_nanos_{0};
  std::atomic<bool> is_broken_{false};
  std::atomic<int> pending_{0};  // records not yet finished

  mutable absl::Mutex mutex_;
  std::deque<Ref<Record>> records_ ABSL_GUARDED_BY(mutex_);
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
  bool ends_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // started by the first Push
};

}  // namespace het::streams

#endif  // HET_DEVICES_STREAMS_COMPLETIONS_H_
