// PlainMutex: a lock for the way of every launch. absl::Mutex keeps a graph of lock orders where
// the distribution built it without NDEBUG (Debian 12 does), which costs as much as all the rest
// of a launch in the layer; this is the system's own, with Abseil's annotations.
#ifndef HET_INTERPOSE_PLAIN_MUTEX_H_
#define HET_INTERPOSE_PLAIN_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/base/thread_annotations.h"

namespace het::interpose {

class ABSL_LOCKABLE PlainMutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

  // Releases the lock while it waits for `condition`, up to `most_ns` (0: without an end).
  void Wait(std::condition_variable& condition, int64_t most_ns = 0) {
    std::unique_lock<std::mutex> held(mutex_, std::adopt_lock);
    if (most_ns > 0) {
      condition.wait_for(held, std::chrono::nanoseconds(most_ns));
    } else {
      condition.wait(held);
    }
    held.release();
  }

 private:
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE PlainLock {
 public:
  explicit PlainLock(PlainMutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(*mutex) {
    mutex_.Lock();
  }
  ~PlainLock() ABSL_UNLOCK_FUNCTION() { mutex_.Unlock(); }
  PlainLock(const PlainLock&) = delete;
  PlainLock& operator=(const PlainLock&) = delete;

 private:
  PlainMutex& mutex_;
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_PLAIN_MUTEX_H_
