// Memory by address: plain, pitched, managed, pinned, stream-ordered, of graphs, and of other
// processes; and what the program is told of its memory.
#include <algorithm>

#include "interpose/cuda/holding.h"

namespace het::interpose {
namespace {

using Kind = MemoryBook::Kind;
using cuda::CUDA_SUCCESS;
using cuda::CUdeviceptr;
using cuda::CUresult;
using cuda::CUstream;
using cuda::driver;

// A size that is known beforehand; `free` as cuMemFree.
template <typename Create>
CUresult AllocateBytes(CUdeviceptr* address, uint64_t bytes, const void* context, Create create) {
  if (address == nullptr) return create();
  return Allocate(
      Kind::kAddress, bytes, context, create, [=] { return *address; },
      [](uint64_t asked) { return asked; }, [=] { driver.cuMemFree_v2(*address); });
}

// Stream-ordered memory belongs to the device's pool, not to a context.
template <typename Create>
CUresult AllocateInOrder(CUdeviceptr* address, uint64_t bytes, Create create) {
  return AllocateBytes(address, bytes, nullptr, create);
}

// Given back when the call is made: the pool may have it for the next allocation. Memory of a graph
// that is being captured is not freed by this.
template <typename Destroy>
CUresult FreeInOrder(CUdeviceptr address, CUstream stream, bool per_thread, Destroy destroy) {
  Shadow* shadow = Shadow::Get();
  if (shadow != nullptr && shadow->watcher().IsCapturing(stream, per_thread)) return destroy();
  return Free(Kind::kAddress, address, destroy);
}

// Pinned memory of the host is no memory of the device, except where they are one.
template <typename Create>
CUresult AllocatePinned(void** address, uint64_t bytes, Create create) {
  Shadow* shadow = Shadow::Get();
  const bool counts = shadow != nullptr && shadow->is_integrated();
  return Allocate(
      Kind::kPinned, counts ? bytes : 0, CurrentContext(), create,
      [=] { return reinterpret_cast<uint64_t>(*address); }, [](uint64_t asked) { return asked; },
      [=] { driver.cuMemFreeHost(*address); });
}

// Memory of another process: its size is known when it is here.
template <typename Create, typename Destroy>
CUresult Open(CUdeviceptr* address, const void* context, Create create, Destroy destroy) {
  const auto size = [=](uint64_t) {
    CUdeviceptr begin = 0;
    size_t bytes = 0;
    return driver.cuMemGetAddressRange_v2(&begin, &bytes, *address) == CUDA_SUCCESS ? bytes : 0;
  };
  return Allocate(
      Kind::kAddress, 0, context, create, [=] { return *address; }, size, destroy);
}

template <typename Create>
CUresult AddAllocation(uint64_t bytes, const CUdeviceptr* address, Create create) {
  return Allocate(
      Kind::kAddress, bytes, nullptr, create, [=] { return *address; },
      [](uint64_t asked) { return asked; }, [] {});
}

}  // namespace
}  // namespace het::interpose

namespace het::cuda {

using namespace interpose;  // NOLINT(google-build-using-namespace): its hooks

CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  return AllocateBytes(address, bytes, CurrentContext(),
                       [=] { return driver.cuMemAlloc_v2(address, bytes); });
}

CUresult cuMemAllocManaged(CUdeviceptr* address, size_t bytes, unsigned int flags) {
  return AllocateBytes(address, bytes, CurrentContext(),
                       [=] { return driver.cuMemAllocManaged(address, bytes, flags); });
}

CUresult cuMemAllocPitch_v2(CUdeviceptr* address, size_t* pitch, size_t width, size_t height,
                            unsigned int element) {
  const auto create = [=] {
    return driver.cuMemAllocPitch_v2(address, pitch, width, height, element);
  };
  uint64_t least = 0;
  if (address == nullptr || pitch == nullptr || __builtin_mul_overflow(width, height, &least)) {
    return create();  // refused by the driver
  }
  return Allocate(
      Kind::kAddress, least, CurrentContext(), create, [=] { return *address; },
      [=](uint64_t) { return uint64_t{*pitch} * height; }, [=] { driver.cuMemFree_v2(*address); });
}

CUresult cuMemFree_v2(CUdeviceptr address) {
  return Free(Kind::kAddress, address, [=] { return driver.cuMemFree_v2(address); });
}

CUresult cuMemAllocHost_v2(void** address, size_t bytes) {
  return AllocatePinned(address, bytes, [=] { return driver.cuMemAllocHost_v2(address, bytes); });
}

CUresult cuMemHostAlloc(void** address, size_t bytes, unsigned int flags) {
  return AllocatePinned(address, bytes,
                        [=] { return driver.cuMemHostAlloc(address, bytes, flags); });
}

CUresult cuMemFreeHost(void* address) {
  return Free(Kind::kPinned, reinterpret_cast<uint64_t>(address),
              [=] { return driver.cuMemFreeHost(address); });
}

CUresult cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream stream) {
  return AllocateInOrder(address, bytes,
                         [=] { return driver.cuMemAllocAsync(address, bytes, stream); });
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr* address, size_t bytes, CUstream stream) {
  return AllocateInOrder(address, bytes,
                         [=] { return driver.cuMemAllocAsync_ptsz(address, bytes, stream); });
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool pool,
                                 CUstream stream) {
  return AllocateInOrder(
      address, bytes, [=] { return driver.cuMemAllocFromPoolAsync(address, bytes, pool, stream); });
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr* address, size_t bytes, CUmemoryPool pool,
                                      CUstream stream) {
  return AllocateInOrder(address, bytes, [=] {
    return driver.cuMemAllocFromPoolAsync_ptsz(address, bytes, pool, stream);
  });
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  return FreeInOrder(address, stream, false,
                     [=] { return driver.cuMemFreeAsync(address, stream); });
}

CUresult cuMemFreeAsync_ptsz(CUdeviceptr address, CUstream stream) {
  return FreeInOrder(address, stream, true,
                     [=] { return driver.cuMemFreeAsync_ptsz(address, stream); });
}

CUresult cuMemPoolImportPointer(CUdeviceptr* address, CUmemoryPool pool, void* data) {
  return Open(
      address, nullptr, [=] { return driver.cuMemPoolImportPointer(address, pool, data); },
      [=] { driver.cuMemFree_v2(*address); });
}

CUresult cuIpcOpenMemHandle(CUdeviceptr* address, CUipcMemHandle handle, unsigned int flags) {
  return Open(
      address, CurrentContext(), [=] { return driver.cuIpcOpenMemHandle(address, handle, flags); },
      [=] { driver.cuIpcCloseMemHandle(*address); });
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr* address, CUipcMemHandle handle, unsigned int flags) {
  return Open(
      address, CurrentContext(),
      [=] { return driver.cuIpcOpenMemHandle_v2(address, handle, flags); },
      [=] { driver.cuIpcCloseMemHandle(*address); });
}

CUresult cuIpcCloseMemHandle(CUdeviceptr address) {
  return Free(Kind::kAddress, address, [=] { return driver.cuIpcCloseMemHandle(address); });
}

// A graph's own memory is booked from when its node is made until it is freed by address: the
// graph, its copies and what was made executable from it hold it without telling.
CUresult cuGraphAddMemAllocNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after,
                                size_t count, CUDA_MEM_ALLOC_NODE_PARAMS* what) {
  const auto create = [=] {
    return driver.cuGraphAddMemAllocNode(node, graph, after, count, what);
  };
  return what == nullptr ? create() : AddAllocation(what->bytesize, &what->dptr, create);
}

CUresult cuGraphAddNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, size_t count,
                        CUgraphNodeParams* what) {
  const auto create = [=] { return driver.cuGraphAddNode(node, graph, after, count, what); };
  return what == nullptr || what->type != CU_GRAPH_NODE_TYPE_MEM_ALLOC
             ? create()
             : AddAllocation(what->alloc.bytesize, &what->alloc.dptr, create);
}

CUresult cuGraphAddNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* after,
                           const void* edges, size_t count, CUgraphNodeParams* what) {
  const auto create = [=] {
    return driver.cuGraphAddNode_v2(node, graph, after, edges, count, what);
  };
  return what == nullptr || what->type != CU_GRAPH_NODE_TYPE_MEM_ALLOC
             ? create()
             : AddAllocation(what->alloc.bytesize, &what->alloc.dptr, create);
}

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  const Held held;
  const CUresult error = driver.cuMemGetInfo_v2(free, total);
  Shadow* shadow = held.open_shadow();
  if (error != CUDA_SUCCESS || shadow == nullptr) return error;
  const uint64_t limit = shadow->seat().memory_limit();
  const uint64_t used = std::min<uint64_t>(shadow->seat().memory_used(), limit);
  if (total != nullptr) *total = std::min<size_t>(*total, limit);
  if (free != nullptr) *free = std::min<size_t>(*free, limit - used);
  return error;
}

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  const Held held;
  const CUresult error = driver.cuDeviceTotalMem_v2(bytes, device);
  Shadow* shadow = held.open_shadow();
  if (error != CUDA_SUCCESS || shadow == nullptr) return error;
  *bytes = std::min<size_t>(*bytes, shadow->seat().memory_limit());
  return error;
}

}  // namespace het::cuda
