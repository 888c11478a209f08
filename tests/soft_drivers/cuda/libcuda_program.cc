// The soft libcuda.so.1: what programs use and het's own backend does not: contexts of their own,
// the thread's default stream, other ways to launch, graphs, and the search for entry points.
#include <dlfcn.h>

#include "tests/soft_drivers/cuda/entry.h"

namespace het::cuda {

using namespace soft::cuda;  // NOLINT(google-build-using-namespace): one driver in several files

// ---- Contexts ----

HET_EXPORT CUresult cuCtxCreate_v2(CUcontext* context, unsigned int, CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (const CUresult error = Enter("cuCtxCreate_v2", device); error != CUDA_SUCCESS) return error;
  auto made = std::make_unique<CUctxOpaque>();
  made->card = device;
  made->units = The().cards[device].units;
  *context = made.release();
  return cuCtxPushCurrent_v2(*context);
}

HET_EXPORT CUresult cuCtxPushCurrent_v2(CUcontext context) {
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  Pushed().push_back(Current());
  Current() = context;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuCtxPopCurrent_v2(CUcontext* context) {
  if (Current() == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  if (context != nullptr) *context = Current();
  Current() = Pushed().empty() ? nullptr : Pushed().back();
  if (!Pushed().empty()) Pushed().pop_back();
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuCtxDestroy_v2(CUcontext context) {
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  if (context->default_stream.stream != nullptr) context->default_stream.stream->Synchronize();
  The().Clear(context);
  if (Current() == context) cuCtxPopCurrent_v2(nullptr);
  delete context;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuCtxGetDevice(CUdevice* device) {
  if (Current() == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  *device = Current()->card;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int* flags, int* active) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  const std::lock_guard lock(The().mutex);
  *flags = 0;
  *active = The().primary[device].uses > 0 ? 1 : 0;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  if (!IsDevice(device)) return CUDA_ERROR_INVALID_DEVICE;
  The().Clear(&The().primary[device]);
  return CUDA_SUCCESS;
}

// ---- Launches ----

HET_EXPORT CUresult cuLaunchKernel_ptsz HET_SHADOW_LAUNCH_ARGUMENTS {
  return cuLaunchKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes,
                        stream == nullptr ? kPerThreadStream : stream, parameters, extra);
}

HET_EXPORT CUresult cuLaunchCooperativeKernel HET_SHADOW_COOPERATIVE_ARGUMENTS {
  return cuLaunchKernel(function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes,
                        stream, parameters, nullptr);
}

HET_EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig* launch, CUfunction function,
                                     void** parameters, void** extra) {
  return cuLaunchKernel(function, launch->gridDimX, launch->gridDimY, launch->gridDimZ,
                        launch->blockDimX, launch->blockDimY, launch->blockDimZ,
                        launch->sharedMemBytes, launch->hStream, parameters, extra);
}

HET_EXPORT CUresult cuStreamSynchronize_ptsz(CUstream stream) {
  return cuStreamSynchronize(stream == nullptr ? kPerThreadStream : stream);
}

HET_EXPORT CUresult cuStreamIsCapturing_ptsz(CUstream stream, int* status) {
  return cuStreamIsCapturing(stream == nullptr ? kPerThreadStream : stream, status);
}

// ---- Graphs: of one stream, in its order ----

HET_EXPORT CUresult cuThreadExchangeStreamCaptureMode(int* mode) {
  std::swap(*mode, CaptureMode());
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  SOFT_ENTER(cuStreamBeginCapture_v2);
  if (stream == nullptr || stream == kLegacyStream) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  stream = Resolve(stream);
  const std::lock_guard lock(The().mutex);
  if (stream->captured_in != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  stream->captured_in = new CUgraphOpaque;
  stream->spoilt = false;
  stream->only_of =
      mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL ? std::this_thread::get_id() : std::thread::id();
  if (mode != CU_STREAM_CAPTURE_MODE_RELAXED) The().capturing.insert(stream);
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuStreamIsCapturing(CUstream stream, int* status) {
  SOFT_ENTER(cuStreamIsCapturing);
  stream = Resolve(stream);
  const std::lock_guard lock(The().mutex);
  *status = stream->captured_in == nullptr ? 0 : stream->spoilt ? 2 : 1;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  SOFT_ENTER(cuStreamEndCapture);
  stream = Resolve(stream);
  const std::lock_guard lock(The().mutex);
  if (stream->captured_in == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
  The().capturing.erase(stream);
  *graph = std::exchange(stream->captured_in, nullptr);
  if (!stream->spoilt) return CUDA_SUCCESS;
  delete std::exchange(*graph, nullptr);
  return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

HET_EXPORT CUresult cuGraphCreate(CUgraph* graph, unsigned int) {
  *graph = new CUgraphOpaque;
  return CUDA_SUCCESS;
}

// Its memory is there at once, and not only while the graph runs.
HET_EXPORT CUresult cuGraphAddMemAllocNode(CUgraphNode* node, CUgraph graph, const CUgraphNode*,
                                           size_t, CUDA_MEM_ALLOC_NODE_PARAMS* what) {
  const CUresult error = cuMemAllocAsync(&what->dptr, what->bytesize, nullptr);
  if (error != CUDA_SUCCESS) return error;
  graph->nodes.push_back({{}, [] {}});
  *node = reinterpret_cast<CUgraphNode>(graph->nodes.size());
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  if (nodes != nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  *count = graph->nodes.size();
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec* graph, CUgraph of, Wide) {
  *graph = new CUgraphExecOpaque;
  (*graph)->nodes = of->nodes;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream) {
  SOFT_ENTER(cuGraphLaunch);
  for (const soft::GraphNode& node : graph->nodes) {
    if (node.launch.kernel != nullptr) {
      Resolve(stream)->stream->Enqueue(node.launch);
    } else {
      Move(stream, node.work);
    }
  }
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGraphDestroy(CUgraph graph) {
  delete graph;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGraphExecDestroy(CUgraphExec graph) {
  delete graph;
  return CUDA_SUCCESS;
}

// ---- Entry points by name ----

// The newest of a name that this driver has, whatever version is asked for: it has one of each, but
// for the search itself.
HET_EXPORT CUresult cuGetProcAddress_v2(const char* symbol, void** function, int version,
                                        uint64_t flags, int* status) {
  int own = 0;
  cuDriverGetVersion(&own);
  if (symbol == nullptr || function == nullptr || version > own) return CUDA_ERROR_INVALID_VALUE;
  static void* const library = [] {
    Dl_info info = {};
    dladdr(reinterpret_cast<void*>(&cuGetProcAddress_v2), &info);
    return dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  }();
  *function = nullptr;
  const bool first = std::string(symbol) == "cuGetProcAddress" && version < 12000;
  for (const char* number : {"_v4", "_v3", "_v2", ""}) {
    for (const char* stream : {"_ptsz", "_ptds", ""}) {
      if (first && *number != '\0') continue;
      if (*stream != '\0' && (flags & kProcPerThreadStream) == 0) continue;
      if (*function != nullptr) continue;
      *function = dlsym(library, (std::string(symbol) + number + stream).c_str());
    }
  }
  if (status != nullptr) *status = *function != nullptr ? 0 : 1;
  return CUDA_SUCCESS;
}

HET_EXPORT CUresult cuGetProcAddress(const char* symbol, void** function, int version,
                                     uint64_t flags) {
  return cuGetProcAddress_v2(symbol, function, version, flags, nullptr);
}

// In no list of anybody's: a function of a driver newer than the shadow.
HET_EXPORT CUresult cuSoftSecret() { return CUDA_SUCCESS; }

HET_EXPORT CUresult cuGetExportTable(const void**, const CUuuid*) { return CUDA_ERROR_NOT_FOUND; }

}  // namespace het::cuda
