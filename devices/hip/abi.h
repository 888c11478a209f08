// The part of the HIP runtime and hiprtc that het calls, declared by het itself: nothing of AMD's
// is needed to build. Names and values are theirs, inside het::hip. abi_test.cc compares them with
// hip_runtime_api.h and hiprtc.h where those are installed.
#ifndef HET_DEVICES_HIP_ABI_H_
#define HET_DEVICES_HIP_ABI_H_

#include <cstddef>
#include <cstdint>

namespace het::hip {

using hipError_t = int;
using hipDevice_t = int;
using hipStream_t = struct hipStreamOpaque*;
using hipEvent_t = struct hipEventOpaque*;
using hipModule_t = struct hipModuleOpaque*;
using hipFunction_t = struct hipFunctionOpaque*;
using hipCtx_t = struct hipCtxOpaque*;
using hipMemPool_t = struct hipMemPoolOpaque*;
using hipGraph_t = struct hipGraphOpaque*;
using hipGraphExec_t = struct hipGraphExecOpaque*;
using hipGraphNode_t = struct hipGraphNodeOpaque*;

struct hipUUID {
  char bytes[16];
};

struct hipMemLocation {
  int type;
  int id;
};
struct hipMemPoolProps {
  int allocType;
  int handleTypes;
  hipMemLocation location;
  void* win32SecurityAttributes;
  unsigned char reserved[64];
};
struct hipMemAccessDesc {
  hipMemLocation location;
  int flags;
};

enum : hipError_t {
  hipSuccess = 0,
  hipErrorInvalidValue = 1,
  hipErrorOutOfMemory = 2,
  hipErrorNotInitialized = 3,
  hipErrorDeinitialized = 4,
  hipErrorNoDevice = 100,
  hipErrorInvalidDevice = 101,
  hipErrorInvalidImage = 200,
  hipErrorInvalidContext = 201,
  hipErrorNoBinaryForGpu = 209,
  hipErrorECCNotCorrectable = 214,
  hipErrorInvalidHandle = 400,
  hipErrorNotFound = 500,
  hipErrorNotReady = 600,
  hipErrorIllegalAddress = 700,
  hipErrorLaunchOutOfResources = 701,
  hipErrorLaunchTimeOut = 702,
  hipErrorContextIsDestroyed = 709,
  hipErrorAssert = 710,
  hipErrorLaunchFailure = 719,
  hipErrorNotSupported = 801,
  hipErrorUnknown = 999,
  hipErrorRuntimeMemory = 1052,
  hipErrorRuntimeOther = 1053,
};

enum : int {  // hipDeviceAttribute_t, since HIP 5.0
  hipDeviceAttributeComputeMode = 6,
  hipDeviceAttributeIntegrated = 16,
  hipDeviceAttributeMaxThreadsPerBlock = 56,
  hipDeviceAttributeMultiprocessorCount = 63,
  hipDeviceAttributeMemoryPoolsSupported = 88,
};
enum : int {
  hipMemAllocationTypePinned = 1,
  hipMemLocationTypeDevice = 1,
  hipMemAccessFlagsProtReadWrite = 3,
};
enum : int { hipComputeModeProhibited = 2 };
enum : int { hipStreamCaptureModeThreadLocal = 1 };
enum : int { hipMemcpyHostToDevice = 1, hipMemcpyDeviceToHost = 2, hipMemcpyDefault = 4 };

// Macros in hip_runtime_api.h.
inline constexpr unsigned int kStreamNonBlocking = 1;
inline constexpr unsigned int kEventBlockingSync = 1;
inline constexpr unsigned int kHostMallocPortable = 1;
inline void* const kLaunchParamBufferPointer = reinterpret_cast<void*>(1);
inline void* const kLaunchParamBufferSize = reinterpret_cast<void*>(2);
inline void* const kLaunchParamEnd = reinterpret_cast<void*>(3);

// X(name, result, arguments)
#define HET_HIP_REQUIRED(X)                                                                       \
  X(hipInit, hipError_t, (unsigned int flags))                                                    \
  X(hipDriverGetVersion, hipError_t, (int* version))                                              \
  X(hipGetErrorName, const char*, (hipError_t error))                                             \
  X(hipGetDeviceCount, hipError_t, (int* count))                                                  \
  X(hipDeviceGetName, hipError_t, (char* name, int length, hipDevice_t device))                   \
  X(hipDeviceTotalMem, hipError_t, (size_t * bytes, hipDevice_t device))                          \
  X(hipDeviceGetAttribute, hipError_t, (int* value, int attribute, int device))                   \
  X(hipDeviceGetPCIBusId, hipError_t, (char* text, int length, int device))                       \
  X(hipSetDevice, hipError_t, (int device))                                                       \
  X(hipGetDevice, hipError_t, (int* device))                                                      \
  X(hipDeviceGetStreamPriorityRange, hipError_t, (int* least, int* greatest))                     \
  X(hipStreamCreateWithPriority, hipError_t,                                                      \
    (hipStream_t * stream, unsigned int flags, int priority))                                     \
  X(hipStreamDestroy, hipError_t, (hipStream_t stream))                                           \
  X(hipStreamGetFlags, hipError_t, (hipStream_t stream, unsigned int* flags))                     \
  X(hipStreamWaitEvent, hipError_t, (hipStream_t stream, hipEvent_t event, unsigned int flags))   \
  X(hipEventCreateWithFlags, hipError_t, (hipEvent_t * event, unsigned int flags))                \
  X(hipEventDestroy, hipError_t, (hipEvent_t event))                                              \
  X(hipEventRecord, hipError_t, (hipEvent_t event, hipStream_t stream))                           \
  X(hipEventQuery, hipError_t, (hipEvent_t event))                                                \
  X(hipEventSynchronize, hipError_t, (hipEvent_t event))                                          \
  X(hipEventElapsedTime, hipError_t, (float* milliseconds, hipEvent_t begin, hipEvent_t end))     \
  X(hipMalloc, hipError_t, (void** address, size_t bytes))                                        \
  X(hipFree, hipError_t, (void* address))                                                         \
  X(hipHostMalloc, hipError_t, (void** address, size_t bytes, unsigned int flags))                \
  X(hipHostFree, hipError_t, (void* address))                                                     \
  X(hipMemcpyAsync, hipError_t,                                                                   \
    (void* to, const void* from, size_t bytes, int kind, hipStream_t stream))                     \
  X(hipMemsetAsync, hipError_t, (void* to, int value, size_t bytes, hipStream_t stream))          \
  X(hipModuleLoadData, hipError_t, (hipModule_t * module, const void* image))                     \
  X(hipModuleUnload, hipError_t, (hipModule_t module))                                            \
  X(hipModuleGetFunction, hipError_t,                                                             \
    (hipFunction_t * function, hipModule_t module, const char* name))                             \
  X(hipModuleLaunchKernel, hipError_t,                                                            \
    (hipFunction_t function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,       \
     unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, \
     hipStream_t stream, void** parameters, void** extra))

// The last has C++ overloads in AMD's header, and is a list of its own for abi_test.cc.
#define HET_HIP_OPTIONAL(X) HET_HIP_PLAIN_OPTIONAL(X) HET_HIP_OVERLOADED(X)
#define HET_HIP_OVERLOADED(X)           \
  X(hipMallocFromPoolAsync, hipError_t, \
    (void** address, size_t bytes, hipMemPool_t pool, hipStream_t stream))
#define HET_HIP_PLAIN_OPTIONAL(X)                                                           \
  X(hipDeviceGetUuid, hipError_t, (hipUUID * uuid, hipDevice_t device))                     \
  X(hipStreamSynchronize, hipError_t, (hipStream_t stream))                                 \
  X(hipDeviceCanAccessPeer, hipError_t, (int* can, int device, int peer))                   \
  X(hipMemcpyPeerAsync, hipError_t,                                                         \
    (void* to, int to_device, const void* from, int from_device, size_t bytes,              \
     hipStream_t stream))                                                                   \
  X(hipMemPoolCreate, hipError_t, (hipMemPool_t * pool, const hipMemPoolProps* properties)) \
  X(hipMemPoolDestroy, hipError_t, (hipMemPool_t pool))                                     \
  X(hipMemPoolSetAccess, hipError_t,                                                        \
    (hipMemPool_t pool, const hipMemAccessDesc* access, size_t count))                      \
  X(hipFreeAsync, hipError_t, (void* address, hipStream_t stream))                          \
  X(hipStreamBeginCapture, hipError_t, (hipStream_t stream, int mode))                      \
  X(hipStreamEndCapture, hipError_t, (hipStream_t stream, hipGraph_t * graph))              \
  X(hipGraphInstantiate, hipError_t,                                                        \
    (hipGraphExec_t * executable, hipGraph_t graph, hipGraphNode_t * error_node, char* log, \
     size_t log_bytes))                                                                     \
  X(hipGraphLaunch, hipError_t, (hipGraphExec_t executable, hipStream_t stream))            \
  X(hipGraphDestroy, hipError_t, (hipGraph_t graph))                                        \
  X(hipGraphExecDestroy, hipError_t, (hipGraphExec_t executable))                           \
  X(hipDevicePrimaryCtxRetain, hipError_t, (hipCtx_t * context, hipDevice_t device))        \
  X(hipDevicePrimaryCtxRelease, hipError_t, (hipDevice_t device))                           \
  X(hipExtStreamCreateWithCUMask, hipError_t,                                               \
    (hipStream_t * stream, uint32_t words, const uint32_t* mask))

using hiprtcResult = int;
using hiprtcProgram = struct hiprtcProgramOpaque*;
enum : hiprtcResult { HIPRTC_SUCCESS = 0, HIPRTC_ERROR_COMPILATION = 6 };

// In libamdhip64 itself up to ROCm 5, in libhiprtc since.
#define HET_HIPRTC_REQUIRED(X)                                                                    \
  X(hiprtcVersion, hiprtcResult, (int* major, int* minor))                                        \
  X(hiprtcGetErrorString, const char*, (hiprtcResult error))                                      \
  X(hiprtcCreateProgram, hiprtcResult,                                                            \
    (hiprtcProgram * program, const char* text, const char* name, int headers,                    \
     const char** header_texts, const char** header_names))                                       \
  X(hiprtcDestroyProgram, hiprtcResult, (hiprtcProgram * program))                                \
  X(hiprtcCompileProgram, hiprtcResult, (hiprtcProgram program, int count, const char** options)) \
  X(hiprtcGetCodeSize, hiprtcResult, (hiprtcProgram program, size_t * bytes))                     \
  X(hiprtcGetCode, hiprtcResult, (hiprtcProgram program, char* code))                             \
  X(hiprtcGetProgramLogSize, hiprtcResult, (hiprtcProgram program, size_t * bytes))               \
  X(hiprtcGetProgramLog, hiprtcResult, (hiprtcProgram program, char* log))

}  // namespace het::hip

#endif  // HET_DEVICES_HIP_ABI_H_
