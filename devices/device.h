// Device: one accelerator (or a part of one) opened in this process, the maker of queues, buffers,
// timelines and programs.
//
// Ownership: the opener owns the device; it must outlive everything made from it. Threads: all
// members are thread-safe. Errors: Unimplemented for what the backend cannot do (see
// capabilities()), ResourceExhausted when the driver is out of memory, DataLoss when the device was
// lost; nothing aborts.
#ifndef HET_DEVICES_DEVICE_H_
#define HET_DEVICES_DEVICE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/units.h"
#include "devices/buffer.h"
#include "devices/device_info.h"
#include "devices/program.h"
#include "devices/queue.h"
#include "devices/timeline.h"

namespace het {

class Driver;

// Which part of the device to open: what a slice says of compute. Empty: all of it.
struct OpenOptions {
  std::vector<uint32_t> cores = {};  // host processors that worker threads are bound to (cpu, and
                                     // OpenCL devices of type CPU)
  uint32_t compute_units =
      0;  // sub-device of that many compute units where the driver can; 0 = all
};

enum Capability : uint32_t {
  kRunsNative = 1 << 0,          // native kernels
  kRunsPortable = 1 << 1,        // portable kernels
  kHostAddressable = 1 << 2,     // Buffer::host() is never null: no staging is needed
  kWrapsHostMemory = 1 << 3,     // WrapHostMemory works
  kNativeHandles = 1 << 4,       // native_handle() of queues and buffers, WrapNativeQueue
  kVirtualTime = 1 << 5,         // completion follows a virtual clock; timings are not wall time
  kNoData = 1 << 6,              // kernels and copies move no data (simulated, timing mode)
  kPeerCopies = 1 << 7,          // Queue::Copy takes buffers of the devices that it Reaches
  kPoolMemory = 1 << 8,          // taking and freeing memory waits for no work of other queues
  kMultipliesMatrices = 1 << 9,  // Queue::Multiply, by the vendor's own library
  kRunsGraphs = 1 << 10,         // ProgramSource::graph
  kRunsBuiltIn = 1 << 11,        // ProgramSource::built_in
  kReplaysWork = 1 << 12,        // Queue::BeginRecording, Queue::Replay
};

class Device {
 public:
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  Driver& driver() const { return driver_; }
  const DeviceInfo& info() const { return info_; }
  uint32_t capabilities() const { return capabilities_; }
  bool Can(Capability capability) const { return (capabilities_ & capability) != 0; }

  // `bytes` > 0. The content is undefined.
  absl::StatusOr<Ref<Buffer>> Allocate(uint64_t bytes, MemoryKind kind = MemoryKind::kDevice);
  // Uses [address, address+bytes) in place (mapped weights). The memory must stay valid, and for
  // `writable` == false is only read. 64-byte alignment.
  absl::StatusOr<Ref<Buffer>> WrapHostMemory(void* address, uint64_t bytes, bool writable);
  absl::StatusOr<std::unique_ptr<Queue>> CreateQueue(QueueKind kind);
  // A queue over the vendor's own handle, which stays the caller's.
  absl::StatusOr<std::unique_ptr<Queue>> WrapNativeQueue(void* handle);
  absl::StatusOr<Ref<Timeline>> CreateTimeline(uint64_t initial = 0);
  // InvalidArgument with the compiler's log when the source does not build.
  absl::StatusOr<Ref<Program>> Build(const ProgramSource& source);

  // Whether this device's queues copy to and from buffers of `other`, a device of the same driver
  // (with kPeerCopies): another card, or another part of the same one.
  virtual bool Reaches(const Device& other) const {
    (void)other;
    return false;
  }
  // The clock that completions follow: real time, or the virtual clock of a device with
  // kVirtualTime (which overrides this).
  virtual const Clock& clock() const { return Clock::Real(); }
  // Bytes of this device's memory that this process holds through het.
  virtual uint64_t allocated_bytes() const = 0;
  // The vendor's handle (cl_context, CUcontext, ...); null where there is none.
  virtual void* native_handle() const { return nullptr; }

 protected:
  Device(Driver& driver, DeviceInfo info, uint32_t capabilities)
      : driver_(driver), info_(std::move(info)), capabilities_(capabilities) {}

 private:
  virtual absl::StatusOr<Ref<Buffer>> DoAllocate(uint64_t bytes, MemoryKind kind) = 0;
  virtual absl::StatusOr<Ref<Buffer>> DoWrapHostMemory(void* address, uint64_t bytes,
                                                       bool writable) = 0;
  virtual absl::StatusOr<std::unique_ptr<Queue>> DoCreateQueue(QueueKind kind) = 0;
  virtual absl::StatusOr<std::unique_ptr<Queue>> DoWrapNativeQueue(void* handle) = 0;
  virtual absl::StatusOr<Ref<Timeline>> DoCreateTimeline(uint64_t initial) = 0;
  virtual absl::StatusOr<Ref<Program>> DoBuild(const ProgramSource& source) = 0;

  Driver& driver_;
  const DeviceInfo info_;
  const uint32_t capabilities_;
};

}  // namespace het

#endif  // HET_DEVICES_DEVICE_H_
