// The part of the CUDA driver API, NVRTC and NVML that het calls, declared by het itself: nothing
// of NVIDIA's is needed to build. Names and values are theirs, inside het::cuda. abi_test.cc
// compares them with cuda.h and nvrtc.h where those are installed.
#ifndef HET_DEVICES_CUDA_ABI_H_
#define HET_DEVICES_CUDA_ABI_H_

#include <cstddef>
#include <cstdint>

namespace het::cuda {

// ---- Driver API (libcuda.so.1) ----

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;  // NOLINT(google-runtime-int): theirs
using CUcontext = struct CUctxOpaque*;
using CUstream = struct CUstreamOpaque*;
using CUevent = struct CUeventOpaque*;
using CUmodule = struct CUmoduleOpaque*;
using CUfunction = struct CUfunctionOpaque*;
using CUgreenCtx = struct CUgreenCtxOpaque*;
using CUdevResourceDesc = struct CUdevResourceDescOpaque*;
using CUmemoryPool = struct CUmemoryPoolOpaque*;
using CUgraph = struct CUgraphOpaque*;
using CUgraphExec = struct CUgraphExecOpaque*;

struct CUuuid {
  char bytes[16];
};

struct CUdevSmResource {
  unsigned int smCount;
  unsigned int minSmPartitionSize;
  unsigned int smCoscheduledAlignment;
};
struct CUdevResource {
  int type;
  unsigned char internal_padding[92];
  union {
    CUdevSmResource sm;
    unsigned char oversize[48];
  };
};

struct CUmemLocation {
  int type;
  int id;
};
struct CUmemPoolProps {
  int allocType;
  int handleTypes;
  CUmemLocation location;
  void* win32SecurityAttributes;
  size_t maxSize;
  unsigned char reserved[56];
};
struct CUmemAccessDesc {
  CUmemLocation location;
  int flags;
};

enum : CUresult {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_DEINITIALIZED = 4,
  CUDA_ERROR_STUB_LIBRARY = 34,
  CUDA_ERROR_DEVICE_UNAVAILABLE = 46,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_ECC_UNCORRECTABLE = 214,
  CUDA_ERROR_NVLINK_UNCORRECTABLE = 220,
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
  CUDA_ERROR_CONTAINED = 226,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_ILLEGAL_STATE = 401,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_LAUNCH_TIMEOUT = 702,
  CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED = 704,
  CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
  CUDA_ERROR_ASSERT = 710,
  CUDA_ERROR_HARDWARE_STACK_ERROR = 714,
  CUDA_ERROR_ILLEGAL_INSTRUCTION = 715,
  CUDA_ERROR_MISALIGNED_ADDRESS = 716,
  CUDA_ERROR_INVALID_ADDRESS_SPACE = 717,
  CUDA_ERROR_INVALID_PC = 718,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_NOT_PERMITTED = 800,
  CUDA_ERROR_NOT_SUPPORTED = 801,
  CUDA_ERROR_SYSTEM_NOT_READY = 802,
  CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
  CUDA_ERROR_MPS_CLIENT_TERMINATED = 810,
  CUDA_ERROR_EXTERNAL_DEVICE = 911,
  CUDA_ERROR_UNKNOWN = 999,
};

enum : int {  // CUdevice_attribute
  CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 1,
  CU_DEVICE_ATTRIBUTE_CLOCK_RATE = 13,
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_INTEGRATED = 18,
  CU_DEVICE_ATTRIBUTE_COMPUTE_MODE = 20,
  CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE = 36,
  CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH = 37,
  CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38,
  CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING = 41,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115,
  CU_DEVICE_ATTRIBUTE_HOST_NUMA_ID = 134,
};
enum : int { CU_COMPUTEMODE_PROHIBITED = 2 };

enum : unsigned int {
  CU_STREAM_NON_BLOCKING = 1,
  CU_EVENT_BLOCKING_SYNC = 1,
  CU_GREEN_CTX_DEFAULT_STREAM = 1,
};
enum : int { CU_DEV_RESOURCE_TYPE_SM = 1 };
enum : int { CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1 };
enum : int {
  CU_MEM_ALLOCATION_TYPE_PINNED = 1,
  CU_MEM_LOCATION_TYPE_DEVICE = 1,
  CU_MEM_ACCESS_FLAGS_PROT_READWRITE = 3,
};

// Macros in cuda.h: a flag of cuMemHostAlloc, and the entries of cuLaunchKernel's `extra`.
inline constexpr unsigned int kMemHostAllocPortable = 1;
inline void* const kLaunchParamEnd = nullptr;
inline void* const kLaunchParamBufferPointer = reinterpret_cast<void*>(1);
inline void* const kLaunchParamBufferSize = reinterpret_cast<void*>(2);

// X(name, arguments): every entry point gives a CUresult. The first that CUDA 11.0 has not got is
// optional.
#define HET_CUDA_REQUIRED(X)                                                                      \
  X(cuInit, (unsigned int flags))                                                                 \
  X(cuDriverGetVersion, (int* version))                                                           \
  X(cuGetErrorName, (CUresult error, const char** name))                                          \
  X(cuDeviceGetCount, (int* count))                                                               \
  X(cuDeviceGet, (CUdevice * device, int ordinal))                                                \
  X(cuDeviceGetName, (char* name, int length, CUdevice device))                                   \
  X(cuDeviceGetUuid, (CUuuid * uuid, CUdevice device))                                            \
  X(cuDeviceTotalMem_v2, (size_t * bytes, CUdevice device))                                       \
  X(cuDeviceGetAttribute, (int* value, int attribute, CUdevice device))                           \
  X(cuDeviceGetPCIBusId, (char* text, int length, CUdevice device))                               \
  X(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                             \
  X(cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                              \
  X(cuCtxGetCurrent, (CUcontext * context))                                                       \
  X(cuCtxSetCurrent, (CUcontext context))                                                         \
  X(cuCtxGetStreamPriorityRange, (int* least, int* greatest))                                     \
  X(cuStreamCreateWithPriority, (CUstream * stream, unsigned int flags, int priority))            \
  X(cuStreamDestroy_v2, (CUstream stream))                                                        \
  X(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned int flags))                      \
  X(cuStreamGetCtx, (CUstream stream, CUcontext * context))                                       \
  X(cuEventCreate, (CUevent * event, unsigned int flags))                                         \
  X(cuEventDestroy_v2, (CUevent event))                                                           \
  X(cuEventRecord, (CUevent event, CUstream stream))                                              \
  X(cuEventQuery, (CUevent event))                                                                \
  X(cuEventSynchronize, (CUevent event))                                                          \
  X(cuEventElapsedTime, (float* milliseconds, CUevent begin, CUevent end))                        \
  X(cuMemAlloc_v2, (CUdeviceptr * address, size_t bytes))                                         \
  X(cuMemFree_v2, (CUdeviceptr address))                                                          \
  X(cuMemHostAlloc, (void** address, size_t bytes, unsigned int flags))                           \
  X(cuMemFreeHost, (void* address))                                                               \
  X(cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void* from, size_t bytes, CUstream stream))      \
  X(cuMemcpyDtoHAsync_v2, (void* to, CUdeviceptr from, size_t bytes, CUstream stream))            \
  X(cuMemcpyAsync, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))             \
  X(cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream))        \
  X(cuModuleLoadData, (CUmodule * module, const void* image))                                     \
  X(cuModuleUnload, (CUmodule module))                                                            \
  X(cuModuleGetFunction, (CUfunction * function, CUmodule module, const char* name))              \
  X(cuLaunchKernel,                                                                               \
    (CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,          \
     unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, \
     CUstream stream, void** parameters, void** extra))

#define HET_CUDA_OPTIONAL(X)                                                                    \
  X(cuStreamSynchronize, (CUstream stream))                                                     \
  X(cuDeviceCanAccessPeer, (int* can, CUdevice device, CUdevice peer))                          \
  X(cuMemcpyPeerAsync, (CUdeviceptr to, CUcontext to_context, CUdeviceptr from,                 \
                        CUcontext from_context, size_t bytes, CUstream stream))                 \
  X(cuMemPoolCreate, (CUmemoryPool * pool, const CUmemPoolProps* properties))                   \
  X(cuMemPoolDestroy, (CUmemoryPool pool))                                                      \
  X(cuMemPoolSetAccess, (CUmemoryPool pool, const CUmemAccessDesc* access, size_t count))       \
  X(cuMemAllocFromPoolAsync,                                                                    \
    (CUdeviceptr * address, size_t bytes, CUmemoryPool pool, CUstream stream))                  \
  X(cuMemFreeAsync, (CUdeviceptr address, CUstream stream))                                     \
  X(cuStreamBeginCapture_v2, (CUstream stream, int mode))                                       \
  X(cuStreamEndCapture, (CUstream stream, CUgraph * graph))                                     \
  X(cuGraphInstantiateWithFlags,                                                                \
    (CUgraphExec * executable, CUgraph graph,                                                   \
     unsigned long long flags)) /* NOLINT(google-runtime-int): theirs */                        \
  X(cuGraphLaunch, (CUgraphExec executable, CUstream stream))                                   \
  X(cuGraphDestroy, (CUgraph graph))                                                            \
  X(cuGraphExecDestroy, (CUgraphExec executable))                                               \
  X(cuDeviceGetUuid_v2, (CUuuid * uuid, CUdevice device))                                       \
  X(cuFuncGetParamInfo, (CUfunction function, size_t index, size_t * offset, size_t * bytes))   \
  X(cuDeviceGetDevResource, (CUdevice device, CUdevResource * resource, int type))              \
  X(cuDevSmResourceSplitByCount,                                                                \
    (CUdevResource * result, unsigned int* groups, const CUdevResource* input,                  \
     CUdevResource* remaining, unsigned int flags, unsigned int min_count))                     \
  X(cuDevResourceGenerateDesc,                                                                  \
    (CUdevResourceDesc * description, CUdevResource * resources, unsigned int count))           \
  X(cuGreenCtxCreate,                                                                           \
    (CUgreenCtx * context, CUdevResourceDesc description, CUdevice device, unsigned int flags)) \
  X(cuGreenCtxDestroy, (CUgreenCtx context))                                                    \
  X(cuCtxFromGreenCtx, (CUcontext * context, CUgreenCtx green))                                 \
  X(cuGreenCtxStreamCreate,                                                                     \
    (CUstream * stream, CUgreenCtx context, unsigned int flags, int priority))

// ---- NVRTC (libnvrtc.so.13, .12, .11.2) ----

using nvrtcResult = int;
using nvrtcProgram = struct nvrtcProgramOpaque*;
enum : nvrtcResult { NVRTC_SUCCESS = 0, NVRTC_ERROR_COMPILATION = 6 };

// X(name, result, arguments)
#define HET_NVRTC_REQUIRED(X)                                                    \
  X(nvrtcVersion, nvrtcResult, (int* major, int* minor))                         \
  X(nvrtcGetErrorString, const char*, (nvrtcResult error))                       \
  X(nvrtcGetNumSupportedArchs, nvrtcResult, (int* count))                        \
  X(nvrtcGetSupportedArchs, nvrtcResult, (int* architectures))                   \
  X(nvrtcCreateProgram, nvrtcResult,                                             \
    (nvrtcProgram * program, const char* text, const char* name, int headers,    \
     const char* const* header_texts, const char* const* header_names))          \
  X(nvrtcDestroyProgram, nvrtcResult, (nvrtcProgram * program))                  \
  X(nvrtcCompileProgram, nvrtcResult,                                            \
    (nvrtcProgram program, int count, const char* const* options))               \
  X(nvrtcGetPTXSize, nvrtcResult, (nvrtcProgram program, size_t * bytes))        \
  X(nvrtcGetPTX, nvrtcResult, (nvrtcProgram program, char* text))                \
  X(nvrtcGetCUBINSize, nvrtcResult, (nvrtcProgram program, size_t * bytes))      \
  X(nvrtcGetCUBIN, nvrtcResult, (nvrtcProgram program, char* image))             \
  X(nvrtcGetProgramLogSize, nvrtcResult, (nvrtcProgram program, size_t * bytes)) \
  X(nvrtcGetProgramLog, nvrtcResult, (nvrtcProgram program, char* log))

}  // namespace het::cuda

#endif  // HET_DEVICES_CUDA_ABI_H_
