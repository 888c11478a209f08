// Hooked: the entry points of the CUDA driver that the shadow has functions of its own for, with
// the CUDA version that introduced each (what cuGetProcAddress goes by) and its arguments; those
// that it refuses, with the reason; and those that it calls itself. Everything else is in passed.h.
// A test compares names and arguments with cuda.h.
#ifndef HET_INTERPOSE_CUDA_HOOKED_H_
#define HET_INTERPOSE_CUDA_HOOKED_H_

#include "devices/cuda/abi.h"

namespace het::cuda {

using CUarray = struct CUarrayOpaque*;
using CUmipmappedArray = struct CUmipmappedArrayOpaque*;
using CUgraph = struct CUgraphOpaque*;
using CUgraphNode = struct CUgraphNodeOpaque*;
using CUgraphExec = struct CUgraphExecOpaque*;
using CUmemGenericAllocationHandle = unsigned long long;  // NOLINT(google-runtime-int): theirs
using Wide = unsigned long long;                          // NOLINT(google-runtime-int): theirs

struct CUDA_ARRAY_DESCRIPTOR {
  size_t Width, Height;
  int Format;
  unsigned int NumChannels;
};
struct CUDA_ARRAY3D_DESCRIPTOR {
  size_t Width, Height, Depth;
  int Format;
  unsigned int NumChannels, Flags;
};
struct CUDA_ARRAY_MEMORY_REQUIREMENTS {
  size_t size, alignment;
  unsigned int reserved[4];
};
struct CUmemAllocationProp {
  int type, requestedHandleTypes;
  CUmemLocation location;
  void* win32HandleMetaData;
  unsigned char allocFlags[8];
};
struct CUipcMemHandle {
  char reserved[64];
};
struct CUlaunchConfig {
  unsigned int gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
  CUstream hStream;
  void* attrs;
  unsigned int numAttrs;
};
struct CUDA_LAUNCH_PARAMS {
  CUfunction function;
  unsigned int gridDimX, gridDimY, gridDimZ, blockDimX, blockDimY, blockDimZ, sharedMemBytes;
  CUstream hStream;
  void** kernelParams;
};
struct CUDA_MEM_ALLOC_NODE_PARAMS {
  unsigned char poolProps[88];
  const void* accessDescs;
  size_t accessDescCount, bytesize;
  CUdeviceptr dptr;
};
struct CUgraphNodeParams {  // the part of it that begins alike in all versions
  int type, reserved0[3];
  CUDA_MEM_ALLOC_NODE_PARAMS alloc;
};

enum : int {
  CU_GRAPH_NODE_TYPE_MEM_ALLOC = 10,
  CU_STREAM_CAPTURE_MODE_RELAXED = 2,
};
enum : unsigned int { CU_EVENT_DISABLE_TIMING = 2 };
// Macros in cuda.h.
inline constexpr unsigned int kArraySparse = 0x40, kArrayDeferredMapping = 0x80;
inline constexpr uint64_t kProcPerThreadStream = 2;  // a flag of cuGetProcAddress
inline const CUstream kLegacyStream = reinterpret_cast<CUstream>(1);
inline const CUstream kPerThreadStream = reinterpret_cast<CUstream>(2);

// clang-format off
// X(name, CUDA version, arguments). A name, its number (_v2) and the default stream that it means (_ptsz, _ptds: that of
// the thread) are cuGetProcAddress's way to say one name.
#define HET_SHADOW_HOOKED_MEMORY(X)                                                                                  \
  X(cuMemAlloc_v2, 3020, (CUdeviceptr * address, size_t bytes))                                                      \
  X(cuMemAllocPitch_v2, 3020,                                                                                        \
    (CUdeviceptr * address, size_t * pitch, size_t width, size_t height, unsigned int element))                      \
  X(cuMemAllocManaged, 6000, (CUdeviceptr * address, size_t bytes, unsigned int flags))                              \
  X(cuMemFree_v2, 3020, (CUdeviceptr address))                                                                       \
  X(cuMemAllocHost_v2, 3020, (void** address, size_t bytes))                                                         \
  X(cuMemHostAlloc, 2020, (void** address, size_t bytes, unsigned int flags))                                        \
  X(cuMemFreeHost, 2000, (void* address))                                                                            \
  X(cuMemAllocAsync, 11020, (CUdeviceptr * address, size_t bytes, CUstream stream))                                  \
  X(cuMemAllocAsync_ptsz, 11020, (CUdeviceptr * address, size_t bytes, CUstream stream))                             \
  X(cuMemAllocFromPoolAsync, 11020, (CUdeviceptr * address, size_t bytes, CUmemoryPool pool, CUstream stream))       \
  X(cuMemAllocFromPoolAsync_ptsz, 11020, (CUdeviceptr * address, size_t bytes, CUmemoryPool pool, CUstream stream))  \
  X(cuMemFreeAsync, 11020, (CUdeviceptr address, CUstream stream))                                                   \
  X(cuMemFreeAsync_ptsz, 11020, (CUdeviceptr address, CUstream stream))                                              \
  X(cuMemPoolImportPointer, 11020, (CUdeviceptr * address, CUmemoryPool pool, void* data))                           \
  X(cuMemCreate, 10020,                                                                                              \
    (CUmemGenericAllocationHandle * handle, size_t bytes, const CUmemAllocationProp* properties, Wide flags))        \
  X(cuMemRelease, 10020, (CUmemGenericAllocationHandle handle))                                                      \
  X(cuMemMap, 10020,                                                                                                 \
    (CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle, Wide flags))             \
  X(cuMemUnmap, 10020, (CUdeviceptr address, size_t bytes))                                                          \
  X(cuMemRetainAllocationHandle, 11000, (CUmemGenericAllocationHandle * handle, void* address))                      \
  X(cuMemImportFromShareableHandle, 10020, (CUmemGenericAllocationHandle * handle, void* foreign, int type))         \
  X(cuArrayCreate_v2, 3020, (CUarray * array, const CUDA_ARRAY_DESCRIPTOR* description))                             \
  X(cuArray3DCreate_v2, 3020, (CUarray * array, const CUDA_ARRAY3D_DESCRIPTOR* description))                         \
  X(cuArrayDestroy, 2000, (CUarray array))                                                                           \
  X(cuMipmappedArrayCreate, 5000,                                                                                    \
    (CUmipmappedArray * array, const CUDA_ARRAY3D_DESCRIPTOR* description, unsigned int levels))                     \
  X(cuMipmappedArrayDestroy, 5000, (CUmipmappedArray array))                                                         \
  X(cuIpcOpenMemHandle, 4010, (CUdeviceptr * address, CUipcMemHandle handle, unsigned int flags))                    \
  X(cuIpcOpenMemHandle_v2, 11000, (CUdeviceptr * address, CUipcMemHandle handle, unsigned int flags))                \
  X(cuIpcCloseMemHandle, 4010, (CUdeviceptr address))                                                                \
  X(cuGraphAddMemAllocNode, 11040,                                                                                   \
    (CUgraphNode * node, CUgraph graph, const CUgraphNode* after, size_t count, CUDA_MEM_ALLOC_NODE_PARAMS* what))   \
  X(cuGraphAddNode, 12020,                                                                                           \
    (CUgraphNode * node, CUgraph graph, const CUgraphNode* after, size_t count, CUgraphNodeParams* what))            \
  X(cuGraphAddNode_v2, 12030,                                                                                        \
    (CUgraphNode * node, CUgraph graph, const CUgraphNode* after, const void* edges, size_t count,                   \
     CUgraphNodeParams* what))                                                                                       \
  X(cuMemGetInfo_v2, 3020, (size_t * free, size_t * total))                                                          \
  X(cuDeviceTotalMem_v2, 3020, (size_t * bytes, CUdevice device))

#define HET_SHADOW_LAUNCH_ARGUMENTS                                                                                  \
  (CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x,         \
   unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, CUstream stream, void** parameters,        \
   void** extra)
#define HET_SHADOW_COOPERATIVE_ARGUMENTS                                                                             \
  (CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x,         \
   unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, CUstream stream, void** parameters)

#define HET_SHADOW_HOOKED_LAUNCH(X)                                                                                  \
  X(cuLaunchKernel, 4000, HET_SHADOW_LAUNCH_ARGUMENTS)                                                               \
  X(cuLaunchKernel_ptsz, 7000, HET_SHADOW_LAUNCH_ARGUMENTS)                                                          \
  X(cuLaunchKernelEx, 11060,                                                                                         \
    (const CUlaunchConfig* launch, CUfunction function, void** parameters, void** extra))                            \
  X(cuLaunchKernelEx_ptsz, 11060,                                                                                    \
    (const CUlaunchConfig* launch, CUfunction function, void** parameters, void** extra))                            \
  X(cuLaunchCooperativeKernel, 9000, HET_SHADOW_COOPERATIVE_ARGUMENTS)                                               \
  X(cuLaunchCooperativeKernel_ptsz, 9000, HET_SHADOW_COOPERATIVE_ARGUMENTS)                                          \
  X(cuLaunchCooperativeKernelMultiDevice, 9000, (CUDA_LAUNCH_PARAMS * list, unsigned int count, unsigned int flags)) \
  X(cuLaunch, 2000, (CUfunction function))                                                                           \
  X(cuLaunchGrid, 2000, (CUfunction function, int width, int height))                                                \
  X(cuLaunchGridAsync, 2000, (CUfunction function, int width, int height, CUstream stream))                          \
  X(cuGraphLaunch, 10000, (CUgraphExec graph, CUstream stream))                                                      \
  X(cuGraphLaunch_ptsz, 10000, (CUgraphExec graph, CUstream stream))

#define HET_SHADOW_HOOKED_WAIT(X)                                                                                    \
  X(cuStreamSynchronize, 2000, (CUstream stream))                                                                    \
  X(cuStreamSynchronize_ptsz, 7000, (CUstream stream))                                                               \
  X(cuStreamQuery, 2000, (CUstream stream))                                                                          \
  X(cuStreamQuery_ptsz, 7000, (CUstream stream))                                                                     \
  X(cuCtxSynchronize, 2000, ())                                                                                      \
  X(cuCtxSynchronize_v2, 13000, (CUcontext context))                                                                 \
  X(cuEventSynchronize, 2000, (CUevent event))                                                                       \
  X(cuEventQuery, 2000, (CUevent event))                                                                             \
  X(cuEventRecord, 2000, (CUevent event, CUstream stream))                                                           \
  X(cuEventRecord_ptsz, 7000, (CUevent event, CUstream stream))                                                      \
  X(cuEventRecordWithFlags, 11010, (CUevent event, CUstream stream, unsigned int flags))                             \
  X(cuEventRecordWithFlags_ptsz, 11010, (CUevent event, CUstream stream, unsigned int flags))                        \
  X(cuEventDestroy, 2000, (CUevent event))                                                                           \
  X(cuEventDestroy_v2, 4000, (CUevent event))                                                                        \
  X(cuStreamDestroy, 2000, (CUstream stream))                                                                        \
  X(cuStreamDestroy_v2, 4000, (CUstream stream))                                                                     \
  X(cuMemcpyDtoH_v2, 3020, (void* to, CUdeviceptr from, size_t bytes))                                               \
  X(cuMemcpyDtoH_v2_ptds, 7000, (void* to, CUdeviceptr from, size_t bytes))                                          \
  X(cuStreamBeginCapture, 10000, (CUstream stream))                                                                  \
  X(cuStreamBeginCapture_ptsz, 10000, (CUstream stream))                                                             \
  X(cuStreamBeginCapture_v2, 10010, (CUstream stream, int mode))                                                     \
  X(cuStreamBeginCapture_v2_ptsz, 10010, (CUstream stream, int mode))                                                \
  X(cuStreamBeginCaptureToGraph, 12030,                                                                              \
    (CUstream stream, CUgraph graph, const CUgraphNode* after, const void* edges, size_t count, int mode))           \
  X(cuStreamBeginCaptureToGraph_ptsz, 12030,                                                                         \
    (CUstream stream, CUgraph graph, const CUgraphNode* after, const void* edges, size_t count, int mode))           \
  X(cuStreamEndCapture, 10000, (CUstream stream, CUgraph * graph))                                                   \
  X(cuStreamEndCapture_ptsz, 10000, (CUstream stream, CUgraph * graph))

#define HET_SHADOW_HOOKED_CONTEXT(X)                                                                                 \
  X(cuInit, 2000, (unsigned int flags))                                                                              \
  X(cuCtxDestroy, 2000, (CUcontext context))                                                                         \
  X(cuCtxDestroy_v2, 4000, (CUcontext context))                                                                      \
  X(cuCtxDetach, 2000, (CUcontext context))                                                                          \
  X(cuDevicePrimaryCtxRetain, 7000, (CUcontext * context, CUdevice device))                                          \
  X(cuDevicePrimaryCtxRelease, 7000, (CUdevice device))                                                              \
  X(cuDevicePrimaryCtxRelease_v2, 11000, (CUdevice device))                                                          \
  X(cuDevicePrimaryCtxReset, 7000, (CUdevice device))                                                                \
  X(cuDevicePrimaryCtxReset_v2, 11000, (CUdevice device))                                                            \
  X(cuGreenCtxDestroy, 12040, (CUgreenCtx context))                                                                  \
  X(cuGetProcAddress, 11030, (const char* symbol, void** function, int version, uint64_t flags))                     \
  X(cuGetProcAddress_v2, 12000, (const char* symbol, void** function, int version, uint64_t flags, int* status))

#define HET_SHADOW_HOOKED(X)                                                                                         \
  HET_SHADOW_HOOKED_MEMORY(X) HET_SHADOW_HOOKED_LAUNCH(X) HET_SHADOW_HOOKED_WAIT(X) HET_SHADOW_HOOKED_CONTEXT(X)

// X(name, CUDA version, reason): the call gives CUDA_ERROR_NOT_SUPPORTED, and cuGetProcAddress does not find it.
#define HET_SHADOW_REFUSED(X)                                                                                        \
  X(cuMemAlloc, 2000, "32-bit addresses, of CUDA 3.1 and before: not booked")                                        \
  X(cuMemAllocPitch, 2000, "32-bit addresses, of CUDA 3.1 and before: not booked")                                   \
  X(cuMemFree, 2000, "32-bit addresses, of CUDA 3.1 and before: not booked")                                         \
  X(cuMemAllocHost, 2000, "32-bit sizes, of CUDA 3.1 and before: not booked")                                        \
  X(cuMemGetInfo, 2000, "32-bit sizes, of CUDA 3.1 and before: cannot tell the slice")                               \
  X(cuDeviceTotalMem, 2000, "32-bit sizes, of CUDA 3.1 and before: cannot tell the slice")                           \
  X(cuArrayCreate, 2000, "32-bit sizes, of CUDA 3.1 and before: not booked")                                         \
  X(cuArray3DCreate, 2000, "32-bit sizes, of CUDA 3.1 and before: not booked")                                       \
  X(cuCtxAttach, 2000, "counts uses of a context, which its end could not be told by")                                \
  X(cuMemMapArrayAsync, 11010, "keeps memory alive after its handle is released, unseen by the book")                \
  X(cuMemMapArrayAsync_ptsz, 11010, "keeps memory alive after its handle is released, unseen by the book")           \
  X(cuCheckpointProcessCheckpoint, 12080, "takes memory from a process and gives it back, past its book")            \
  X(cuCheckpointProcessGetRestoreThreadId, 12080, "belongs to cuCheckpointProcessCheckpoint")                        \
  X(cuCheckpointProcessGetState, 12080, "belongs to cuCheckpointProcessCheckpoint")                                  \
  X(cuCheckpointProcessLock, 12080, "belongs to cuCheckpointProcessCheckpoint")                                      \
  X(cuCheckpointProcessRestore, 12080, "takes memory from a process and gives it back, past its book")               \
  X(cuCheckpointProcessUnlock, 12080, "belongs to cuCheckpointProcessCheckpoint")

// X(name, arguments): called by the shadow itself and not hooked; null where the driver is older.
#define HET_SHADOW_USED(X)                                                                                           \
  X(cuDeviceGetCount, (int* count))                                                                                  \
  X(cuDeviceGet, (CUdevice * device, int ordinal))                                                                   \
  X(cuDeviceGetUuid, (CUuuid * uuid, CUdevice device))                                                               \
  X(cuDeviceGetUuid_v2, (CUuuid * uuid, CUdevice device))                                                            \
  X(cuDeviceGetAttribute, (int* value, int attribute, CUdevice device))                                              \
  X(cuDevicePrimaryCtxGetState, (CUdevice device, unsigned int* flags, int* active))                                 \
  X(cuCtxGetCurrent, (CUcontext * context))                                                                          \
  X(cuCtxGetDevice, (CUdevice * device))                                                                             \
  X(cuCtxPushCurrent_v2, (CUcontext context))                                                                        \
  X(cuCtxPopCurrent_v2, (CUcontext * context))                                                                       \
  X(cuCtxFromGreenCtx, (CUcontext * context, CUgreenCtx green))                                                      \
  X(cuStreamGetCtx, (CUstream stream, CUcontext * context))                                                          \
  X(cuStreamIsCapturing, (CUstream stream, int* status))                                                             \
  X(cuStreamIsCapturing_ptsz, (CUstream stream, int* status))                                                        \
  X(cuThreadExchangeStreamCaptureMode, (int* mode))                                                                  \
  X(cuEventCreate, (CUevent * event, unsigned int flags))                                                            \
  X(cuMemGetAddressRange_v2, (CUdeviceptr * begin, size_t * bytes, CUdeviceptr address))                             \
  X(cuArrayGetMemoryRequirements, (CUDA_ARRAY_MEMORY_REQUIREMENTS * needs, CUarray array, CUdevice device))          \
  X(cuMipmappedArrayGetMemoryRequirements,                                                                           \
    (CUDA_ARRAY_MEMORY_REQUIREMENTS * needs, CUmipmappedArray array, CUdevice device))
// clang-format on

}  // namespace het::cuda

#endif  // HET_INTERPOSE_CUDA_HOOKED_H_
