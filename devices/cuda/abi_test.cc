// het's own declarations of the CUDA driver API and NVRTC against NVIDIA's headers: the same number
// of arguments, each of the same size and sort, and the same values. Mostly checked by the
// compiler.
// clang-format off
#include "devices/cuda/api.h"
#define __CUDA_API_VERSION_INTERNAL  // no renaming: each version under its own name
#include <cuda.h>
#include <nvrtc.h>
// clang-format on
#include <gtest/gtest.h>

#include "devices/streams/same_abi.h"

namespace {

using het::streams::SameAbi;

#define HET_CHECK(name, arguments)                                              \
  static_assert(SameAbi(decltype(het::cuda::Api::name){}, decltype(&::name){}), \
                #name " is declared otherwise in cuda.h");
HET_CUDA_REQUIRED(HET_CHECK)
HET_CUDA_OPTIONAL(HET_CHECK)
#undef HET_CHECK
#define HET_CHECK(name, result, arguments)                                        \
  static_assert(SameAbi(decltype(het::cuda::Nvrtc::name){}, decltype(&::name){}), \
                #name " is declared otherwise in nvrtc.h");
HET_NVRTC_REQUIRED(HET_CHECK)
#undef HET_CHECK

#define HET_VALUE(name) \
  static_assert(static_cast<int>(het::cuda::name) == static_cast<int>(::name));
HET_VALUE(CUDA_ERROR_INVALID_VALUE)
HET_VALUE(CUDA_ERROR_OUT_OF_MEMORY)
HET_VALUE(CUDA_ERROR_NOT_INITIALIZED)
HET_VALUE(CUDA_ERROR_DEINITIALIZED)
HET_VALUE(CUDA_ERROR_STUB_LIBRARY)
HET_VALUE(CUDA_ERROR_DEVICE_UNAVAILABLE)
HET_VALUE(CUDA_ERROR_NO_DEVICE)
HET_VALUE(CUDA_ERROR_INVALID_DEVICE)
HET_VALUE(CUDA_ERROR_INVALID_IMAGE)
HET_VALUE(CUDA_ERROR_INVALID_CONTEXT)
HET_VALUE(CUDA_ERROR_NO_BINARY_FOR_GPU)
HET_VALUE(CUDA_ERROR_ECC_UNCORRECTABLE)
HET_VALUE(CUDA_ERROR_NVLINK_UNCORRECTABLE)
HET_VALUE(CUDA_ERROR_UNSUPPORTED_PTX_VERSION)
HET_VALUE(CUDA_ERROR_CONTAINED)
HET_VALUE(CUDA_ERROR_INVALID_HANDLE)
HET_VALUE(CUDA_ERROR_ILLEGAL_STATE)
HET_VALUE(CUDA_ERROR_NOT_FOUND)
HET_VALUE(CUDA_ERROR_NOT_READY)
HET_VALUE(CUDA_ERROR_ILLEGAL_ADDRESS)
HET_VALUE(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES)
HET_VALUE(CUDA_ERROR_LAUNCH_TIMEOUT)
HET_VALUE(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED)
HET_VALUE(CUDA_ERROR_CONTEXT_IS_DESTROYED)
HET_VALUE(CUDA_ERROR_ASSERT)
HET_VALUE(CUDA_ERROR_HARDWARE_STACK_ERROR)
HET_VALUE(CUDA_ERROR_ILLEGAL_INSTRUCTION)
HET_VALUE(CUDA_ERROR_MISALIGNED_ADDRESS)
HET_VALUE(CUDA_ERROR_INVALID_ADDRESS_SPACE)
HET_VALUE(CUDA_ERROR_INVALID_PC)
HET_VALUE(CUDA_ERROR_LAUNCH_FAILED)
HET_VALUE(CUDA_ERROR_NOT_PERMITTED)
HET_VALUE(CUDA_ERROR_NOT_SUPPORTED)
HET_VALUE(CUDA_ERROR_SYSTEM_NOT_READY)
HET_VALUE(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH)
HET_VALUE(CUDA_ERROR_MPS_CLIENT_TERMINATED)
HET_VALUE(CUDA_ERROR_EXTERNAL_DEVICE)
HET_VALUE(CUDA_ERROR_UNKNOWN)
HET_VALUE(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)
HET_VALUE(CU_DEVICE_ATTRIBUTE_CLOCK_RATE)
HET_VALUE(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
HET_VALUE(CU_DEVICE_ATTRIBUTE_INTEGRATED)
HET_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_MODE)
HET_VALUE(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)
HET_VALUE(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)
HET_VALUE(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)
HET_VALUE(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING)
HET_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
HET_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)
HET_VALUE(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)
HET_VALUE(CU_MEM_ALLOCATION_TYPE_PINNED)
HET_VALUE(CU_MEM_LOCATION_TYPE_DEVICE)
HET_VALUE(CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
HET_VALUE(CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID)
HET_VALUE(CU_COMPUTEMODE_PROHIBITED)
HET_VALUE(CU_STREAM_NON_BLOCKING)
HET_VALUE(CU_EVENT_BLOCKING_SYNC)
HET_VALUE(CU_GREEN_CTX_DEFAULT_STREAM)
HET_VALUE(CU_DEV_RESOURCE_TYPE_SM)
HET_VALUE(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
HET_VALUE(NVRTC_ERROR_COMPILATION)
static_assert(het::cuda::kMemHostAllocPortable == CU_MEMHOSTALLOC_PORTABLE);
static_assert(sizeof(het::cuda::CUuuid) == sizeof(::CUuuid));
static_assert(sizeof(het::cuda::CUdevResource) == sizeof(::CUdevResource));
static_assert(offsetof(het::cuda::CUdevResource, sm) == offsetof(::CUdevResource, sm));
static_assert(sizeof(het::cuda::CUdevSmResource) == sizeof(::CUdevSmResource));
static_assert(sizeof(het::cuda::CUmemPoolProps) == sizeof(::CUmemPoolProps));
static_assert(offsetof(het::cuda::CUmemPoolProps, location) ==
              offsetof(::CUmemPoolProps, location));
static_assert(offsetof(het::cuda::CUmemPoolProps, maxSize) == offsetof(::CUmemPoolProps, maxSize));
static_assert(sizeof(het::cuda::CUmemAccessDesc) == sizeof(::CUmemAccessDesc));
static_assert(sizeof(het::cuda::CUdeviceptr) == sizeof(::CUdeviceptr));

TEST(CudaAbi, LaunchArgumentsHaveTheirMarks) {
  EXPECT_EQ(het::cuda::kLaunchParamEnd, CU_LAUNCH_PARAM_END);
  EXPECT_EQ(het::cuda::kLaunchParamBufferPointer, CU_LAUNCH_PARAM_BUFFER_POINTER);
  EXPECT_EQ(het::cuda::kLaunchParamBufferSize, CU_LAUNCH_PARAM_BUFFER_SIZE);
}

}  // namespace
