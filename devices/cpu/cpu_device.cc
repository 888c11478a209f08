#include "devices/cpu/cpu_device.h"

#include <cstring>
#include <utility>

#include "devices/cpu/host_queue.h"
#include "devices/cpu/native_program.h"

namespace het::cpu {
namespace {

class CpuRunner final : public OpRunner {
 public:
  CpuRunner(WorkerPool& pool, uint32_t home) : pool_(pool), home_(home) {}

  absl::Status Run(const Op& op) override {
    switch (op.kind) {
      case Op::Kind::kBarrier:
        break;
      case Op::Kind::kCopy:
        // Wrapped buffers may share memory with each other.
        std::memmove(op.to, op.from, op.bytes);
        break;
      case Op::Kind::kFill:
        std::memset(op.to, op.value, op.bytes);
        break;
      case Op::Kind::kLaunch:
        Launch(op);
        break;
    }
    return absl::OkStatus();
  }

 private:
  void Launch(const Op& op) {
    het_native_call call = {};
    call.struct_size = sizeof(call);
    call.buffers = op.addresses.data();
    call.buffer_count = static_cast<uint32_t>(op.addresses.size());
    call.params = op.params.data();
    call.params_bytes = static_cast<uint32_t>(op.params.size());
    for (int axis = 0; axis < 3; ++axis) {
      call.groups[axis] = op.groups[axis];
      call.group_size[axis] = op.group_size[axis];
    }
    pool_.Run(home_, op.function, call, op.GroupCount());
  }

  WorkerPool& pool_;
  const uint32_t home_;
};

}  // namespace

CpuDevice::CpuDevice(Driver& driver, DeviceInfo info)
    : Device(driver, std::move(info), kRunsNative | kHostAddressable | kWrapsHostMemory),
      account_(this->info().memory_bytes),
      pool_(this->info().cores) {}

absl::StatusOr<Ref<Buffer>> CpuDevice::DoAllocate(uint64_t bytes, MemoryKind) {
  return HostBuffer::Allocate(*this, account_, bytes, /*visible=*/true);
}

absl::StatusOr<Ref<Buffer>> CpuDevice::DoWrapHostMemory(void* address, uint64_t bytes,
                                                        bool writable) {
  return HostBuffer::Wrap(*this, address, bytes, writable);
}

absl::StatusOr<std::unique_ptr<Queue>> CpuDevice::DoCreateQueue(QueueKind kind) {
  // The n-th compute queue is worker n of its launches. relaxed: it only spreads them.
  const uint32_t home =
      kind == QueueKind::kCompute
          ? compute_queues_.fetch_add(1, std::memory_order_relaxed) % pool_.workers()
          : 0;
  return std::make_unique<HostQueue>(*this, kind, std::make_unique<CpuRunner>(pool_, home),
                                     pool_.cores(), "het-cpu-queue");
}

absl::StatusOr<std::unique_ptr<Queue>> CpuDevice::DoWrapNativeQueue(void*) {
  return absl::UnimplementedError("the cpu device has no queues but its own");
}

absl::StatusOr<Ref<Timeline>> CpuDevice::DoCreateTimeline(uint64_t initial) {
  return MakeRef<Timeline>(&driver(), initial);
}

absl::StatusOr<Ref<Program>> CpuDevice::DoBuild(const ProgramSource& source) {
  return NativeProgram::Make(source);
}

}  // namespace het::cpu
