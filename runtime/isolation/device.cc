#include "runtime/isolation/device.h"

#include <utility>

#include "base/status.h"
#include "runtime/isolation/queue.h"

namespace het::runtime::isolation {
namespace {

// The id that a worker's answer begins with.
absl::StatusOr<uint64_t> IdFrom(const absl::StatusOr<std::string>& answer) {
  HET_RETURN_IF_ERROR(answer.status());
  Unpacker in(*answer);
  const auto id = in.Get<uint64_t>();
  if (!in.ok()) return absl::InternalError("the worker's answer is cut off");
  return id;
}

}  // namespace

IsolatedDevice::~IsolatedDevice() { connection_->Tell(Verb::kClose, Packer().Put(id_).Take()); }

absl::StatusOr<Ref<Buffer>> IsolatedDevice::DoAllocate(uint64_t bytes, MemoryKind kind) {
  (void)kind;  // staging memory of the worker's driver has no address here: copies have their own
  HET_ASSIGN_OR_RETURN(
      const uint64_t id,
      IdFrom(connection_->Call(Verb::kAllocate, Packer().Put(id_).Put(bytes).Take())));
  return Ref<Buffer>(MakeRef<IsolatedBuffer>(*this, bytes, id));
}

absl::StatusOr<Ref<Buffer>> IsolatedDevice::DoWrapHostMemory(void*, uint64_t, bool) {
  return absl::UnimplementedError("an isolated device cannot use this process's memory in place");
}

absl::StatusOr<std::unique_ptr<Queue>> IsolatedDevice::DoCreateQueue(QueueKind kind) {
  return IsolatedQueue::Create(*this, id_, kind);
}

absl::StatusOr<std::unique_ptr<Queue>> IsolatedDevice::DoWrapNativeQueue(void*) {
  return absl::UnimplementedError("an isolated device has no native handles in this process");
}

absl::StatusOr<Ref<Timeline>> IsolatedDevice::DoCreateTimeline(uint64_t initial) {
  return MakeRef<Timeline>(&driver(), initial);
}

absl::StatusOr<Ref<Program>> IsolatedDevice::DoBuild(const ProgramSource& source) {
  HET_ASSIGN_OR_RETURN(
      const uint64_t id,
      IdFrom(connection_->Call(
          Verb::kBuild,
          Packer().Put(id_).Text(source.name).Text(source.portable).Text(source.options).Take())));
  return Ref<Program>(MakeRef<IsolatedProgram>(*this, id));
}

IsolatedBuffer::IsolatedBuffer(IsolatedDevice& device, uint64_t bytes, uint64_t id)
    : Buffer(device, bytes, nullptr), device_(device), id_(id) {
  device_.allocated_.fetch_add(bytes, std::memory_order_relaxed);
}

IsolatedBuffer::~IsolatedBuffer() {
  // In the order of the socket: what was queued before keeps the memory until it is done.
  device_.connection()->Tell(Verb::kFree, Packer().Put(id_).Take());
  device_.allocated_.fetch_sub(bytes(), std::memory_order_relaxed);
}

absl::StatusOr<const Kernel*> IsolatedProgram::GetKernel(absl::string_view name) const {
  absl::MutexLock lock(&mutex_);
  const std::string key(name);
  auto& kernel = kernels_[key];
  if (kernel != nullptr) return kernel.get();
  const auto id =
      IdFrom(device_.connection()->Call(Verb::kFindKernel, Packer().Put(id_).Text(name).Take()));
  if (!id.ok()) {
    kernels_.erase(key);
    return id.status();
  }
  kernel = std::make_unique<IsolatedKernel>(key, *this, *id);
  return kernel.get();
}

IsolatedProgram::~IsolatedProgram() {
  device_.connection()->Tell(Verb::kDestroyProgram, Packer().Put(id_).Take());
}

}  // namespace het::runtime::isolation
