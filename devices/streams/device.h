// StreamDevice: a device whose driver has streams, over the vendor's Gpu; and its buffers and
// programs. Device memory has no host address; staging memory is pinned host memory that kernels
// and copies may use.
//
// Threads: as Device. Ownership: the driver outlives the device.
#ifndef HET_DEVICES_STREAMS_DEVICE_H_
#define HET_DEVICES_STREAMS_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "devices/device.h"
#include "devices/streams/event.h"
#include "devices/streams/gpu.h"

namespace het::streams {

class StreamDevice;

class StreamBuffer final : public Buffer {
 public:
  // Takes over the memory. `host`: it is pinned host memory.
  StreamBuffer(StreamDevice& device, uint64_t bytes, Address address, void* host);

  Address address() const { return address_; }
  void* native_handle() const override { return reinterpret_cast<void*>(address_); }

 private:
  ~StreamBuffer() override;
  const Address address_;
};

class StreamProgram;

class StreamKernel final : public Kernel {
 public:
  StreamKernel(std::string name, KernelForm form, const StreamProgram& program, void* handle,
               size_t argument_bytes)
      : Kernel(std::move(name), form),
        program_(program),
        handle_(handle),
        argument_bytes_(argument_bytes) {}

  const StreamProgram& program() const { return program_; }
  void* handle() const { return handle_; }
  // 0: not known.
  size_t argument_bytes() const { return argument_bytes_; }

 private:
  const StreamProgram& program_;
  void* const handle_;
  const size_t argument_bytes_;
};

class StreamProgram final : public Program {
 public:
  static absl::StatusOr<Ref<Program>> Build(StreamDevice& device, const ProgramSource& source);

  absl::StatusOr<const Kernel*> GetKernel(absl::string_view name) const override;
  StreamDevice& device() const { return device_; }
  StreamProgram(StreamDevice& device, void* module) : device_(device), module_(module) {}

 private:
  ~StreamProgram() override;

  StreamDevice& device_;
  void* const module_;
  std::vector<std::unique_ptr<StreamKernel>> kernels_;  // filled before anybody else sees it
};

class StreamDevice final : public Device {
 public:
  StreamDevice(Driver& driver, DeviceInfo info, std::unique_ptr<Gpu> gpu);

  Gpu& gpu() const { return *gpu_; }
  EventPool& events() { return events_; }

  uint64_t allocated_bytes() const override { return allocated_.load(std::memory_order_relaxed); }
  void* native_handle() const override { return gpu_->context(); }
  bool Reaches(const Device& other) const override;

 private:
  friend class StreamBuffer;

  absl::StatusOr<Ref<Buffer>> DoAllocate(uint64_t bytes, MemoryKind kind) override;
  absl::StatusOr<Ref<Buffer>> DoWrapHostMemory(void*, uint64_t, bool) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoCreateQueue(QueueKind kind) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoWrapNativeQueue(void* handle) override;
  absl::StatusOr<Ref<Timeline>> DoCreateTimeline(uint64_t initial) override;
  absl::StatusOr<Ref<Program>> DoBuild(const ProgramSource& source) override;

  const std::unique_ptr<Gpu> gpu_;
  EventPool events_;
  std::atomic<uint64_t> allocated_{0};
};

}  // namespace het::streams

#endif  // HET_DEVICES_STREAMS_DEVICE_H_
