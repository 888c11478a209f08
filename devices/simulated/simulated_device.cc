#include "devices/simulated/simulated_device.h"

#include "base/clock.h"
#include "base/status.h"
#include "devices/cpu/native_program.h"
#include "devices/simulated/timed_queue.h"
#include "devices/simulated/virtual_queue.h"

namespace het::simulated {
namespace {

// A buffer with nothing behind it.
class VirtualBuffer final : public Buffer {
 public:
  VirtualBuffer(Device& device, uint64_t bytes, cpu::MemoryAccount& account)
      : Buffer(device, bytes, nullptr), account_(account) {}
  ~VirtualBuffer() override { account_.Give(bytes()); }

 private:
  cpu::MemoryAccount& account_;
};

}  // namespace

SimulatedDevice::SimulatedDevice(Driver& driver, DeviceInfo info, uint32_t capabilities,
                                 const DeviceModel& model, Card& card)
    : Device(driver, std::move(info), capabilities),
      model_(model),
      speed_(static_cast<double>(this->info().compute_units) / model.info.compute_units),
      card_(card),
      compute_(speed_ < 1 ? own_compute_ : card.compute),
      faults_(FaultState::Of(model.info.uuid, model.faults)),
      account_(model.info.memory_bytes) {}

Cost SimulatedDevice::LaunchCost(const std::string& kernel, uint32_t units,
                                 const WorkEstimate& work) {
  return {&compute_, model_.LaunchNanos(kernel, units, work, speed_)};
}

Cost SimulatedDevice::CopyCost(cpu::Op::Route route, uint64_t bytes) {
  if (bytes == 0) return {};
  switch (route) {
    case cpu::Op::Route::kToDevice:
      return {&card_.to_device, model_.LinkNanos(bytes, faults_->link_slowdown())};
    case cpu::Op::Route::kFromDevice:
      return {&card_.from_device, model_.LinkNanos(bytes, faults_->link_slowdown())};
    case cpu::Op::Route::kWithin:
      break;
  }
  // Read and written.
  return {&compute_, model_.MemoryNanos(2.0 * static_cast<double>(bytes), speed_)};
}

Cost SimulatedDevice::FillCost(uint64_t bytes) {
  if (bytes == 0) return {};
  return {&compute_, model_.MemoryNanos(static_cast<double>(bytes), speed_)};
}

absl::StatusOr<Ref<Buffer>> SimulatedDevice::DoWrapHostMemory(void*, uint64_t, bool) {
  return absl::UnimplementedError("a simulated device does not use host memory in place");
}

absl::StatusOr<std::unique_ptr<Queue>> SimulatedDevice::DoWrapNativeQueue(void*) {
  return absl::UnimplementedError("a simulated device has no native queues");
}

absl::StatusOr<Ref<Program>> SimulatedDevice::DoBuild(const ProgramSource& source) {
  HET_RETURN_IF_ERROR(faults_->lost());
  return cpu::NativeProgram::Make(source);
}

FunctionalDevice::FunctionalDevice(Driver& driver, DeviceInfo info, const DeviceModel& model,
                                   Card& card, std::vector<uint32_t> cores)
    : SimulatedDevice(driver, std::move(info), kRunsNative, model, card),
      cores_(std::move(cores)),
      opened_(Clock::Real().MonotonicNanos()) {}

absl::StatusOr<Ref<Buffer>> FunctionalDevice::DoAllocate(uint64_t bytes, MemoryKind kind) {
  HET_RETURN_IF_ERROR(faults().CheckAllocation(account().taken(), bytes, info().name));
  return cpu::HostBuffer::Allocate(*this, account(), bytes,
                                   /*visible=*/kind == MemoryKind::kStaging);
}

absl::StatusOr<std::unique_ptr<Queue>> FunctionalDevice::DoCreateQueue(QueueKind kind) {
  HET_RETURN_IF_ERROR(faults().lost());
  return TimedQueue::Make(*this, kind, cores_, opened_);
}

absl::StatusOr<Ref<Timeline>> FunctionalDevice::DoCreateTimeline(uint64_t initial) {
  return MakeRef<Timeline>(&driver(), initial);
}

TimingDevice::TimingDevice(Driver& driver, DeviceInfo info, const DeviceModel& model, Card& card,
                           std::shared_ptr<VirtualClock> clock)
    : SimulatedDevice(driver, std::move(info), kRunsNative | kVirtualTime | kNoData, model, card),
      clock_(std::move(clock)),
      opened_(clock_->NowNanos()) {
  // A loss that is due is told at its time, whether or not an operation is about to start.
  if (const auto at = faults().lose_at_nanos(); at.has_value()) {
    clock_->At(
        opened_ + *at,
        [state = Ref<FaultState>(&faults()), nanos = *at] {
          // The plan may have changed since.
          if (state->lose_at_nanos() == nanos) (void)state->BeforeOp(nanos);
        },
        /*background=*/true);
  }
}

absl::StatusOr<Ref<Buffer>> TimingDevice::DoAllocate(uint64_t bytes, MemoryKind) {
  HET_RETURN_IF_ERROR(faults().CheckAllocation(account().taken(), bytes, info().name));
  HET_RETURN_IF_ERROR(account().Take(bytes, info().name));
  return Ref<Buffer>(MakeRef<VirtualBuffer>(*this, bytes, account()));
}

absl::StatusOr<std::unique_ptr<Queue>> TimingDevice::DoCreateQueue(QueueKind kind) {
  HET_RETURN_IF_ERROR(faults().lost());
  return std::make_unique<VirtualQueue>(*this, kind, clock_, opened_);
}

absl::StatusOr<Ref<Timeline>> TimingDevice::DoCreateTimeline(uint64_t initial) {
  return Ref<Timeline>(MakeRef<VirtualTimeline>(driver(), initial, clock_));
}

}  // namespace het::simulated
