// The arguments and structs that the shadow's hooks are declared with, against cuda.h. Checked by
// the compiler; built only where a CUDA toolkit is installed.
// clang-format off
#include "interpose/cuda/driver.h"
#define __CUDA_API_VERSION_INTERNAL  // no renaming: each version under its own name
#include <cuda.h>
// clang-format on
#include <gtest/gtest.h>

#include "devices/streams/same_abi.h"

namespace {

using het::streams::SameAbi;

#define HET_CHECK(name, version, arguments)                                        \
  static_assert(SameAbi(decltype(het::cuda::Driver::name){}, decltype(&::name){}), \
                #name " is declared otherwise in cuda.h");
HET_SHADOW_HOOKED(HET_CHECK)
#undef HET_CHECK
#define HET_CHECK(name, arguments)                                                 \
  static_assert(SameAbi(decltype(het::cuda::Driver::name){}, decltype(&::name){}), \
                #name " is declared otherwise in cuda.h");
HET_SHADOW_USED(HET_CHECK)
#undef HET_CHECK

#define HET_SAME_SIZE(name) static_assert(sizeof(het::cuda::name) == sizeof(::name));
HET_SAME_SIZE(CUDA_ARRAY_DESCRIPTOR)
HET_SAME_SIZE(CUDA_ARRAY3D_DESCRIPTOR)
HET_SAME_SIZE(CUDA_ARRAY_MEMORY_REQUIREMENTS)
HET_SAME_SIZE(CUmemAllocationProp)
HET_SAME_SIZE(CUipcMemHandle)
HET_SAME_SIZE(CUlaunchConfig)
HET_SAME_SIZE(CUDA_LAUNCH_PARAMS)
HET_SAME_SIZE(CUDA_MEM_ALLOC_NODE_PARAMS)
#define HET_SAME_PLACE(type, member) \
  static_assert(offsetof(het::cuda::type, member) == offsetof(::type, member));
HET_SAME_PLACE(CUDA_ARRAY_DESCRIPTOR, NumChannels)
HET_SAME_PLACE(CUDA_ARRAY3D_DESCRIPTOR, Flags)
HET_SAME_PLACE(CUmemAllocationProp, location)
HET_SAME_PLACE(CUlaunchConfig, hStream)
HET_SAME_PLACE(CUDA_LAUNCH_PARAMS, hStream)
HET_SAME_PLACE(CUDA_MEM_ALLOC_NODE_PARAMS, bytesize)
HET_SAME_PLACE(CUDA_MEM_ALLOC_NODE_PARAMS, dptr)
HET_SAME_PLACE(CUgraphNodeParams, alloc)

#define HET_VALUE(name) \
  static_assert(static_cast<int>(het::cuda::name) == static_cast<int>(::name));
HET_VALUE(CU_MEM_LOCATION_TYPE_DEVICE)
HET_VALUE(CU_GRAPH_NODE_TYPE_MEM_ALLOC)
HET_VALUE(CU_STREAM_CAPTURE_MODE_RELAXED)
HET_VALUE(CU_EVENT_DISABLE_TIMING)
static_assert(het::cuda::kArraySparse == CUDA_ARRAY3D_SPARSE);
static_assert(het::cuda::kArrayDeferredMapping == CUDA_ARRAY3D_DEFERRED_MAPPING);
static_assert(het::cuda::kProcPerThreadStream == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM);

TEST(CudaHooksAbi, DefaultStreamsHaveTheirHandles) {
  EXPECT_EQ(static_cast<void*>(het::cuda::kLegacyStream), static_cast<void*>(CU_STREAM_LEGACY));
  EXPECT_EQ(static_cast<void*>(het::cuda::kPerThreadStream),
            static_cast<void*>(CU_STREAM_PER_THREAD));
}

}  // namespace
