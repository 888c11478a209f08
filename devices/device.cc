#include "devices/device.h"

#include "absl/strings/str_cat.h"

namespace het {
namespace {

absl::Status Unable(const Device& device, absl::string_view what) {
  return absl::UnimplementedError(absl::StrCat("the ", device.info().backend, " device ",
                                               device.info().name, " cannot ", what));
}

}  // namespace

absl::StatusOr<Ref<Buffer>> Device::Allocate(uint64_t bytes, MemoryKind kind) {
  if (bytes == 0) return absl::InvalidArgumentError("asked a buffer of 0 bytes");
  return DoAllocate(bytes, kind);
}

absl::StatusOr<Ref<Buffer>> Device::WrapHostMemory(void* address, uint64_t bytes, bool writable) {
  if (!Can(kWrapsHostMemory)) return Unable(*this, "use host memory in place");
  if (address == nullptr || bytes == 0)
    return absl::InvalidArgumentError("asked to wrap no memory");
  if (reinterpret_cast<uintptr_t>(address) % 64 != 0) {
    return absl::InvalidArgumentError("host memory to wrap must be aligned to 64 bytes");
  }
  return DoWrapHostMemory(address, bytes, writable);
}

absl::StatusOr<std::unique_ptr<Queue>> Device::CreateQueue(QueueKind kind) {
  return DoCreateQueue(kind);
}

absl::StatusOr<std::unique_ptr<Queue>> Device::WrapNativeQueue(void* handle) {
  if (!Can(kNativeHandles)) return Unable(*this, "wrap native queues");
  if (handle == nullptr) return absl::InvalidArgumentError("asked to wrap a null queue handle");
  return DoWrapNativeQueue(handle);
}

absl::StatusOr<Ref<Timeline>> Device::CreateTimeline(uint64_t initial) {
  return DoCreateTimeline(initial);
}

absl::StatusOr<Ref<Program>> Device::Build(const ProgramSource& source) {
  if (source.portable.empty() && source.native.empty() && source.graph.empty() &&
      source.built_in.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "program ", source.name,
        " has no portable source, no native functions, no graph and no built-in kernels"));
  }
  if (!(Can(kRunsNative) && !source.native.empty()) &&
      !(Can(kRunsPortable) && !source.portable.empty()) &&
      !(Can(kRunsGraphs) && !source.graph.empty()) &&
      !(Can(kRunsBuiltIn) && !source.built_in.empty())) {
    return Unable(*this,
                  absl::StrCat("run program ", source.name, ": it has no form for this device"));
  }
  return DoBuild(source);
}

}  // namespace het
