// Buffer: a piece of one device's memory, or host memory that the device uses in place.
// Reference-counted, because queued work keeps what it touches alive. Accounting against a quota is
// done above (runtime/), before the device is asked.
//
// Threads: the object is immutable and may be used from any thread; what the bytes hold is ordered
// by queues and timelines.
#ifndef HET_DEVICES_BUFFER_H_
#define HET_DEVICES_BUFFER_H_

#include <cstdint>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "base/ref.h"

namespace het {

class Device;

enum class MemoryKind {
  kDevice,   // fastest for kernels; the host may or may not be able to address it
  kStaging,  // host memory that the device copies to and from at full speed (pinned where that
             // means something)
};

class Buffer : public RefCounted {
 public:
  Device& device() const { return device_; }
  uint64_t bytes() const { return bytes_; }
  // The host's address of the first byte when the host may use this memory in place, else null.
  void* host() const { return host_; }
  // The vendor's handle (cl_mem, CUdeviceptr, ...), valid as long as the buffer; null where there
  // is none.
  virtual void* native_handle() const { return nullptr; }

  // Called once, after the memory was freed: a quota is given back then and not before. Set it
  // before the buffer is shared; it may run on any thread and must be short.
  void CallWhenFreed(absl::AnyInvocable<void()> callback) { when_freed_ = std::move(callback); }

 protected:
  Buffer(Device& device, uint64_t bytes, void* host)
      : device_(device), bytes_(bytes), host_(host) {}
  // The derived class has freed the memory by now.
  ~Buffer() override {
    if (when_freed_) when_freed_();
  }

 private:
  Device& device_;
  const uint64_t bytes_;
  void* const host_;
  absl::AnyInvocable<void()> when_freed_;
};

}  // namespace het

#endif  // HET_DEVICES_BUFFER_H_
