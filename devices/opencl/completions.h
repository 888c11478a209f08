// Completions: the end of the work of one queue, in the order of submission. Every signal of a
// queue is a Record here; a record ends when its command completed and what the command waited for
// came out well; ended records are finished first in, first out: busy time is counted, buffers are
// let go of, the timeline is signalled or failed. The first failure breaks the queue: it goes to
// its record's signal, or to the next one, and to all that follow.
//
// OpenCL's own handling of failures is not relied on: PoCL and rusticl never call back for a
// command whose wait list failed, and run the commands behind it. So het watches the timelines that
// were waited for itself, and ends the record without the driver.
//
// Ownership: reference-counted, because driver callbacks may come after the queue is gone. Threads:
// all members are thread-safe; timelines are signalled without locks, on the driver's thread.
#ifndef HET_DEVICES_OPENCL_COMPLETIONS_H_
#define HET_DEVICES_OPENCL_COMPLETIONS_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/ref.h"
#include "devices/opencl/api.h"
#include "devices/timeline.h"

namespace het::opencl {

class Completions;

// A stretch of work on the queue that ends with one command. The fields up to the second blank line
// are set before Push; the rest belongs to Completions.
struct Record : RefCounted {
  explicit Record(const Api& api) : api(api) {}
  ~Record() override;

  const Api& api;
  Fence signal;              // may be empty
  absl::Status failure;      // not OK: the command was not queued, and this is why
  cl_event first = nullptr;  // first command of the stretch, where the queue has timestamps; owned
  cl_event last = nullptr;   // the command that ends it; owned. Null with a failure
  bool has_work = false;     // not only barriers
  int64_t begin_nanos = 0;   // host clock: queued, or the last wait was over
  std::vector<Ref<RefCounted>> keep;  // buffers and programs that the stretch uses
  int open_waits = 0;                 // results still to come by WaitEnded

  Ref<Completions> owner;
  int64_t end_nanos = 0;
  bool command_ended = false;
  absl::Status command_failure;  // counts when every wait ended well: a failed wait is the cause
  bool ended = false;
};

class Completions final : public RefCounted {
 public:
  Completions(const Api& api, bool profiles) : api_(api), profiles_(profiles) {}

  // Queues the record. Calls nobody: may be called with locks held. The queue's order is the order
  // of these calls.
  void Push(Ref<Record> record);
  // Asks the driver to call back for a pushed record, and finishes what ended. Calls back into
  // anything: no locks may be held.
  void Watch(const Ref<Record>& record);
  // One of the record's `open_waits` is over.
  void WaitEnded(Record& record, const absl::Status& status);

  // Why the queue is broken; OK while it is not.
  absl::Status broken() const;
  bool is_broken() const { return is_broken_.load(std::memory_order_acquire); }
  int64_t busy_nanos() const { return busy_nanos_.load(std::memory_order_relaxed); }
  // Blocks until every record was finished (the destructor of a queue).
  void WaitUntilEmpty();
  // What failed work may still use: to be let go of after clFinish.
  void ReleaseOrphans();

 private:
  static void CL_CALLBACK OnEvent(cl_event event, cl_int status, void* user);

  void CommandEnded(Record& record, cl_int status);
  void EndIfComplete(Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends the records before `record` whose failed command the driver did not tell of.
  void CheckEarlier(const Record& record);
  void Drain();
  void Finish(Record& record, const absl::Status& outcome);
  int64_t BusyNanos(const Record& record);

  const Api& api_;
  const bool profiles_;
  std::atomic<int64_t> busy_nanos_{0};
  std::atomic<bool> is_broken_{false};
  int64_t busy_until_ = 0;  // used by the one thread that drains

  mutable absl::Mutex mutex_;
  std::deque<Ref<Record>> records_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
  std::vector<Ref<RefCounted>> orphans_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_COMPLETIONS_H_
