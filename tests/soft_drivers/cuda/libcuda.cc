// The soft libcuda.so.1: NVIDIA's entry points over cards that are host memory and PoCL. What a
// call checks, returns and breaks is as NVIDIA's documentation has it; what it computes is real.
#include <algorithm>
#include <cstring>

#include "tests/soft_drivers/common/module_text.h"
#include "tests/soft_drivers/cuda/entry.h"

namespace het::cuda {

using namespace soft::cuda;  // NOLINT(google-build-using-namespace): one driver in two files

// ---- The driver and its devices ----

HET_EXPORT CUresult cuInit(unsigned int flags) {
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  const CUresult fault = ErrorOf(The().engine.Check("cuInit"));
  if (fault != CUDA_SUCCESS) return fault;
  if (The().cards.empty()) return CUDA_ERROR_NO_DEVICE;
  The().initialised.store(true, std::memory_order_release);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDriverGetVersion(int* version) {
  *version = static_cast<int>(The().engine.settings.Number("version", 13000));
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGetErrorName(CUresult error, const char** name) {
#define HET_NAME(value) \
  case value:           \
    *name = #value;     \
    return CUDA_SUCCESS;
  switch (error) {
    HET_NAME(CUDA_SUCCESS)
    HET_NAME(CUDA_ERROR_INVALID_VALUE)
    HET_NAME(CUDA_ERROR_OUT_OF_MEMORY)
    HET_NAME(CUDA_ERROR_NOT_INITIALIZED)
    HET_NAME(CUDA_ERROR_NO_DEVICE)
    HET_NAME(CUDA_ERROR_INVALID_DEVICE)
    HET_NAME(CUDA_ERROR_INVALID_IMAGE)
    HET_NAME(CUDA_ERROR_INVALID_CONTEXT)
    HET_NAME(CUDA_ERROR_ECC_UNCORRECTABLE)
    HET_NAME(CUDA_ERROR_INVALID_HANDLE)
    HET_NAME(CUDA_ERROR_NOT_FOUND)
    HET_NAME(CUDA_ERROR_NOT_READY)
    HET_NAME(CUDA_ERROR_ILLEGAL_ADDRESS)
    HET_NAME(CUDA_ERROR_LAUNCH_TIMEOUT)
    HET_NAME(CUDA_ERROR_LAUNCH_FAILED)
    HET_NAME(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)
    HET_NAME(CUDA_ERROR_UNKNOWN)
    default:
      *name = nullptr;
      return CUDA_ERROR_INVALID_VALUE;
  }
#undef HET_NAME
}

HET_EXPORT CUresult cuDeviceGetCount(int* count) {
  if (const CUresult error = Enter("cuDeviceGetCount"); error != CUDA_SUCCESS) return error;
  *count = The().engine.cards();
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  if (const CUresult error = Enter("cuDeviceGet"); error != CUDA_SUCCESS) return error;
  if (!IsDevice(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::snprintf(name, static_cast<size_t>(length), "%s", The().cards[device].name.c_str());
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::memcpy(uuid->bytes, The().cards[device].uuid.data(), 16);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  const CUresult error = cuDeviceGetUuid_v2(uuid, device);
  if (error == CUDA_SUCCESS) uuid->bytes[14] = 0;  // the card's, not the instance's
  return error;
}

HET_EXPORT CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  *bytes = The().cards[device].memory;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  const CardFacts& facts = The().cards[device];
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      *value = kMostThreads;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      *value = static_cast<int>(facts.units);
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
      *value = 1;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      *value = facts.capability / 10;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      *value = facts.capability % 10;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
      *value = static_cast<int>(The().engine.settings.Number("pools", 1, facts.card));
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
    case CU_DEVICE_ATTRIBUTE_INTEGRATED:
    case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE:
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE:
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH:
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
    case CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID:
      *value = 0;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

HET_EXPORT CUresult cuDeviceGetPCIBusId(char* text, int length, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  std::snprintf(text, static_cast<size_t>(length), "0000:%02X:00.0",
                0xC0 + The().cards[device].card);
  return CUDA_SUCCESS;
}

// ---- Contexts ----

HET_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (const CUresult error = Enter("cuDevicePrimaryCtxRetain", device); error != CUDA_SUCCESS)
    return error;
  const std::lock_guard lock(The().mutex);
  ++The().primary[device].uses;
  *context = &The().primary[device];
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  bool last = false;
  {
    const std::lock_guard lock(The().mutex);
    if (The().primary[device].uses == 0) return CUDA_ERROR_INVALID_CONTEXT;
    last = --The().primary[device].uses == 0;
  }
  if (last) The().Clear(&The().primary[device]);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuCtxGetCurrent(CUcontext* context) {
  *context = Current();
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
  Current() = context;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  SOFT_ENTER(cuCtxGetStreamPriorityRange);
  *least = kLeastPriority;
  *greatest = kGreatestPriority;
  return CUDA_SUCCESS;
}

// ---- Green contexts ----

HET_EXPORT CUresult cuDeviceGetDevResource(CUdevice device, CUdevResource* resource, int type) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (type != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_VALUE;
  *resource = {};
  resource->type = type;
  resource->sm = {The().cards[device].units, kGreenGroup, kGreenGroup};
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDevSmResourceSplitByCount(CUdevResource* result, unsigned int* groups,
                                                const CUdevResource* input,
                                                CUdevResource* remaining, unsigned int flags,
                                                unsigned int min_count) {
  if (groups == nullptr || input == nullptr || input->type != CU_DEV_RESOURCE_TYPE_SM || flags > 3)
    return CUDA_ERROR_INVALID_VALUE;
  const unsigned int size =
      std::max(kGreenGroup, (min_count + kGreenGroup - 1) / kGreenGroup * kGreenGroup);
  const unsigned int most = input->sm.smCount / size;
  if (result == nullptr) {
    *groups = most;
    return CUDA_SUCCESS;
  }
  *groups = std::min(*groups, most);
  for (unsigned int i = 0; i <= *groups; ++i) {
    CUdevResource* to = i < *groups ? &result[i] : remaining;
    if (to == nullptr) continue;
    *to = *input;
    const unsigned int first = i * size;
    std::memcpy(to->internal_padding, &first, sizeof(first));
    to->sm.smCount = i < *groups ? size : input->sm.smCount - first;
    if (to->sm.smCount == 0) to->type = 0;
  }
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDevResourceGenerateDesc(CUdevResourceDesc* description,
                                              CUdevResource* resources, unsigned int count) {
  if (count == 0) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<CUdevResourceDescOpaque>();
  std::memcpy(&made->first_unit, resources->internal_padding, sizeof(made->first_unit));
  for (unsigned int i = 0; i < count; ++i) {
    if (resources[i].type != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_VALUE;
    made->units += resources[i].sm.smCount;
  }
  *description = made.release();  // CUDA has no call that frees it
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGreenCtxCreate(CUgreenCtx* context, CUdevResourceDesc description,
                                     CUdevice device, unsigned int flags) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (const CUresult error = Enter("cuGreenCtxCreate", device); error != CUDA_SUCCESS) return error;
  if (flags != CU_GREEN_CTX_DEFAULT_STREAM) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<CUctxOpaque>();
  made->card = device;
  made->first_unit = description->first_unit;
  made->units = description->units;
  *context = reinterpret_cast<CUgreenCtx>(made.release());
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGreenCtxDestroy(CUgreenCtx context) {
  delete reinterpret_cast<CUcontext>(context);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuCtxFromGreenCtx(CUcontext* context, CUgreenCtx green) {
  *context = reinterpret_cast<CUcontext>(green);
  return CUDA_SUCCESS;
}

// ---- Streams and events ----

HET_EXPORT CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned int flags, int) {
  SOFT_ENTER(cuStreamCreateWithPriority);
  if (flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  *stream = NewStream(Current());  // PoCL has no priorities
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGreenCtxStreamCreate(CUstream* stream, CUgreenCtx context, unsigned int flags,
                                           int) {
  if (flags != CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  *stream = NewStream(reinterpret_cast<CUcontext>(context));
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuStreamDestroy_v2(CUstream stream) {
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  {
    const std::lock_guard lock(The().mutex);
    The().streams.erase(stream);
    The().capturing.erase(stream);
  }
  delete stream;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuStreamGetCtx(CUstream stream, CUcontext* context) {
  *context = Resolve(stream)->context;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuStreamSynchronize(CUstream stream) {
  SOFT_ENTER(cuStreamSynchronize);
  if (SpoilsCapture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  Resolve(stream)->stream->Synchronize();
  return EnterCurrent("cuStreamSynchronize");  // what failed meanwhile
}

HET_EXPORT CUresult cuStreamQuery(CUstream stream) {
  SOFT_ENTER(cuStreamQuery);
  return Resolve(stream)->stream->idle() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

HET_EXPORT CUresult cuEventCreate(CUevent* event, unsigned int) {
  SOFT_ENTER(cuEventCreate);
  *event = new CUeventOpaque;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuEventDestroy_v2(CUevent event) {
  delete event;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
  SOFT_ENTER(cuEventRecord);
  CUstream in = Resolve(stream);
  if (in->captured_in != nullptr) {
    in->captured_in->nodes.push_back({{}, [] {}});
  } else {
    event->Record(*in->stream);
  }
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) {
  SOFT_ENTER(cuStreamWaitEvent);
  if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
  event->WaitIn(*Resolve(stream)->stream);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuEventQuery(CUevent event) {
  SOFT_ENTER(cuEventQuery);
  if (SpoilsCapture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return event->reached() ? EnterCurrent("cuEventQuery") : CUDA_ERROR_NOT_READY;
}

HET_EXPORT CUresult cuEventSynchronize(CUevent event) {
  SOFT_ENTER(cuEventSynchronize);
  if (SpoilsCapture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  event->Wait();
  return EnterCurrent("cuEventSynchronize");
}

HET_EXPORT CUresult cuEventElapsedTime(float* milliseconds, CUevent begin, CUevent end) {
  SOFT_ENTER(cuEventElapsedTime);
  bool ready = false;
  if (!soft::Event::Elapsed(*begin, *end, milliseconds, &ready)) return CUDA_ERROR_INVALID_HANDLE;
  return ready ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

HET_EXPORT CUresult cuLaunchHostFunc(CUstream stream, void (*function)(void*), void* user) {
  SOFT_ENTER(cuLaunchHostFunc);
  return Move(stream, [function, user] { function(user); });
}

HET_EXPORT CUresult cuCtxSynchronize() {
  SOFT_ENTER(cuCtxSynchronize);
  std::vector<CUstream> streams;
  {
    const std::lock_guard lock(The().mutex);
    for (CUstream stream : The().streams) {
      if (stream->context == Current()) streams.push_back(stream);
    }
  }
  for (CUstream stream : streams) stream->stream->Synchronize();
  return cuStreamSynchronize(nullptr);
}

HET_EXPORT CUresult cuDeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  if (!IsDevice(device) || !IsDevice(peer)) return CUDA_ERROR_INVALID_DEVICE;
  *can = device != peer ? static_cast<int>(The().engine.settings.Number("peers", 1)) : 0;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuCtxEnablePeerAccess(CUcontext peer, unsigned int) {
  SOFT_ENTER(cuCtxEnablePeerAccess);
  The().engine.AllowPeer(Current()->card, peer->card);
  return CUDA_SUCCESS;
}

// ---- Memory ----

HET_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  SOFT_ENTER(cuMemAlloc_v2);
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  void* memory = The().engine.memory.Allocate(Current()->card, bytes);
  if (memory == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  The().Own(memory, Current());
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemFree_v2(CUdeviceptr address) {
  if (address == 0) return CUDA_SUCCESS;
  The().Own(Pointer(address), nullptr);
  const soft::Piece piece = The().engine.memory.Find(Pointer(address));
  if (piece.bytes != 0 && piece.card >= 0) The().engine.Synchronize(piece.card);
  return The().engine.memory.Free(Pointer(address)) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

HET_EXPORT CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  SOFT_ENTER(cuMemGetInfo_v2);
  *total = The().engine.memory.size(Current()->card);
  *free = *total - The().engine.memory.used(Current()->card);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned int) {
  SOFT_ENTER(cuMemHostAlloc);
  *address = The().engine.memory.Allocate(soft::kHostMemory, bytes);
  return *address != nullptr ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

HET_EXPORT CUresult cuMemFreeHost(void* address) {
  return The().engine.memory.Free(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

HET_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes,
                                         CUstream stream) {
  SOFT_ENTER(cuMemcpyHtoDAsync_v2);
  if (!Reaches(to, bytes)) return CUDA_ERROR_INVALID_VALUE;
  if (The().engine.memory.Find(from).bytes != 0) {  // pinned: read when its turn comes
    return Move(stream, [=] { std::memcpy(Pointer(to), from, bytes); });
  }
  // Pageable memory is copied to the driver's own before the call returns.
  const auto* begin = static_cast<const std::byte*>(from);
  return Move(stream, [to, staged = std::vector<std::byte>(begin, begin + bytes)] {
    std::memcpy(Pointer(to), staged.data(), staged.size());
  });
}

HET_EXPORT CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes,
                                         CUstream stream) {
  SOFT_ENTER(cuMemcpyDtoHAsync_v2);
  if (!Reaches(from, bytes)) return CUDA_ERROR_INVALID_VALUE;
  return Move(stream, [=] { std::memcpy(to, Pointer(from), bytes); });
}

HET_EXPORT CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  SOFT_ENTER(cuMemcpyAsync);
  // Any two places; memory of another card must be known.
  return Move(stream, [=] { std::memmove(Pointer(to), Pointer(from), bytes); });
}

HET_EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
  const CUresult error = cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
  return error != CUDA_SUCCESS ? error : cuStreamSynchronize(nullptr);
}

HET_EXPORT CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  const CUresult error = cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr);
  return error != CUDA_SUCCESS ? error : cuStreamSynchronize(nullptr);
}

HET_EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes,
                                    CUstream stream) {
  SOFT_ENTER(cuMemsetD8Async);
  if (!Reaches(to, bytes)) return CUDA_ERROR_INVALID_VALUE;
  return Move(stream, [=] { std::memset(Pointer(to), value, bytes); });
}

// ---- Code ----

HET_EXPORT CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  SOFT_ENTER(cuModuleLoadData);
  soft::ModuleText text;
  if (!text.Parse(static_cast<const char*>(image))) return CUDA_ERROR_INVALID_IMAGE;
  std::string log;
  auto made = std::make_unique<CUmoduleOpaque>();
  made->program = soft::Program::Build(text.portable, text.options, log);
  if (made->program == nullptr) {
    std::fprintf(stderr, "soft libcuda: %s\n", log.c_str());
    return CUDA_ERROR_INVALID_IMAGE;
  }
  for (const soft::KernelShape& shape : made->program->kernels()) {
    made->functions.push_back({made.get(), &shape});
  }
  *module = made.release();
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuModuleUnload(CUmodule module) {
  delete module;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  SOFT_ENTER(cuModuleGetFunction);
  for (CUfunctionOpaque& one : module->functions) {
    if (one.shape->name != name) continue;
    *function = &one;
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_NOT_FOUND;
}

HET_EXPORT CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset,
                                       size_t* bytes) {
  if (index >= function->shape->arguments.size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = function->shape->OffsetOf(index);
  if (bytes != nullptr) *bytes = function->shape->arguments[index].bytes;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y,
                                   unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                                   unsigned int block_z, unsigned int, CUstream stream,
                                   void** parameters, void** extra) {
  SOFT_ENTER(cuLaunchKernel);
  if (uint64_t{block_x} * block_y * block_z > kMostThreads || grid_x == 0 || grid_y == 0 ||
      grid_z == 0 || block_x == 0 || block_y == 0 || block_z == 0 || grid_y > 65535 ||
      grid_z > 65535 || (parameters != nullptr && extra != nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  soft::Launch launch;
  launch.program = function->module->program;
  launch.kernel = function->shape;
  launch.groups[0] = grid_x;
  launch.groups[1] = grid_y;
  launch.groups[2] = grid_z;
  launch.group_size[0] = block_x;
  launch.group_size[1] = block_y;
  launch.group_size[2] = block_z;
  if (!soft::PackArguments(*function->shape, parameters, extra, kLaunchParamEnd, launch.arguments))
    return CUDA_ERROR_INVALID_VALUE;
  CUstream to = Resolve(stream);
  if (to->captured_in != nullptr) {
    to->captured_in->nodes.push_back({std::move(launch), {}});
  } else {
    to->stream->Enqueue(std::move(launch));
  }
  return CUDA_SUCCESS;
}

// For the soft libnvidia-ml: bytes that this process has on a card.
HET_EXPORT uint64_t het_soft_cuda_used(int card) {
  uint64_t used = 0;
  for (int i = 0; i < The().engine.cards(); ++i) {
    if (The().engine.number(i) == card) used += The().engine.memory.used(i);
  }
  return used;
}

}  // namespace het::cuda
