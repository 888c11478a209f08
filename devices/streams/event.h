// Event: one of the vendor's events, taken from the device's pool and given back to it with the
// last reference. EventPool: the events of one opened device.
//
// Threads: all members are thread-safe. The pool outlives its events.
#ifndef HET_DEVICES_STREAMS_EVENT_H_
#define HET_DEVICES_STREAMS_EVENT_H_

#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/ref.h"
#include "devices/streams/gpu.h"

namespace het::streams {

class EventPool;

class Event final : public RefCounted {
 public:
  Event(EventPool& pool, void* handle) : pool_(pool), handle_(handle) {}
  void* handle() const { return handle_; }

 private:
  ~Event() override;

  EventPool& pool_;
  void* const handle_;
};

class EventPool {
 public:
  explicit EventPool(Gpu& gpu) : gpu_(gpu) {}
  ~EventPool();
  // Expects the device to be current.
  absl::StatusOr<Ref<Event>> Take();

 private:
  friend class Event;
  void GiveBack(void* handle);

  Gpu& gpu_;
  absl::Mutex mutex_;
  std::vector<void*> free_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::streams

#endif  // HET_DEVICES_STREAMS_EVENT_H_
