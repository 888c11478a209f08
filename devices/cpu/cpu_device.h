// CpuDevice: some cores of the host as a device. Kernels are native functions; buffers are ordinary
// host memory, so nothing is ever staged; every queue has a thread, and a launch is shared by all
// cores (WorkerPool).
//
// Every thread is bound to the set of the slice's cores and not to one of them: on a machine that
// others use too, the system can then move a thread off a core that was taken away. Threads: as
// devices/device.h says.
#ifndef HET_DEVICES_CPU_CPU_DEVICE_H_
#define HET_DEVICES_CPU_CPU_DEVICE_H_

#include <atomic>
#include <memory>
#include <vector>

#include "devices/cpu/host_memory.h"
#include "devices/cpu/worker_pool.h"
#include "devices/device.h"

namespace het::cpu {

class CpuDevice final : public Device {
 public:
  // `info.cores` are the cores of this device, at least one.
  CpuDevice(Driver& driver, DeviceInfo info);

  uint64_t allocated_bytes() const override { return account_.taken(); }

 private:
  absl::StatusOr<Ref<Buffer>> DoAllocate(uint64_t bytes, MemoryKind kind) override;
  absl::StatusOr<Ref<Buffer>> DoWrapHostMemory(void* address, uint64_t bytes,
                                               bool writable) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoCreateQueue(QueueKind kind) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoWrapNativeQueue(void* handle) override;
  absl::StatusOr<Ref<Timeline>> DoCreateTimeline(uint64_t initial) override;
  absl::StatusOr<Ref<Program>> DoBuild(const ProgramSource& source) override;

  MemoryAccount account_;
  WorkerPool pool_;
  std::atomic<uint32_t> compute_queues_{0};  // made so far
};

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_CPU_DEVICE_H_
