#include "devices/streams/device.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/units.h"
#include "devices/streams/queue.h"
#include "devices/streams/timeline.h"

namespace het::streams {

StreamBuffer::StreamBuffer(StreamDevice& device, uint64_t bytes, Address address, void* host)
    : Buffer(device, bytes, host), address_(address) {
  device.allocated_.fetch_add(bytes, std::memory_order_relaxed);
}

StreamBuffer::~StreamBuffer() {
  auto& owner = static_cast<StreamDevice&>(device());
  {
    const Current current(owner.gpu());
    if (host() != nullptr) {
      owner.gpu().DeletePinned(host());
    } else {
      owner.gpu().DeleteMemory(address_);
    }
  }
  owner.allocated_.fetch_sub(bytes(), std::memory_order_relaxed);
}

absl::StatusOr<Ref<Program>> StreamProgram::Build(StreamDevice& device,
                                                  const ProgramSource& source) {
  Gpu& gpu = device.gpu();
  HET_ASSIGN_OR_RETURN(const Code code, gpu.Compile(source));
  const std::string what =
      absl::StrCat("loading program ", source.name, " on ", device.info().name);
  const Current current(gpu);
  void* module = nullptr;
  std::string log;
  if (const int error = gpu.LoadCode(code, &module, &log); error != 0) {
    return gpu.Error(error, log.empty() ? what : absl::StrCat(what, " (", log, ")"));
  }
  Ref<StreamProgram> program = MakeRef<StreamProgram>(device, module);
  for (const std::string& name : code.kernels) {
    void* handle = nullptr;
    HET_GPU_RETURN_IF_ERROR(gpu, gpu.FindKernel(module, name.c_str(), &handle),
                            absl::StrCat(what, ", kernel ", name));
    program->kernels_.push_back(std::make_unique<StreamKernel>(name, code.form, *program, handle,
                                                               gpu.ArgumentBytes(handle)));
  }
  return Ref<Program>(program);
}

StreamProgram::~StreamProgram() {
  const Current current(device_.gpu());
  device_.gpu().UnloadCode(module_);
}

absl::StatusOr<const Kernel*> StreamProgram::GetKernel(absl::string_view name) const {
  std::vector<absl::string_view> known;
  for (const auto& kernel : kernels_) {
    if (kernel->name() == name) return kernel.get();
    known.push_back(kernel->name());
  }
  return absl::NotFoundError(
      absl::StrCat("no kernel \"", name, "\"; there are: ", absl::StrJoin(known, ", ")));
}

StreamDevice::StreamDevice(Driver& driver, DeviceInfo info, std::unique_ptr<Gpu> gpu)
    : Device(driver, std::move(info), kNativeHandles | gpu->capabilities()),
      gpu_(std::move(gpu)),
      events_(*gpu_) {}

bool StreamDevice::Reaches(const Device& other) const {
  if (!Can(kPeerCopies) || &other.driver() != &driver()) return false;
  const auto* peer = dynamic_cast<const StreamDevice*>(&other);
  return peer != nullptr && gpu_->Reaches(peer->gpu());
}

absl::StatusOr<Ref<Buffer>> StreamDevice::DoAllocate(uint64_t bytes, MemoryKind kind) {
  if (bytes > info().memory_bytes) {  // drivers wrap sizes around
    return absl::ResourceExhaustedError(absl::StrCat("asked a buffer of ", FormatBytes(bytes),
                                                     " on ", info().name, ", which has ",
                                                     FormatBytes(info().memory_bytes)));
  }
  const Current current(*gpu_);
  if (kind == MemoryKind::kStaging) {
    void* host = nullptr;
    HET_GPU_RETURN_IF_ERROR(*gpu_, gpu_->NewPinned(bytes, &host),
                            absl::StrCat("pinning ", FormatBytes(bytes), " for ", info().name));
    return Ref<Buffer>(MakeRef<StreamBuffer>(*this, bytes, reinterpret_cast<Address>(host), host));
  }
  Address address = 0;
  HET_GPU_RETURN_IF_ERROR(*gpu_, gpu_->NewMemory(bytes, &address),
                          absl::StrCat("allocating ", FormatBytes(bytes), " on ", info().name));
  return Ref<Buffer>(MakeRef<StreamBuffer>(*this, bytes, address, nullptr));
}

absl::StatusOr<Ref<Buffer>> StreamDevice::DoWrapHostMemory(void*, uint64_t, bool) {
  // Kernels would read it over the bus: what is read more than once belongs into a buffer.
  return absl::UnimplementedError(absl::StrCat(info().name, " does not use host memory in place"));
}

absl::StatusOr<std::unique_ptr<Queue>> StreamDevice::DoCreateQueue(QueueKind kind) {
  const Current current(*gpu_);
  void* stream = nullptr;
  HET_GPU_RETURN_IF_ERROR(*gpu_, gpu_->NewStream(kind, &stream),
                          absl::StrCat("making a queue on ", info().name));
  return std::unique_ptr<Queue>(std::make_unique<StreamQueue>(*this, kind, stream, true));
}

absl::StatusOr<std::unique_ptr<Queue>> StreamDevice::DoWrapNativeQueue(void* handle) {
  const Current current(*gpu_);
  HET_RETURN_IF_ERROR(gpu_->CheckStream(handle));
  return std::unique_ptr<Queue>(
      std::make_unique<StreamQueue>(*this, QueueKind::kCompute, handle, false));
}

absl::StatusOr<Ref<Timeline>> StreamDevice::DoCreateTimeline(uint64_t initial) {
  return Ref<Timeline>(MakeRef<StreamTimeline>(driver(), initial));
}

absl::StatusOr<Ref<Program>> StreamDevice::DoBuild(const ProgramSource& source) {
  return StreamProgram::Build(*this, source);
}

}  // namespace het::streams
