// QuotaBook: memory of one lease, booked by all its processes without a lock between them. A
// process announces what it wants (pending), adds up what everybody has and wants, and books it
// when the sum fits: two that ask at once both see each other, so the quota is never passed, not by
// a byte and not for a moment. Whoever would have to be refused only because of somebody else's
// announcement tries again for a short while.
//
// Threads: thread-safe. What a dead process had is given back by the owner (ArbiterHost::Unseat).
#ifndef HET_PARTITION_ARBITER_QUOTA_H_
#define HET_PARTITION_ARBITER_QUOTA_H_

#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "partition/arbiter_pages.h"

namespace het::arbiter {

class QuotaBook {
 public:
  // The pages outlive the book. `region` is the lease's; `slot` the process's own.
  QuotaBook(const ControlPage& control, RegionPage& region, uint32_t lease, uint32_t slot);

  // ResourceExhausted says what was asked, is used and is left. Decides within a millisecond.
  absl::Status Reserve(uint64_t bytes);
  // Of what this process reserved; more than that gives back all of it.
  void GiveBack(uint64_t bytes);
  uint64_t limit() const;
  uint64_t used() const;

 private:
  struct Sum {
    uint64_t reserved = 0;
    uint64_t pending = 0;  // of others
  };
  Sum AddUp() const;

  const ControlPage& control_;
  RegionPage& region_;
  const uint32_t lease_;
  const uint32_t slot_;
  absl::Mutex mutex_;  // the process's own threads, one after the other
  uint32_t jitter_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::arbiter

#endif  // HET_PARTITION_ARBITER_QUOTA_H_
