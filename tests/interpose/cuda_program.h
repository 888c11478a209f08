// A small CUDA program that knows nothing of het, written on the driver API: the calls, found in
// one of the three ways that programs find them; a context; a kernel that counts, compiled with
// NVRTC; and checks that end the process. For cuda_probe.
#ifndef HET_TESTS_INTERPOSE_CUDA_PROGRAM_H_
#define HET_TESTS_INTERPOSE_CUDA_PROGRAM_H_

#include <string>

#include "interpose/cuda/hooked.h"

namespace het::cuda {

// clang-format off
// X(name, CUDA version that introduced it, arguments)
#define HET_PROBE_CALLS(X)                                                                         \
  X(cuInit, 2000, (unsigned int flags))                                                            \
  X(cuDriverGetVersion, 2020, (int* version))                                                      \
  X(cuDeviceGetCount, 2000, (int* count))                                                          \
  X(cuDeviceGet, 2000, (CUdevice * device, int ordinal))                                           \
  X(cuDeviceGetUuid_v2, 11040, (CUuuid * uuid, CUdevice device))                                   \
  X(cuDeviceGetAttribute, 2000, (int* value, int attribute, CUdevice device))                      \
  X(cuDeviceTotalMem_v2, 3020, (size_t * bytes, CUdevice device))                                  \
  X(cuDevicePrimaryCtxRetain, 7000, (CUcontext * context, CUdevice device))                        \
  X(cuDevicePrimaryCtxRelease_v2, 11000, (CUdevice device))                                        \
  X(cuCtxSetCurrent, 4000, (CUcontext context))                                                    \
  X(cuCtxCreate_v2, 3020, (CUcontext * context, unsigned int flags, CUdevice device))              \
  X(cuCtxDestroy_v2, 4000, (CUcontext context))                                                    \
  X(cuCtxSynchronize, 2000, ())                                                                    \
  X(cuMemGetInfo_v2, 3020, (size_t * free, size_t * total))                                        \
  X(cuMemAlloc_v2, 3020, (CUdeviceptr * address, size_t bytes))                                    \
  X(cuMemAllocPitch_v2, 3020,                                                                      \
    (CUdeviceptr * address, size_t * pitch, size_t width, size_t height, unsigned int element))    \
  X(cuMemAllocManaged, 6000, (CUdeviceptr * address, size_t bytes, unsigned int flags))            \
  X(cuMemFree_v2, 3020, (CUdeviceptr address))                                                     \
  X(cuMemHostAlloc, 2020, (void** address, size_t bytes, unsigned int flags))                      \
  X(cuMemFreeHost, 2000, (void* address))                                                          \
  X(cuDeviceGetDefaultMemPool, 11020, (CUmemoryPool * pool, CUdevice device))                      \
  X(cuMemAllocAsync, 11020, (CUdeviceptr * address, size_t bytes, CUstream stream))                \
  X(cuMemAllocFromPoolAsync, 11020,                                                                \
    (CUdeviceptr * address, size_t bytes, CUmemoryPool pool, CUstream stream))                     \
  X(cuMemFreeAsync, 11020, (CUdeviceptr address, CUstream stream))                                 \
  X(cuMemCreate, 10020,                                                                            \
    (CUmemGenericAllocationHandle * handle, size_t bytes, const CUmemAllocationProp* what,         \
     Wide flags))                                                                                  \
  X(cuMemRelease, 10020, (CUmemGenericAllocationHandle handle))                                    \
  X(cuMemAddressReserve, 10020,                                                                    \
    (CUdeviceptr * address, size_t bytes, size_t alignment, CUdeviceptr wish, Wide flags))         \
  X(cuMemMap, 10020,                                                                               \
    (CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,        \
     Wide flags))                                                                                  \
  X(cuMemUnmap, 10020, (CUdeviceptr address, size_t bytes))                                        \
  X(cuMemExportToShareableHandle, 10020,                                                           \
    (void* file, CUmemGenericAllocationHandle handle, int type, Wide flags))                       \
  X(cuMemImportFromShareableHandle, 10020,                                                         \
    (CUmemGenericAllocationHandle * handle, void* foreign, int type))                              \
  X(cuArrayCreate_v2, 3020, (CUarray * array, const CUDA_ARRAY_DESCRIPTOR* what))                  \
  X(cuArray3DCreate_v2, 3020, (CUarray * array, const CUDA_ARRAY3D_DESCRIPTOR* what))              \
  X(cuArrayDestroy, 2000, (CUarray array))                                                         \
  X(cuMipmappedArrayCreate, 5000,                                                                  \
    (CUmipmappedArray * array, const CUDA_ARRAY3D_DESCRIPTOR* what, unsigned int levels))          \
  X(cuMipmappedArrayDestroy, 5000, (CUmipmappedArray array))                                       \
  X(cuIpcGetMemHandle, 4010, (CUipcMemHandle * handle, CUdeviceptr address))                       \
  X(cuIpcOpenMemHandle_v2, 11000,                                                                  \
    (CUdeviceptr * address, CUipcMemHandle handle, unsigned int flags))                            \
  X(cuIpcCloseMemHandle, 4010, (CUdeviceptr address))                                              \
  X(cuStreamCreateWithPriority, 5050, (CUstream * stream, unsigned int flags, int priority))       \
  X(cuStreamDestroy_v2, 4000, (CUstream stream))                                                   \
  X(cuStreamSynchronize, 2000, (CUstream stream))                                                  \
  X(cuStreamQuery, 2000, (CUstream stream))                                                        \
  X(cuEventCreate, 2000, (CUevent * event, unsigned int flags))                                    \
  X(cuEventDestroy_v2, 4000, (CUevent event))                                                      \
  X(cuEventRecord, 2000, (CUevent event, CUstream stream))                                         \
  X(cuEventQuery, 2000, (CUevent event))                                                           \
  X(cuEventSynchronize, 2000, (CUevent event))                                                     \
  X(cuMemcpyDtoH_v2, 3020, (void* to, CUdeviceptr from, size_t bytes))                             \
  X(cuMemsetD8Async, 3020,                                                                         \
    (CUdeviceptr address, unsigned char value, size_t bytes, CUstream stream))                     \
  X(cuModuleLoadData, 2000, (CUmodule * module, const void* image))                                \
  X(cuModuleGetFunction, 2000, (CUfunction * function, CUmodule module, const char* name))         \
  X(cuLaunchKernel, 4000, HET_SHADOW_LAUNCH_ARGUMENTS)                                             \
  X(cuLaunchKernel_ptsz, 7000, HET_SHADOW_LAUNCH_ARGUMENTS)                                        \
  X(cuStreamSynchronize_ptsz, 7000, (CUstream stream))                                             \
  X(cuLaunchCooperativeKernel, 9000, HET_SHADOW_COOPERATIVE_ARGUMENTS)                             \
  X(cuLaunchKernelEx, 11060,                                                                       \
    (const CUlaunchConfig* launch, CUfunction function, void** parameters, void** extra))          \
  X(cuStreamBeginCapture_v2, 10010, (CUstream stream, int mode))                                   \
  X(cuStreamEndCapture, 10000, (CUstream stream, CUgraph * graph))                                 \
  X(cuGraphCreate, 10000, (CUgraph * graph, unsigned int flags))                                   \
  X(cuGraphAddMemAllocNode, 11040,                                                                 \
    (CUgraphNode * node, CUgraph graph, const CUgraphNode* after, size_t count,                    \
     CUDA_MEM_ALLOC_NODE_PARAMS* what))                                                            \
  X(cuGraphGetNodes, 10000, (CUgraph graph, CUgraphNode * nodes, size_t * count))                  \
  X(cuGraphInstantiateWithFlags, 11040, (CUgraphExec * graph, CUgraph of, Wide flags))             \
  X(cuGraphLaunch, 10000, (CUgraphExec graph, CUstream stream))                                    \
  X(cuGraphDestroy, 10000, (CUgraph graph))                                                        \
  X(cuGetProcAddress_v2, 12000,                                                                    \
    (const char* symbol, void** function, int version, uint64_t flags, int* status))
// clang-format on

struct ProbeCalls {
#define HET_PROBE_MEMBER(name, version, arguments) CUresult(*name) arguments = nullptr;
  HET_PROBE_CALLS(HET_PROBE_MEMBER)
#undef HET_PROBE_MEMBER
};

}  // namespace het::cuda

namespace het::interpose {

// Found by the linker where the program is linked with the driver; else by dlsym ("dlopen"), or as
// NVIDIA's runtime does it ("proc": cuGetProcAddress alone). Ends the process (4) where one is
// missing.
const cuda::ProbeCalls& Cu();
void FindCallsBy(const std::string& way);

// Ends the process (3) unless `error` is 0.
void Check(cuda::CUresult error, const char* what);

class CudaProgram {
 public:
  // `own_context`: cuCtxCreate in the place of the primary context. Ends the process (4) where
  // there is no device.
  explicit CudaProgram(bool own_context = false);

  // Loads the kernel.
  void Compile();
  enum class Way { kPlain, kPerThread, kExtended, kCooperative };
  // Adds 1 to `items` counters, after `rounds` rounds of arithmetic each.
  cuda::CUresult Launch(cuda::CUstream stream, unsigned int items, uint32_t rounds,
                        Way way = Way::kPlain);
  uint32_t Counter(size_t item);

  cuda::CUdevice device = -1;
  cuda::CUcontext context = nullptr;
  cuda::CUstream stream = nullptr;

 private:
  static constexpr size_t kItems = 4096;
  cuda::CUfunction kernel_ = nullptr;
  cuda::CUdeviceptr counter_ = 0;
};

}  // namespace het::interpose

#endif  // HET_TESTS_INTERPOSE_CUDA_PROGRAM_H_
