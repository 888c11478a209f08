// SimulatedDevice: what both modes share: the model, the part of it that was opened, its memory
// account and its faults. Timing mode is in virtual_queue.h, functional mode in timed_queue.h.
//
// A part of a device (OpenOptions::compute_units) has its part of the rates of compute and memory;
// the link is not divided. Threads: thread-safe. The driver owns the card and the clock.
#ifndef HET_DEVICES_SIMULATED_SIMULATED_DEVICE_H_
#define HET_DEVICES_SIMULATED_SIMULATED_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "devices/cpu/host_memory.h"
#include "devices/cpu/op.h"
#include "devices/device.h"
#include "devices/simulated/card.h"
#include "devices/simulated/faults.h"
#include "devices/simulated/profile.h"
#include "devices/simulated/virtual_clock.h"

namespace het::simulated {

// What an operation costs, and which engine does it.
struct Cost {
  Engine* engine = nullptr;
  int64_t nanos = 0;
};

class SimulatedDevice : public Device {
 public:
  // `info`: the model's, as opened.
  SimulatedDevice(Driver& driver, DeviceInfo info, uint32_t capabilities, const DeviceModel& model,
                  Card& card);

  uint64_t allocated_bytes() const override { return account_.taken(); }

  Cost LaunchCost(const std::string& kernel, uint32_t units, const WorkEstimate& work);
  Cost CopyCost(cpu::Op::Route route, uint64_t bytes);
  Cost FillCost(uint64_t bytes);
  FaultState& faults() { return *faults_; }
  // Held while a native kernel runs: one at a time, as the contract of het/kernel.h wants for
  // worker numbers, and as the one compute engine does.
  absl::Mutex& kernel_mutex() { return kernel_mutex_; }

 protected:
  cpu::MemoryAccount& account() { return account_; }

 private:
  absl::StatusOr<Ref<Buffer>> DoWrapHostMemory(void* address, uint64_t bytes,
                                               bool writable) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoWrapNativeQueue(void* handle) override;
  absl::StatusOr<Ref<Program>> DoBuild(const ProgramSource& source) override;

  const DeviceModel& model_;
  const double speed_;  // of the whole: (0, 1]
  Card& card_;
  Engine own_compute_;  // of a part
  Engine& compute_;
  const Ref<FaultState> faults_;
  absl::Mutex kernel_mutex_;
  cpu::MemoryAccount account_;
};

// Kernels and copies really run, on one host thread per queue; completion is held back to the
// profile's time. Staging buffers are host-addressable, device buffers are not, as on most cards.
class FunctionalDevice final : public SimulatedDevice {
 public:
  // Queue threads run on `cores` (empty: anywhere).
  FunctionalDevice(Driver& driver, DeviceInfo info, const DeviceModel& model, Card& card,
                   std::vector<uint32_t> cores);

 private:
  absl::StatusOr<Ref<Buffer>> DoAllocate(uint64_t bytes, MemoryKind kind) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoCreateQueue(QueueKind kind) override;
  absl::StatusOr<Ref<Timeline>> DoCreateTimeline(uint64_t initial) override;

  const std::vector<uint32_t> cores_;
  const int64_t opened_;
};

// Nothing runs and no memory is behind buffers: time passes on the driver's virtual clock.
class TimingDevice final : public SimulatedDevice {
 public:
  TimingDevice(Driver& driver, DeviceInfo info, const DeviceModel& model, Card& card,
               std::shared_ptr<VirtualClock> clock);

  const Clock& clock() const override { return *clock_; }

 private:
  absl::StatusOr<Ref<Buffer>> DoAllocate(uint64_t bytes, MemoryKind kind) override;
  absl::StatusOr<std::unique_ptr<Queue>> DoCreateQueue(QueueKind kind) override;
  absl::StatusOr<Ref<Timeline>> DoCreateTimeline(uint64_t initial) override;

  const std::shared_ptr<VirtualClock> clock_;
  const int64_t opened_;
};

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_SIMULATED_DEVICE_H_
