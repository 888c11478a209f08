// The soft libcuda.so.1: memory in all the forms that programs ask for it in. Physical memory and
// memory for other processes are files in memory, so that they are really shared.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/soft_drivers/cuda/entry.h"

namespace het::cuda {

struct CUarrayOpaque {
  void* memory = nullptr;
  size_t bytes = 0;
};
struct CUmipmappedArrayOpaque : CUarrayOpaque {};

using namespace soft::cuda;  // NOLINT(google-build-using-namespace): one driver in several files

namespace {

constexpr size_t kPitch = 512, kArrayUnit = 512, kGranularity = size_t{2} << 20;

size_t Rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

CUresult Allocate(CUdeviceptr* address, size_t bytes, CUcontext owner, int card) {
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  void* memory = The().engine.memory.Allocate(card, bytes);
  if (memory == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  if (owner != nullptr) The().Own(memory, owner);
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

size_t TexelBytes(int format, unsigned int channels) {
  const size_t each = format == 0x03 || format == 0x0a || format == 0x20   ? 4
                      : format == 0x02 || format == 0x09 || format == 0x10 ? 2
                                                                           : 1;
  return each * channels;
}

template <typename Array>
CUresult NewArray(Array** array, size_t bytes) {
  CUdeviceptr memory = 0;
  bytes = Rounded(bytes, kArrayUnit);
  if (const CUresult error = Allocate(&memory, bytes, Current(), Current()->card);
      error != CUDA_SUCCESS)
    return error;
  *array = new Array;
  (*array)->memory = Pointer(memory);
  (*array)->bytes = bytes;
  return CUDA_SUCCESS;
}

template <typename Array>
CUresult EndArray(Array* array) {
  if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  The().Own(array->memory, nullptr);
  The().engine.memory.Free(array->memory);
  delete array;
  return CUDA_SUCCESS;
}

// Physical memory, held by handles and mappings.
struct Physical {
  int file = -1;
  size_t bytes = 0;
  int card = 0;
  bool foreign = false;  // its maker's card has the bytes
  int holds = 1;
};
struct PhysicalMemory {
  std::mutex mutex;
  std::map<CUmemGenericAllocationHandle, Physical*> handles;
  std::map<CUdeviceptr, std::pair<size_t, Physical*>> mappings;
  CUmemGenericAllocationHandle last = 0;
};
PhysicalMemory& ThePhysical() {
  static PhysicalMemory* const physical = new PhysicalMemory;
  return *physical;
}

// Under the lock.
void LetGo(Physical* memory) {
  if (--memory->holds > 0) return;
  if (!memory->foreign) {
    The().engine.memory.Reserve(memory->card, -static_cast<int64_t>(memory->bytes));
  }
  close(memory->file);
  delete memory;
}

// What a handle for another process says: whose file it is.
struct Shared {
  int pid, file;
  size_t bytes;
};
static_assert(sizeof(Shared) <= sizeof(CUipcMemHandle));

}  // namespace

HET_EXPORT CUresult cuMemAllocPitch_v2(CUdeviceptr* address, size_t* pitch, size_t width,
                                       size_t height, unsigned int) {
  SOFT_ENTER(cuMemAllocPitch_v2);
  *pitch = Rounded(width, kPitch);
  return Allocate(address, *pitch * height, Current(), Current()->card);
}

HET_EXPORT CUresult cuMemAllocManaged(CUdeviceptr* address, size_t bytes, unsigned int) {
  SOFT_ENTER(cuMemAllocManaged);
  return Allocate(address, bytes, Current(), Current()->card);
}

HET_EXPORT CUresult cuMemAllocHost_v2(void** address, size_t bytes) {
  return cuMemHostAlloc(address, bytes, 0);
}

HET_EXPORT CUresult cuMemGetAddressRange_v2(CUdeviceptr* begin, size_t* bytes,
                                            CUdeviceptr address) {
  const soft::Piece piece = The().engine.memory.Find(Pointer(address));
  if (piece.bytes == 0) return CUDA_ERROR_NOT_FOUND;
  *begin = reinterpret_cast<CUdeviceptr>(piece.begin);
  *bytes = piece.bytes;
  return CUDA_SUCCESS;
}

// ---- Arrays ----

HET_EXPORT CUresult cuArrayCreate_v2(CUarray* array, const CUDA_ARRAY_DESCRIPTOR* what) {
  SOFT_ENTER(cuArrayCreate_v2);
  return NewArray(array, TexelBytes(what->Format, what->NumChannels) * what->Width *
                             std::max<size_t>(what->Height, 1));
}

HET_EXPORT CUresult cuArray3DCreate_v2(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* what) {
  SOFT_ENTER(cuArray3DCreate_v2);
  return NewArray(array, TexelBytes(what->Format, what->NumChannels) * what->Width *
                             std::max<size_t>(what->Height, 1) * std::max<size_t>(what->Depth, 1));
}

HET_EXPORT CUresult cuMipmappedArrayCreate(CUmipmappedArray* array,
                                           const CUDA_ARRAY3D_DESCRIPTOR* what,
                                           unsigned int levels) {
  SOFT_ENTER(cuMipmappedArrayCreate);
  size_t bytes = 0;
  for (unsigned int level = 0; level < levels; ++level) {
    bytes += TexelBytes(what->Format, what->NumChannels) *
             std::max<size_t>(what->Width >> level, 1) *
             std::max<size_t>(what->Height >> level, 1) * std::max<size_t>(what->Depth >> level, 1);
  }
  return NewArray(array, bytes);
}

HET_EXPORT CUresult cuArrayDestroy(CUarray array) { return EndArray(array); }
HET_EXPORT CUresult cuMipmappedArrayDestroy(CUmipmappedArray array) { return EndArray(array); }

HET_EXPORT CUresult cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* needs,
                                                 CUarray array, CUdevice) {
  *needs = {array->bytes, kArrayUnit, {}};
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS* needs,
                                                          CUmipmappedArray array, CUdevice) {
  *needs = {array->bytes, kArrayUnit, {}};
  return CUDA_SUCCESS;
}

// ---- Physical memory and addresses for it ----

HET_EXPORT CUresult cuMemGetAllocationGranularity(size_t* bytes, const CUmemAllocationProp*, int) {
  *bytes = kGranularity;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t bytes,
                                const CUmemAllocationProp* properties, Wide) {
  if (bytes == 0 || bytes % kGranularity != 0) return CUDA_ERROR_INVALID_VALUE;
  const int card = properties->location.id;
  if (!IsDevice(card)) return CUDA_ERROR_INVALID_DEVICE;
  soft::Memory& memory = The().engine.memory;
  PhysicalMemory& physical = ThePhysical();
  const std::lock_guard lock(physical.mutex);
  if (bytes > memory.size(card) - memory.used(card)) return CUDA_ERROR_OUT_OF_MEMORY;
  const int file = memfd_create("soft-cuda", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) return CUDA_ERROR_OUT_OF_MEMORY;
  memory.Reserve(card, static_cast<int64_t>(bytes));
  *handle = ++physical.last;
  physical.handles[*handle] = new Physical{file, bytes, card, false, 1};
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  PhysicalMemory& physical = ThePhysical();
  const std::lock_guard lock(physical.mutex);
  const auto found = physical.handles.find(handle);
  if (found == physical.handles.end()) return CUDA_ERROR_INVALID_VALUE;
  LetGo(found->second);
  physical.handles.erase(found);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemExportToShareableHandle(void* file, CUmemGenericAllocationHandle handle,
                                                 int, Wide) {
  PhysicalMemory& physical = ThePhysical();
  const std::lock_guard lock(physical.mutex);
  const auto found = physical.handles.find(handle);
  if (found == physical.handles.end()) return CUDA_ERROR_INVALID_VALUE;
  *static_cast<int*>(file) = dup(found->second->file);
  return CUDA_SUCCESS;
}

// The descriptor is passed by value, in the pointer.
HET_EXPORT CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle,
                                                   void* foreign, int) {
  const int file = dup(static_cast<int>(reinterpret_cast<intptr_t>(foreign)));
  const off_t bytes = file < 0 ? -1 : lseek(file, 0, SEEK_END);
  if (bytes <= 0) return CUDA_ERROR_INVALID_VALUE;
  PhysicalMemory& physical = ThePhysical();
  const std::lock_guard lock(physical.mutex);
  *handle = ++physical.last;
  physical.handles[*handle] = new Physical{file, static_cast<size_t>(bytes), 0, true, 1};
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemAddressReserve(CUdeviceptr* address, size_t bytes, size_t, CUdeviceptr,
                                        Wide) {
  void* begin = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = reinterpret_cast<CUdeviceptr>(begin);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemAddressFree(CUdeviceptr address, size_t bytes) {
  return munmap(Pointer(address), bytes) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

HET_EXPORT CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset,
                             CUmemGenericAllocationHandle handle, Wide) {
  PhysicalMemory& physical = ThePhysical();
  const std::lock_guard lock(physical.mutex);
  const auto found = physical.handles.find(handle);
  if (found == physical.handles.end() || offset != 0 || bytes > found->second->bytes ||
      physical.mappings.contains(address)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (mmap(Pointer(address), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
           found->second->file, 0) == MAP_FAILED ||
      !The().engine.memory.Register(Pointer(address), bytes)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  ++found->second->holds;
  physical.mappings[address] = {bytes, found->second};
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemUnmap(CUdeviceptr address, size_t bytes) {
  PhysicalMemory& physical = ThePhysical();
  const std::lock_guard lock(physical.mutex);
  const auto found = physical.mappings.find(address);
  if (found == physical.mappings.end() || found->second.first != bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  The().engine.memory.Free(Pointer(address));
  mmap(Pointer(address), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
       -1, 0);
  LetGo(found->second.second);
  physical.mappings.erase(found);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemSetAccess(CUdeviceptr, size_t, const void*, size_t) {
  return CUDA_SUCCESS;  // whoever maps may
}

HET_EXPORT CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle,
                                                void* address) {
  PhysicalMemory& physical = ThePhysical();
  const std::lock_guard lock(physical.mutex);
  for (const auto& [begin, mapping] : physical.mappings) {
    const auto at = reinterpret_cast<CUdeviceptr>(address);
    if (at < begin || at - begin >= mapping.first) continue;
    ++mapping.second->holds;
    *handle = ++physical.last;
    physical.handles[*handle] = mapping.second;
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

// ---- Other processes ----

HET_EXPORT CUresult cuIpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr address) {
  const soft::Piece piece = The().engine.memory.Find(Pointer(address));
  if (piece.bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  // From now on its bytes are a file's, at the same address.
  const int file = memfd_create("soft-cuda-ipc", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>(Rounded(piece.bytes, 4096))) != 0 ||
      pwrite(file, piece.begin, piece.bytes, 0) != static_cast<ssize_t>(piece.bytes) ||
      mmap(piece.begin, piece.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) ==
          MAP_FAILED) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const Shared shared = {getpid(), file, piece.bytes};
  *handle = {};
  std::memcpy(handle, &shared, sizeof(shared));
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuIpcOpenMemHandle_v2(CUdeviceptr* address, CUipcMemHandle handle,
                                          unsigned int) {
  SOFT_ENTER(cuIpcOpenMemHandle_v2);
  Shared shared = {};
  std::memcpy(&shared, &handle, sizeof(shared));
  const std::string path =
      "/proc/" + std::to_string(shared.pid) + "/fd/" + std::to_string(shared.file);
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return CUDA_ERROR_INVALID_VALUE;
  void* memory = mmap(nullptr, shared.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return CUDA_ERROR_INVALID_VALUE;
  The().engine.memory.Register(memory, shared.bytes);
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuIpcCloseMemHandle(CUdeviceptr address) {
  const soft::Piece piece = The().engine.memory.Find(Pointer(address));
  if (!piece.registered || !The().engine.memory.Free(Pointer(address)))
    return CUDA_ERROR_INVALID_VALUE;
  munmap(piece.begin, piece.bytes);
  return CUDA_SUCCESS;
}

}  // namespace het::cuda
