#include "runtime/lease.h"

#include <utility>

#include "base/status.h"
#include "runtime/gated_queue.h"
#include "runtime/session.h"

namespace het::runtime {

LeaseHandle::LeaseHandle(Ref<Session> session, Lease grant, const DeviceInfo& info)
    : Handle(kKind),
      session_(std::move(session)),
      grant_(std::move(grant)),
      info_(info),
      quota_(MakeRef<Quota>(grant_.slice.memory_bytes, info.name)),
      work_(MakeRef<WorkAccount>()) {}

LeaseHandle::~LeaseHandle() {
  if (!owned_) return;
  {
    absl::MutexLock lock(&mutex_);
    device_.reset();  // closed before somebody else may have the slice
  }
  session_->Released(*this);
}

absl::StatusOr<Device*> LeaseHandle::device() {
  absl::MutexLock lock(&mutex_);
  if (device_ == nullptr) {
    HET_ASSIGN_OR_RETURN(Driver * driver, session_->DriverFor(info_));
    OpenOptions options;
    options.cores = grant_.slice.cores;
    options.compute_units = grant_.slice.compute_units;
    HET_ASSIGN_OR_RETURN(device_, driver->Open(info_.uuid, options));
    const bool real_time = &device_->clock() == &Clock::Real();
    if (seat_ != nullptr && grant_.slice.time_shared && real_time) {
      gate_ = MakeRef<Gate>(seat_);
      work_->GoThrough(gate_);
    }
  }
  return device_.get();
}

absl::Status LeaseHandle::TakeSeat() {
  HET_ASSIGN_OR_RETURN(seat_, session_->Attach(grant_));
  if (seat_ != nullptr) quota_->CountIn(seat_);
  return absl::OkStatus();
}

template <typename Make>
absl::StatusOr<Ref<BufferHandle>> LeaseHandle::Charge(uint64_t bytes, Make make) {
  HET_ASSIGN_OR_RETURN(Device * opened, device());
  HET_RETURN_IF_ERROR(quota_->Reserve(bytes));
  absl::StatusOr<Ref<Buffer>> buffer = make(*opened);
  if (!buffer.ok()) {
    quota_->GiveBack(bytes);
    return buffer.status();
  }
  (*buffer)->CallWhenFreed([quota = quota_, bytes] { quota->GiveBack(bytes); });
  return MakeRef<BufferHandle>(Ref<LeaseHandle>(this), *std::move(buffer));
}

absl::StatusOr<Ref<BufferHandle>> LeaseHandle::Allocate(uint64_t bytes, MemoryKind kind) {
  return Charge(bytes, [&](Device& device) { return device.Allocate(bytes, kind); });
}

absl::StatusOr<Ref<BufferHandle>> LeaseHandle::WrapHost(void* address, uint64_t bytes,
                                                        bool writable) {
  return Charge(bytes,
                [&](Device& device) { return device.WrapHostMemory(address, bytes, writable); });
}

absl::StatusOr<Ref<QueueHandle>> LeaseHandle::CreateQueue(QueueKind kind) {
  HET_ASSIGN_OR_RETURN(Device * opened, device());
  HET_ASSIGN_OR_RETURN(std::unique_ptr<Queue> queue, opened->CreateQueue(kind));
  Ref<Gate> gate;
  {
    absl::MutexLock lock(&mutex_);
    gate = gate_;
  }
  if (gate) {
    HET_ASSIGN_OR_RETURN(queue, GatedQueue::Create(std::move(queue), std::move(gate)));
  }
  return MakeRef<QueueHandle>(Ref<LeaseHandle>(this), std::move(queue));
}

}  // namespace het::runtime
