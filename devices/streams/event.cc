#include "devices/streams/event.h"

namespace het::streams {

Event::~Event() { pool_.GiveBack(handle_); }

EventPool::~EventPool() {
  const Current current(gpu_);
  absl::MutexLock lock(&mutex_);
  for (void* handle : free_) gpu_.DeleteEvent(handle);
}

absl::StatusOr<Ref<Event>> EventPool::Take() {
  void* handle = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (!free_.empty()) {
      handle = free_.back();
      free_.pop_back();
    }
  }
  if (handle == nullptr) HET_GPU_RETURN_IF_ERROR(gpu_, gpu_.NewEvent(&handle), "making an event");
  return MakeRef<Event>(*this, handle);
}

void EventPool::GiveBack(void* handle) {
  absl::MutexLock lock(&mutex_);
  free_.push_back(handle);
}

}  // namespace het::streams
