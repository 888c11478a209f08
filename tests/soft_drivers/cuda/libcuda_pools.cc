// Memory pools and copies between cards of the soft libcuda. A pool is a name for a card: its
// memory is the card's, in the order of the stream, and other cards reach it once that was asked
// for.
#include <set>

#include "tests/soft_drivers/cuda/entry.h"

namespace het::cuda {

struct CUmemoryPoolOpaque {
  int card = 0;
};

using namespace soft::cuda;  // NOLINT(google-build-using-namespace): one driver in several files

namespace {

// The memory that came from pools, and which cards reach each pool.
struct Pools {
  std::mutex mutex;
  std::map<void*, CUmemoryPool> memory;
  std::map<CUmemoryPool, std::set<int>> reached_by;
};
Pools& ThePools() {
  static Pools* const pools = new Pools;
  return *pools;
}

// Whether work of `card` may touch pool memory of another card.
bool MayReach(int card, CUdeviceptr address) {
  const soft::Piece piece = The().engine.memory.Find(Pointer(address));
  if (piece.bytes == 0) return false;
  if (piece.card == card || piece.card == soft::kHostMemory) return true;
  const std::lock_guard lock(ThePools().mutex);
  const auto found = ThePools().memory.find(piece.begin);
  return found == ThePools().memory.end() ||  // plain memory: the driver copies it by itself
         ThePools().reached_by[found->second].contains(card);
}

}  // namespace

HET_EXPORT CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  const int card = properties->location.id;
  if (properties->allocType != CU_MEM_ALLOCATION_TYPE_PINNED ||
      properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE || !The().engine.IsCard(card))
    return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult error = ErrorOf(The().engine.Check("cuMemPoolCreate", card));
      error != CUDA_SUCCESS)
    return error;
  *pool = new CUmemoryPoolOpaque{card};
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemPoolDestroy(CUmemoryPool pool) {
  const std::lock_guard lock(ThePools().mutex);
  ThePools().reached_by.erase(pool);
  delete pool;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* access,
                                       size_t count) {
  const std::lock_guard lock(ThePools().mutex);
  for (size_t i = 0; i < count; ++i) {
    if (!The().engine.IsCard(access[i].location.id)) return CUDA_ERROR_INVALID_DEVICE;
    ThePools().reached_by[pool].insert(access[i].location.id);
  }
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  static std::map<CUdevice, CUmemoryPoolOpaque>* const pools =
      new std::map<CUdevice, CUmemoryPoolOpaque>;
  const std::lock_guard lock(The().mutex);
  (*pools)[device].card = device;
  *pool = &(*pools)[device];
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool pool,
                                            CUstream) {
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult error = Enter("cuMemAllocFromPoolAsync", pool->card); error != CUDA_SUCCESS) {
    return error;
  }
  void* memory = The().engine.memory.Allocate(pool->card, bytes);
  if (memory == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  const std::lock_guard lock(ThePools().mutex);
  ThePools().memory[memory] = pool;
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream stream) {
  SOFT_ENTER(cuMemAllocAsync);
  CUmemoryPool pool = nullptr;
  const CUresult error = cuDeviceGetDefaultMemPool(&pool, Current()->card);
  return error != CUDA_SUCCESS ? error : cuMemAllocFromPoolAsync(address, bytes, pool, stream);
}

HET_EXPORT CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  {
    const std::lock_guard lock(ThePools().mutex);
    if (ThePools().memory.erase(Pointer(address)) == 0) return CUDA_ERROR_INVALID_VALUE;
  }
  const auto free = [address] { The().engine.memory.Free(Pointer(address)); };
  const CUstream at = Resolve(stream);
  if (at->captured_in != nullptr) return Move(at, free);
  at->stream->Enqueue(free, true);  // also when the stream has failed
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext to_context, CUdeviceptr from,
                                      CUcontext from_context, size_t bytes, CUstream stream) {
  if (stream == nullptr || to_context == nullptr || from_context == nullptr)
    return CUDA_ERROR_INVALID_VALUE;
  const int card = stream->context->card;
  if (const CUresult error = ErrorOf(The().engine.Check("cuMemcpyPeerAsync", card));
      error != CUDA_SUCCESS)
    return error;
  const soft::Piece target = The().engine.memory.Find(Pointer(to), bytes);
  const soft::Piece source = The().engine.memory.Find(Pointer(from), bytes);
  if (target.bytes == 0 || source.bytes == 0 || target.card != to_context->card ||
      source.card != from_context->card || !MayReach(card, to) || !MayReach(card, from))
    return CUDA_ERROR_INVALID_VALUE;
  The().engine.Move(*stream->stream, card, [=] { std::memcpy(Pointer(to), Pointer(from), bytes); });
  return CUDA_SUCCESS;
}

}  // namespace het::cuda
