// ClDevice: one OpenCL device or sub-device with a context of its own, and its buffers.
//
// "In place": on a device of type CPU, buffers are host memory that het allocates and the driver
// uses where it lies (CL_MEM_USE_HOST_PTR). Whether the driver really does is tried at Open, not
// believed. In-place devices are host-addressable and wrap host memory. On others, device memory
// has no host address, and staging memory is a pinned, mapped buffer that only copies may touch.
//
// Threads: as Device. Ownership: the driver outlives the device.
#ifndef HET_DEVICES_OPENCL_DEVICE_H_
#define HET_DEVICES_OPENCL_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "devices/device.h"
#include "devices/opencl/affinity.h"
#include "devices/opencl/inventory.h"

namespace het::opencl {

class ClDevice;

// How a buffer's bytes are held.
enum class Storage {
  kDriver,   // the driver's memory; no host address
  kOwned,    // het's host memory, used in place
  kWrapped,  // the caller's host memory, used in place
  kPinned,   // the driver's pinned host memory, mapped for good; a source or target of copies only
};

class ClBuffer final : public Buffer {
 public:
  // Takes over `memory`; for kOwned also `host`, which std::free releases.
  ClBuffer(ClDevice& device, cl_mem memory, uint64_t bytes, void* host, Storage storage);

  cl_mem memory() const { return memory_; }
  Storage storage() const { return storage_; }
  // Never the same for two buffers of this process, unlike addresses and handles.
  uint64_t serial() const { return serial_; }
  void* native_handle() const override { return memory_; }

 private:
  ~ClBuffer() override;

  const cl_mem memory_;
  const Storage storage_;
  const uint64_t serial_;
};

// What the driver decided before it opens a device.
struct ClDeviceParts {
  const Api* api = nullptr;
  Found found;
  uint32_t first_unit = 0;             // of the sub-device
  uint32_t units = 0;                  // of the sub-device; 0: the whole device
  std::vector<uint32_t> thread_cores;  // where calls that make threads are made; empty: anywhere
  bool in_place = true;                // may be used in place, if it proves to work
  std::function<void()> give_back;     // called when the sub-device is closed
};

class ClDevice final : public Device {
 public:
  static absl::StatusOr<std::unique_ptr<Device>> Open(Driver& driver, ClDeviceParts parts);
  ~ClDevice() override;

  const Api& api() const { return *parts_.api; }
  const Found& found() const { return parts_.found; }
  cl_context context() const { return context_; }
  cl_device_id id() const { return id_; }
  bool in_place() const { return Can(kHostAddressable); }
  // An in-order queue, made where its threads belong; timestamps where the device has them.
  absl::StatusOr<cl_command_queue> MakeQueue();

  uint64_t allocated_bytes() const override { return allocated_.load(std::memory_order_relaxed); }
  void* native_handle() const override { return context_; }

 private:
  friend class ClBuffer;

  // The vendor's objects of one opened device, released in order.
  struct Handles {
    cl_device_id id = nullptr;
    cl_context context = nullptr;
    bool sub_device = false;
  };

  ClDevice(Driver& driver, DeviceInfo info, uint32_t capabilities, ClDeviceParts parts,
           const Handles& handles);
  static absl::StatusOr<Handles> OpenHandles(const ClDeviceParts& parts);
  static void CloseHandles(const ClDeviceParts& parts, const Handles& handles);

  absl::StatusOr<Ref<Buffer>> DoAllocate(uint64_t bytes, MemoryKind kind) override;
  absl::StatusOr<Ref<Buffer>> DoWrapHostMemory(void* address, uint64_t bytes,
                                               bool writable) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoCreateQueue(QueueKind kind) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoWrapNativeQueue(void* handle) override;
  absl::StatusOr<Ref<Timeline>> DoCreateTimeline(uint64_t initial) override;
  absl::StatusOr<Ref<Program>> DoBuild(const ProgramSource& source) override;

  absl::Status CheckSize(uint64_t bytes) const;
  absl::StatusOr<Ref<Buffer>> AllocateInPlace(uint64_t bytes);
  absl::StatusOr<Ref<Buffer>> AllocatePinned(uint64_t bytes);

  const ClDeviceParts parts_;
  const Handles handles_;
  const cl_device_id id_;
  const cl_context context_;
  std::atomic<uint64_t> allocated_{0};
};

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_DEVICE_H_
