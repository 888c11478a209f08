#include "devices/opencl/timeline.h"

namespace het::opencl {

ClTimeline::~ClTimeline() { Forget(UINT64_MAX); }

void ClTimeline::Remember(uint64_t value, cl_context context, cl_event event) {
  api_.clRetainEvent(event);
  absl::MutexLock lock(&pending_mutex_);
  pending_.emplace(value, Pending{context, event});
}

void ClTimeline::Forget(uint64_t value) {
  absl::MutexLock lock(&pending_mutex_);
  const auto end = pending_.upper_bound(value);
  for (auto it = pending_.begin(); it != end; ++it) api_.clReleaseEvent(it->second.event);
  pending_.erase(pending_.begin(), end);
}

cl_event ClTimeline::EventFor(uint64_t value, cl_context context) {
  absl::MutexLock lock(&pending_mutex_);
  for (auto it = pending_.lower_bound(value); it != pending_.end(); ++it) {
    if (it->second.context != context) continue;
    api_.clRetainEvent(it->second.event);
    return it->second.event;
  }
  return nullptr;
}

}  // namespace het::opencl
