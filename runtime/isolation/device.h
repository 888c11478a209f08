// IsolatedDevice and what is made on it: stand-ins for objects in a worker process.
//
// Ownership: as Device. Threads: as the contract says of each.
#ifndef HET_RUNTIME_ISOLATION_DEVICE_H_
#define HET_RUNTIME_ISOLATION_DEVICE_H_

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/device.h"
#include "runtime/isolation/connection.h"

namespace het::runtime::isolation {

class IsolatedDevice final : public Device {
 public:
  IsolatedDevice(Driver& driver, DeviceInfo info, uint32_t capabilities, uint64_t id,
                 std::shared_ptr<Connection> connection)
      : Device(driver, std::move(info), capabilities),
        id_(id),
        connection_(std::move(connection)) {}
  ~IsolatedDevice() override;

  const std::shared_ptr<Connection>& connection() const { return connection_; }
  uint64_t allocated_bytes() const override { return allocated_.load(std::memory_order_relaxed); }

 private:
  friend class IsolatedBuffer;

  absl::StatusOr<Ref<Buffer>> DoAllocate(uint64_t bytes, MemoryKind kind) override;
  absl::StatusOr<Ref<Buffer>> DoWrapHostMemory(void*, uint64_t, bool) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoCreateQueue(QueueKind kind) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoWrapNativeQueue(void*) override;
  absl::StatusOr<Ref<Timeline>> DoCreateTimeline(uint64_t initial) override;
  absl::StatusOr<Ref<Program>> DoBuild(const ProgramSource& source) override;

  const uint64_t id_;
  const std::shared_ptr<Connection> connection_;
  std::atomic<uint64_t> allocated_{0};
};

class IsolatedBuffer final : public Buffer {
 public:
  IsolatedBuffer(IsolatedDevice& device, uint64_t bytes, uint64_t id);
  uint64_t id() const { return id_; }

 private:
  ~IsolatedBuffer() override;
  IsolatedDevice& device_;
  const uint64_t id_;
};

class IsolatedProgram;

class IsolatedKernel final : public Kernel {
 public:
  IsolatedKernel(std::string name, const IsolatedProgram& program, uint64_t id)
      : Kernel(std::move(name), KernelForm::kPortable), program_(program), id_(id) {}
  const IsolatedProgram& program() const { return program_; }
  uint64_t id() const { return id_; }

 private:
  const IsolatedProgram& program_;
  const uint64_t id_;
};

class IsolatedProgram final : public Program {
 public:
  IsolatedProgram(IsolatedDevice& device, uint64_t id) : device_(device), id_(id) {}
  absl::StatusOr<const Kernel*> GetKernel(absl::string_view name) const override;
  IsolatedDevice& device() const { return device_; }

 private:
  ~IsolatedProgram() override;
  IsolatedDevice& device_;
  const uint64_t id_;
  mutable absl::Mutex mutex_;
  mutable std::map<std::string, std::unique_ptr<IsolatedKernel>> kernels_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::runtime::isolation

#endif  // HET_RUNTIME_ISOLATION_DEVICE_H_
