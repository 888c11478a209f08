// ClTimeline: a Timeline that remembers which OpenCL event will signal which value, so that another
// queue of the same context can wait on the device, without the host.
// Thread-safe.
#ifndef HET_DEVICES_OPENCL_TIMELINE_H_
#define HET_DEVICES_OPENCL_TIMELINE_H_

#include <cstdint>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/opencl/api.h"
#include "devices/timeline.h"

namespace het::opencl {

class ClTimeline final : public Timeline {
 public:
  ClTimeline(Driver& driver, const Api& api, uint64_t initial)
      : Timeline(&driver, initial), api_(api) {}

  // `event` of `context` will signal `value`. Retains it until Forget.
  void Remember(uint64_t value, cl_context context, cl_event event);
  // Lets go of the events up to `value`.
  void Forget(uint64_t value);
  // An event of `context` whose completion implies `value`, retained for the caller; null when
  // there is none (signalled by the host, from another context, or just now reached).
  cl_event EventFor(uint64_t value, cl_context context);

 private:
  struct Pending {
    cl_context context;
    cl_event event;
  };
  ~ClTimeline() override;

  const Api& api_;
  absl::Mutex pending_mutex_;
  std::multimap<uint64_t, Pending> pending_ ABSL_GUARDED_BY(pending_mutex_);
};

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_TIMELINE_H_
