#include "devices/opencl/device.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/units.h"
#include "devices/opencl/errors.h"
#include "devices/opencl/program.h"
#include "devices/opencl/queue.h"
#include "devices/opencl/timeline.h"

namespace het::opencl {
namespace {

constexpr size_t kAlignment = 4096;
constexpr uint64_t kHugePage = 2 * kMiB;

// Host memory for a buffer; std::free releases it. Huge pages where they pay: weights are read once
// per token, and each 4 KiB page would cost an entry of the TLB.
void* AllocateHost(uint64_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  const uint64_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (rounded < bytes) return nullptr;
  void* host = std::aligned_alloc(alignment, rounded);
  if (host != nullptr && alignment == kHugePage) madvise(host, rounded, MADV_HUGEPAGE);
  return host;
}

uint64_t NextSerial() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

absl::StatusOr<cl_command_queue> MakeInOrderQueue(const ClDeviceParts& parts, cl_context context,
                                                  cl_device_id id) {
  const Api& api = *parts.api;
  const cl_command_queue_properties properties =
      parts.found.profiles ? CL_QUEUE_PROFILING_ENABLE : 0;
  cl_int error = CL_SUCCESS;
  cl_command_queue queue = nullptr;
  HET_RETURN_IF_ERROR(RunOnCores(parts.thread_cores, [&] {
    if (parts.found.has_queue_properties && api.clCreateCommandQueueWithProperties != nullptr) {
      const cl_queue_properties list[] = {CL_QUEUE_PROPERTIES, properties, 0};
      queue = api.clCreateCommandQueueWithProperties(context, id, list, &error);
    } else {
      queue = api.clCreateCommandQueue(context, id, properties, &error);
    }
  }));
  HET_CL_RETURN_IF_ERROR(error, absl::StrCat("making a queue on ", parts.found.info.name));
  return queue;
}

// Whether a CL_MEM_USE_HOST_PTR buffer really is the host's memory: each side must see at once what
// the other wrote. A driver may keep a copy, and then neither does.
bool TryInPlace(const ClDeviceParts& parts, cl_context context, cl_device_id id) {
  constexpr size_t kBytes = 4096;
  const Api& api = *parts.api;
  absl::StatusOr<cl_command_queue> queue = MakeInOrderQueue(parts, context, id);
  if (!queue.ok()) return false;
  auto* host = static_cast<uint8_t*>(AllocateHost(kBytes));
  auto* target = static_cast<uint8_t*>(AllocateHost(kBytes));
  cl_int error = CL_OUT_OF_HOST_MEMORY, target_error = CL_OUT_OF_HOST_MEMORY;
  cl_mem memory = nullptr, target_memory = nullptr;
  if (host != nullptr && target != nullptr) {
    constexpr cl_mem_flags kFlags = CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR;
    memory = api.clCreateBuffer(context, kFlags, kBytes, host, &error);
    target_memory = api.clCreateBuffer(context, kFlags, kBytes, target, &target_error);
  }
  bool works = false;
  if (error == CL_SUCCESS && target_error == CL_SUCCESS) {
    const uint8_t pattern = 0x5A;
    memset(host, 1, kBytes);
    memset(target, 2, kBytes);
    works = api.clEnqueueFillBuffer(*queue, memory, &pattern, 1, 0, kBytes, 0, nullptr, nullptr) ==
                CL_SUCCESS &&
            api.clFinish(*queue) == CL_SUCCESS && host[0] == 0x5A && host[kBytes - 1] == 0x5A;
    memset(host, 0xA5, kBytes);
    works = works &&
            api.clEnqueueCopyBuffer(*queue, memory, target_memory, 0, 0, kBytes, 0, nullptr,
                                    nullptr) == CL_SUCCESS &&
            api.clFinish(*queue) == CL_SUCCESS && memcmp(host, target, kBytes) == 0;
  }
  if (memory != nullptr) api.clReleaseMemObject(memory);
  if (target_memory != nullptr) api.clReleaseMemObject(target_memory);
  api.clReleaseCommandQueue(*queue);
  std::free(host);
  std::free(target);
  return works;
}

}  // namespace

ClBuffer::ClBuffer(ClDevice& device, cl_mem memory, uint64_t bytes, void* host, Storage storage)
    : Buffer(device, bytes, host), memory_(memory), storage_(storage), serial_(NextSerial()) {
  if (storage_ != Storage::kWrapped) {
    device.allocated_.fetch_add(bytes, std::memory_order_relaxed);
  }
}

ClBuffer::~ClBuffer() {
  auto& owner = static_cast<ClDevice&>(device());
  owner.api().clReleaseMemObject(memory_);  // a pinned buffer's map ends with it
  if (storage_ == Storage::kOwned) std::free(host());
  if (storage_ != Storage::kWrapped) {
    owner.allocated_.fetch_sub(bytes(), std::memory_order_relaxed);
  }
}

absl::StatusOr<ClDevice::Handles> ClDevice::OpenHandles(const ClDeviceParts& parts) {
  const Api& api = *parts.api;
  Handles handles{.id = parts.found.id};
  if (parts.units > 0) {
    // By counts {skipped, wanted}: the driver hands out units from the first on.
    std::vector<cl_device_partition_property> counts = {CL_DEVICE_PARTITION_BY_COUNTS};
    if (parts.first_unit > 0) counts.push_back(parts.first_unit);
    counts.push_back(parts.units);
    counts.push_back(CL_DEVICE_PARTITION_BY_COUNTS_LIST_END);
    counts.push_back(0);
    const cl_uint wanted = parts.first_unit > 0 ? 2 : 1;
    cl_device_id made[2] = {};
    cl_uint count = 0;
    HET_CL_RETURN_IF_ERROR(
        api.clCreateSubDevices(parts.found.id, counts.data(), wanted, made, &count),
        absl::StrCat("making a sub-device of ", parts.units, " compute units on ",
                     parts.found.info.name));
    handles.id = made[wanted - 1];
    handles.sub_device = true;
    if (wanted == 2) api.clReleaseDevice(made[0]);
  }
  const cl_context_properties properties[] = {
      CL_CONTEXT_PLATFORM, reinterpret_cast<cl_context_properties>(parts.found.platform), 0};
  cl_int error = CL_SUCCESS;
  const absl::Status bound = RunOnCores(parts.thread_cores, [&] {
    handles.context = api.clCreateContext(properties, 1, &handles.id, nullptr, nullptr, &error);
  });
  if (!bound.ok() || error != CL_SUCCESS) {
    if (handles.sub_device) api.clReleaseDevice(handles.id);
    HET_RETURN_IF_ERROR(bound);
    return ErrorStatus(error, absl::StrCat("opening ", parts.found.info.name));
  }
  return handles;
}

void ClDevice::CloseHandles(const ClDeviceParts& parts, const Handles& handles) {
  parts.api->clReleaseContext(handles.context);
  if (handles.sub_device) parts.api->clReleaseDevice(handles.id);
  if (parts.give_back) parts.give_back();
}

absl::StatusOr<std::unique_ptr<Device>> ClDevice::Open(Driver& driver, ClDeviceParts parts) {
  absl::StatusOr<Handles> handles = OpenHandles(parts);
  if (!handles.ok()) {
    if (parts.give_back) parts.give_back();
    return handles.status();
  }
  DeviceInfo info = parts.found.info;
  if (parts.units > 0) info.compute_units = parts.units;
  uint32_t capabilities = kNativeHandles;
  if (parts.found.has_compiler) capabilities |= kRunsPortable;
  if (!parts.found.built_in.empty()) capabilities |= kRunsBuiltIn;
  if (parts.in_place && parts.found.is_cpu && parts.found.unified_memory &&
      TryInPlace(parts, handles->context, handles->id)) {
    capabilities |= kHostAddressable | kWrapsHostMemory;
  }
  return std::unique_ptr<Device>(
      new ClDevice(driver, std::move(info), capabilities, std::move(parts), *handles));
}

ClDevice::ClDevice(Driver& driver, DeviceInfo info, uint32_t capabilities, ClDeviceParts parts,
                   const Handles& handles)
    : Device(driver, std::move(info), capabilities),
      parts_(std::move(parts)),
      handles_(handles),
      id_(handles.id),
      context_(handles.context) {}

ClDevice::~ClDevice() { CloseHandles(parts_, handles_); }

absl::StatusOr<cl_command_queue> ClDevice::MakeQueue() {
  return MakeInOrderQueue(parts_, context_, id_);
}

absl::Status ClDevice::CheckSize(uint64_t bytes) const {
  if (bytes <= found().max_buffer_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "asked a buffer of ", FormatBytes(bytes), " on ", info().name, "; the driver's largest is ",
      FormatBytes(found().max_buffer_bytes), ": use several"));
}

absl::StatusOr<Ref<Buffer>> ClDevice::DoAllocate(uint64_t bytes, MemoryKind kind) {
  HET_RETURN_IF_ERROR(CheckSize(bytes));
  if (in_place()) return AllocateInPlace(bytes);
  if (kind == MemoryKind::kStaging) return AllocatePinned(bytes);
  cl_int error = CL_SUCCESS;
  cl_mem memory = api().clCreateBuffer(context_, CL_MEM_READ_WRITE, bytes, nullptr, &error);
  HET_CL_RETURN_IF_ERROR(error,
                         absl::StrCat("allocating ", FormatBytes(bytes), " on ", info().name));
  return Ref<Buffer>(MakeRef<ClBuffer>(*this, memory, bytes, nullptr, Storage::kDriver));
}

absl::StatusOr<Ref<Buffer>> ClDevice::AllocateInPlace(uint64_t bytes) {
  void* host = AllocateHost(bytes);
  if (host == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no host memory for a buffer of ", FormatBytes(bytes), " on ", info().name));
  }
  cl_int error = CL_SUCCESS;
  cl_mem memory =
      api().clCreateBuffer(context_, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, bytes, host, &error);
  if (error != CL_SUCCESS) {
    std::free(host);
    return ErrorStatus(error, absl::StrCat("allocating ", FormatBytes(bytes), " on ", info().name));
  }
  return Ref<Buffer>(MakeRef<ClBuffer>(*this, memory, bytes, host, Storage::kOwned));
}

absl::StatusOr<Ref<Buffer>> ClDevice::AllocatePinned(uint64_t bytes) {
  const std::string what = absl::StrCat("pinning ", FormatBytes(bytes), " for ", info().name);
  HET_ASSIGN_OR_RETURN(const cl_command_queue queue, MakeQueue());
  cl_int error = CL_SUCCESS;
  void* host = nullptr;
  cl_mem memory = api().clCreateBuffer(context_, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, bytes,
                                       nullptr, &error);
  if (error == CL_SUCCESS) {
    host = api().clEnqueueMapBuffer(queue, memory, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, bytes, 0,
                                    nullptr, nullptr, &error);
    if (error != CL_SUCCESS) api().clReleaseMemObject(memory);
  }
  api().clReleaseCommandQueue(queue);
  HET_CL_RETURN_IF_ERROR(error, what);
  return Ref<Buffer>(MakeRef<ClBuffer>(*this, memory, bytes, host, Storage::kPinned));
}

absl::StatusOr<Ref<Buffer>> ClDevice::DoWrapHostMemory(void* address, uint64_t bytes,
                                                       bool writable) {
  HET_RETURN_IF_ERROR(CheckSize(bytes));
  cl_int error = CL_SUCCESS;
  const cl_mem_flags flags =
      CL_MEM_USE_HOST_PTR | (writable ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY);
  cl_mem memory = api().clCreateBuffer(context_, flags, bytes, address, &error);
  HET_CL_RETURN_IF_ERROR(
      error, absl::StrCat("wrapping ", FormatBytes(bytes), " of host memory on ", info().name));
  return Ref<Buffer>(MakeRef<ClBuffer>(*this, memory, bytes, address, Storage::kWrapped));
}

absl::StatusOr<std::unique_ptr<Queue>> ClDevice::DoCreateQueue(QueueKind kind) {
  HET_ASSIGN_OR_RETURN(const cl_command_queue queue, MakeQueue());
  return std::unique_ptr<Queue>(std::make_unique<ClQueue>(*this, kind, queue, found().profiles));
}

absl::StatusOr<std::unique_ptr<Queue>> ClDevice::DoWrapNativeQueue(void* handle) {
  auto queue = static_cast<cl_command_queue>(handle);
  cl_context context = nullptr;
  cl_device_id id = nullptr;
  cl_command_queue_properties properties = 0;
  HET_CL_RETURN_IF_ERROR(
      api().clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof(context), &context, nullptr),
      "asking a queue's context");
  HET_CL_RETURN_IF_ERROR(
      api().clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof(id), &id, nullptr),
      "asking a queue's device");
  HET_CL_RETURN_IF_ERROR(api().clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof(properties),
                                                     &properties, nullptr),
                         "asking a queue's properties");
  if (context != context_ || id != id_) {
    return absl::InvalidArgumentError(
        absl::StrCat("the queue to wrap belongs to another OpenCL context or device; make it in "
                     "the context that native_handle() of ",
                     info().name, " gives"));
  }
  if ((properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE) != 0) {
    return absl::InvalidArgumentError("the queue to wrap is out of order; het queues are in order");
  }
  HET_CL_RETURN_IF_ERROR(api().clRetainCommandQueue(queue), "retaining a queue");
  const bool profiles = found().profiles && (properties & CL_QUEUE_PROFILING_ENABLE) != 0;
  return std::unique_ptr<Queue>(
      std::make_unique<ClQueue>(*this, QueueKind::kCompute, queue, profiles));
}

absl::StatusOr<Ref<Timeline>> ClDevice::DoCreateTimeline(uint64_t initial) {
  return Ref<Timeline>(MakeRef<ClTimeline>(driver(), api(), initial));
}

absl::StatusOr<Ref<Program>> ClDevice::DoBuild(const ProgramSource& source) {
  return BuildProgram(*this, source);
}

}  // namespace het::opencl
