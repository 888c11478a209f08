// StreamTimeline: a Timeline that remembers which event will signal which value, so that another
// stream of the same driver can wait on the device, without the host. Thread-safe.
#ifndef HET_DEVICES_STREAMS_TIMELINE_H_
#define HET_DEVICES_STREAMS_TIMELINE_H_

#include <cstdint>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/streams/event.h"
#include "devices/timeline.h"

namespace het::streams {

class StreamTimeline final : public Timeline {
 public:
  StreamTimeline(Driver& driver, uint64_t initial) : Timeline(&driver, initial) {}

  // `event` was recorded behind the work that signals `value`. Kept until Forget.
  void Remember(uint64_t value, Ref<Event> event) {
    absl::MutexLock lock(&pending_mutex_);
    pending_.emplace(value, std::move(event));
  }
  // Lets go of the events up to `value`.
  void Forget(uint64_t value) {
    absl::MutexLock lock(&pending_mutex_);
    pending_.erase(pending_.begin(), pending_.upper_bound(value));
  }
  // An event whose completion implies `value`; null when there is none (signalled by the host, or
  // just now reached).
  Ref<Event> EventFor(uint64_t value) {
    absl::MutexLock lock(&pending_mutex_);
    const auto found = pending_.lower_bound(value);
    return found == pending_.end() ? nullptr : found->second;
  }

 private:
  absl::Mutex pending_mutex_;
  std::multimap<uint64_t, Ref<Event>> pending_ ABSL_GUARDED_BY(pending_mutex_);
};

}  // namespace het::streams

#endif  // HET_DEVICES_STREAMS_TIMELINE_H_
