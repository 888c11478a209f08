// Memory that has no address: arrays, mipmapped arrays, and physical memory behind handles.
#include <algorithm>

#include "interpose/cuda/holding.h"

namespace het::interpose {
namespace {

using Kind = MemoryBook::Kind;
using cuda::CUDA_ARRAY3D_DESCRIPTOR;
using cuda::CUDA_SUCCESS;
using cuda::CUresult;
using cuda::driver;

// Bytes of one channel of the plain formats; 0 for others (planar, compressed), whose size only the
// driver knows.
uint64_t ChannelBytes(int format) {
  switch (format) {
    case 0x01:  // CU_AD_FORMAT_UNSIGNED_INT8
    case 0x08:  // CU_AD_FORMAT_SIGNED_INT8
      return 1;
    case 0x02:  // CU_AD_FORMAT_UNSIGNED_INT16
    case 0x09:  // CU_AD_FORMAT_SIGNED_INT16
    case 0x10:  // CU_AD_FORMAT_HALF
      return 2;
    case 0x03:  // CU_AD_FORMAT_UNSIGNED_INT32
    case 0x0a:  // CU_AD_FORMAT_SIGNED_INT32
    case 0x20:  // CU_AD_FORMAT_FLOAT
      return 4;
    default:
      return 0;
  }
}

// The texels of all levels. Sparse and deferred arrays get their memory from elsewhere.
uint64_t LeastBytes(const CUDA_ARRAY3D_DESCRIPTOR& array, unsigned int levels) {
  if ((array.Flags & (cuda::kArraySparse | cuda::kArrayDeferredMapping)) != 0) return 0;
  const uint64_t texel = ChannelBytes(array.Format) * array.NumChannels;
  uint64_t bytes = 0;
  for (unsigned int level = 0; level < std::clamp(levels, 1u, 32u); ++level) {
    uint64_t of_level = texel;
    for (const uint64_t side : {array.Width, array.Height, array.Depth}) {
      const uint64_t here = std::max<uint64_t>(side >> level, 1);
      if (__builtin_mul_overflow(of_level, here, &of_level)) return UINT64_MAX;
    }
    if (__builtin_add_overflow(bytes, of_level, &bytes)) return UINT64_MAX;
  }
  return bytes;
}

// What the driver says that it takes, where the driver can tell; else `least`.
template <typename Ask, typename Array>
uint64_t BytesOf(Ask ask, Array array, uint64_t least) {
  cuda::CUdevice device = 0;
  cuda::CUDA_ARRAY_MEMORY_REQUIREMENTS needs = {};
  if (ask == nullptr || driver.cuCtxGetDevice(&device) != CUDA_SUCCESS ||
      ask(&needs, array, device) != CUDA_SUCCESS) {
    return least;
  }
  return std::max<uint64_t>(needs.size, least);
}

template <typename Create>
CUresult AllocateArray(cuda::CUarray* array, uint64_t least, Create create) {
  return Allocate(
      Kind::kArray, least, CurrentContext(), create,
      [=] { return reinterpret_cast<uint64_t>(*array); },
      [=](uint64_t) { return BytesOf(driver.cuArrayGetMemoryRequirements, *array, least); },
      [=] { driver.cuArrayDestroy(*array); });
}

bool HasOwnMemory(const CUDA_ARRAY3D_DESCRIPTOR& array) {
  return (array.Flags & (cuda::kArraySparse | cuda::kArrayDeferredMapping)) == 0;
}

}  // namespace
}  // namespace het::interpose

namespace het::cuda {

using namespace interpose;  // NOLINT(google-build-using-namespace): its hooks

CUresult cuArrayCreate_v2(CUarray* array, const CUDA_ARRAY_DESCRIPTOR* description) {
  const auto create = [=] { return driver.cuArrayCreate_v2(array, description); };
  if (array == nullptr || description == nullptr) return create();
  const CUDA_ARRAY3D_DESCRIPTOR flat = {description->Width,  description->Height,      0,
                                        description->Format, description->NumChannels, 0};
  return AllocateArray(array, LeastBytes(flat, 1), create);
}

CUresult cuArray3DCreate_v2(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* description) {
  const auto create = [=] { return driver.cuArray3DCreate_v2(array, description); };
  if (array == nullptr || description == nullptr || !HasOwnMemory(*description)) return create();
  return AllocateArray(array, LeastBytes(*description, 1), create);
}

CUresult cuArrayDestroy(CUarray array) {
  return Free(Kind::kArray, reinterpret_cast<uint64_t>(array),
              [=] { return driver.cuArrayDestroy(array); });
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray* array, const CUDA_ARRAY3D_DESCRIPTOR* description,
                                unsigned int levels) {
  const auto create = [=] { return driver.cuMipmappedArrayCreate(array, description, levels); };
  if (array == nullptr || description == nullptr || !HasOwnMemory(*description)) return create();
  const uint64_t least = LeastBytes(*description, levels);
  return Allocate(
      Kind::kMipmappedArray, least, CurrentContext(), create,
      [=] { return reinterpret_cast<uint64_t>(*array); },
      [=](uint64_t) {
        return BytesOf(driver.cuMipmappedArrayGetMemoryRequirements, *array, least);
      },
      [=] { driver.cuMipmappedArrayDestroy(*array); });
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray array) {
  return Free(Kind::kMipmappedArray, reinterpret_cast<uint64_t>(array),
              [=] { return driver.cuMipmappedArrayDestroy(array); });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t bytes,
                     const CUmemAllocationProp* properties, Wide flags) {
  const Held held;
  Shadow* shadow = held.shadow();
  const bool on_device = properties == nullptr || (shadow != nullptr && shadow->is_integrated()) ||
                         properties->location.type == CU_MEM_LOCATION_TYPE_DEVICE;
  if (shadow == nullptr || !on_device) return driver.cuMemCreate(handle, bytes, properties, flags);
  if (const CUresult closed = shadow->Closed(); closed != CUDA_SUCCESS) return closed;
  if (!shadow->book().Reserve(bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUresult error = driver.cuMemCreate(handle, bytes, properties, flags);
  if (error == CUDA_SUCCESS) {
    shadow->book().AddHandle(*handle, bytes);
  } else {
    shadow->book().GiveBack(bytes);
  }
  return error;
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* foreign,
                                        int type) {
  const Held held;
  const CUresult error = driver.cuMemImportFromShareableHandle(handle, foreign, type);
  if (Shadow* shadow = held.open_shadow(); error == CUDA_SUCCESS && shadow != nullptr) {
    shadow->book().AddHandle(*handle, 0);
  }
  return error;
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* address) {
  const Held held;
  const CUresult error = driver.cuMemRetainAllocationHandle(handle, address);
  if (Shadow* shadow = held.open_shadow(); error == CUDA_SUCCESS && shadow != nullptr) {
    shadow->book().RetainHandle(*handle, reinterpret_cast<uint64_t>(address));
  }
  return error;
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr) return driver.cuMemRelease(handle);
  // Out of the book first: the driver may give the same handle to another thread.
  auto memory = shadow->book().ReleaseHandle(handle);
  const CUresult error = driver.cuMemRelease(handle);
  if (error != CUDA_SUCCESS) shadow->book().RestoreHandle(handle, std::move(memory));
  return error;
}

CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset,
                  CUmemGenericAllocationHandle handle, Wide flags) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr) return driver.cuMemMap(address, bytes, offset, handle, flags);
  if (!shadow->book().MayMap(bytes, handle)) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUresult error = driver.cuMemMap(address, bytes, offset, handle, flags);
  if (error == CUDA_SUCCESS) shadow->book().Map(address, bytes, handle);
  return error;
}

CUresult cuMemUnmap(CUdeviceptr address, size_t bytes) {
  const Held held;
  const CUresult error = driver.cuMemUnmap(address, bytes);
  if (Shadow* shadow = held.open_shadow(); error == CUDA_SUCCESS && shadow != nullptr) {
    shadow->book().Unmap(address, bytes);
  }
  return error;
}

}  // namespace het::cuda
