// het's own declarations of the HIP runtime and hiprtc against AMD's headers: the same number of
// arguments, each of the same size and sort, and the same values. Mostly checked by the compiler.
// clang-format off
#include "devices/hip/api.h"
#define __HIP_PLATFORM_AMD__ 1
#define __HIP_DISABLE_CPP_FUNCTIONS__ 1  // templates beside the functions
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#include <hip/hip_runtime_api.h>
#include <hip/hiprtc.h>
#pragma GCC diagnostic pop
// clang-format on
#include <gtest/gtest.h>

#include "devices/streams/same_abi.h"

namespace {

using het::streams::SameAbi;

#define HET_CHECK(name, result, arguments)                                     \
  static_assert(SameAbi(decltype(het::hip::Api::name){}, decltype(&::name){}), \
                #name " is declared otherwise in hip_runtime_api.h");
HET_HIP_REQUIRED(HET_CHECK)
HET_HIP_PLAIN_OPTIONAL(HET_CHECK)
#undef HET_CHECK
using MallocFromPool = ::hipError_t (*)(void**, size_t, ::hipMemPool_t, ::hipStream_t);
static_assert(SameAbi(decltype(het::hip::Api::hipMallocFromPoolAsync){},
                      static_cast<MallocFromPool>(&::hipMallocFromPoolAsync)));
#define HET_CHECK(name, result, arguments)                                        \
  static_assert(SameAbi(decltype(het::hip::Hiprtc::name){}, decltype(&::name){}), \
                #name " is declared otherwise in hiprtc.h");
HET_HIPRTC_REQUIRED(HET_CHECK)
#undef HET_CHECK

#define HET_VALUE(name) static_assert(static_cast<int>(het::hip::name) == static_cast<int>(::name));
HET_VALUE(hipSuccess)
HET_VALUE(hipErrorInvalidValue)
HET_VALUE(hipErrorOutOfMemory)
HET_VALUE(hipErrorNotInitialized)
HET_VALUE(hipErrorDeinitialized)
HET_VALUE(hipErrorNoDevice)
HET_VALUE(hipErrorInvalidDevice)
HET_VALUE(hipErrorInvalidImage)
HET_VALUE(hipErrorInvalidContext)
HET_VALUE(hipErrorNoBinaryForGpu)
HET_VALUE(hipErrorECCNotCorrectable)
HET_VALUE(hipErrorInvalidHandle)
HET_VALUE(hipErrorNotFound)
HET_VALUE(hipErrorNotReady)
HET_VALUE(hipErrorIllegalAddress)
HET_VALUE(hipErrorLaunchOutOfResources)
HET_VALUE(hipErrorLaunchTimeOut)
HET_VALUE(hipErrorContextIsDestroyed)
HET_VALUE(hipErrorAssert)
HET_VALUE(hipErrorLaunchFailure)
HET_VALUE(hipErrorNotSupported)
HET_VALUE(hipErrorUnknown)
HET_VALUE(hipErrorRuntimeMemory)
HET_VALUE(hipErrorRuntimeOther)
HET_VALUE(hipDeviceAttributeComputeMode)
HET_VALUE(hipDeviceAttributeIntegrated)
HET_VALUE(hipDeviceAttributeMaxThreadsPerBlock)
HET_VALUE(hipDeviceAttributeMultiprocessorCount)
HET_VALUE(hipDeviceAttributeMemoryPoolsSupported)
HET_VALUE(hipMemAllocationTypePinned)
HET_VALUE(hipMemLocationTypeDevice)
HET_VALUE(hipMemAccessFlagsProtReadWrite)
HET_VALUE(hipComputeModeProhibited)
HET_VALUE(hipStreamCaptureModeThreadLocal)
HET_VALUE(hipMemcpyHostToDevice)
HET_VALUE(hipMemcpyDeviceToHost)
HET_VALUE(hipMemcpyDefault)
HET_VALUE(HIPRTC_ERROR_COMPILATION)
static_assert(het::hip::kStreamNonBlocking == hipStreamNonBlocking);
static_assert(het::hip::kEventBlockingSync == hipEventBlockingSync);
static_assert(het::hip::kHostMallocPortable == hipHostMallocPortable);
static_assert(sizeof(het::hip::hipMemPoolProps) == sizeof(::hipMemPoolProps));
static_assert(offsetof(het::hip::hipMemPoolProps, location) ==
              offsetof(::hipMemPoolProps, location));
static_assert(sizeof(het::hip::hipMemAccessDesc) == sizeof(::hipMemAccessDesc));
static_assert(sizeof(het::hip::hipUUID) == sizeof(::hipUUID));

TEST(HipAbi, LaunchArgumentsHaveTheirMarks) {
  EXPECT_EQ(het::hip::kLaunchParamEnd, HIP_LAUNCH_PARAM_END);
  EXPECT_EQ(het::hip::kLaunchParamBufferPointer, HIP_LAUNCH_PARAM_BUFFER_POINTER);
  EXPECT_EQ(het::hip::kLaunchParamBufferSize, HIP_LAUNCH_PARAM_BUFFER_SIZE);
}

}  // namespace
