// WorkAccount: work that an engine enqueues by itself, bracketed by Begin and End. Begin waits
// until the arbiter lets the lease have the device, where the lease shares it in time. The account
// keeps how long the bracketed work held the device: the union of the brackets, so that overlapping
// ones are not counted twice.
//
// Reference-counted, because a bracket may close when a timeline reaches its value, after the lease
// has gone. Threads: all members are thread-safe.
#ifndef HET_RUNTIME_WORK_ACCOUNT_H_
#define HET_RUNTIME_WORK_ACCOUNT_H_

#include <cstdint>
#include <map>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/ref.h"
#include "devices/timeline.h"
#include "runtime/gate.h"

namespace het::runtime {

class WorkAccount : public RefCounted {
 public:
  WorkAccount() = default;
  // Before the first Begin.
  void GoThrough(Ref<Gate> gate) { gate_ = std::move(gate); }

  // Opens a bracket for work of about `estimate_nanos` on a device that goes by `clock`, which must
  // live until the bracket is closed. FailedPrecondition when the lease has ended.
  absl::StatusOr<uint64_t> Begin(uint64_t estimate_nanos, const Clock& clock);
  // Closes it: now, or when `timeline` reaches `value` or fails. NotFound for a ticket that is not
  // open.
  absl::Status End(uint64_t ticket, const Ref<Timeline>& timeline, uint64_t value,
                   const Clock& clock);

  int64_t busy_nanos() const;  // of closed time; an open bracket counts when it closes
  uint64_t open() const;

 private:
  void Close(uint64_t ticket, const Clock& clock);

  Ref<Gate> gate_;  // null: the device is the lease's alone
  mutable absl::Mutex mutex_;
  std::map<uint64_t, Gate::Pass> passes_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
  std::set<uint64_t> open_ ABSL_GUARDED_BY(mutex_);    // may be ended
  std::set<uint64_t> ending_ ABSL_GUARDED_BY(mutex_);  // ended, the work is not done yet
  int64_t busy_since_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t busy_nanos_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_WORK_ACCOUNT_H_
