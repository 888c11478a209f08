#include "devices/cuda/gpu.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "devices/cuda/blas.h"
#include "devices/cuda/compile.h"
#include "devices/device.h"

namespace het::cuda {
namespace {

constexpr uintptr_t kNothingToRestore = 1;  // no context has this address

CUstream Stream(void* handle) { return static_cast<CUstream>(handle); }
CUevent Event(void* handle) { return static_cast<CUevent>(handle); }

}  // namespace

absl::StatusOr<std::unique_ptr<streams::Gpu>> CudaGpu::Open(const Api& api, const Found& found,
                                                            Part part) {
  const std::string what = absl::StrCat("opening ", found.info.name);
  CUcontext context = nullptr;
  CUresult error = part.context != nullptr ? api.cuCtxFromGreenCtx(&context, part.context)
                                           : api.cuDevicePrimaryCtxRetain(&context, found.device);
  if (error != CUDA_SUCCESS) {
    if (part.give_back) part.give_back();
    return ErrorStatus(api, error, what);
  }
  std::unique_ptr<CudaGpu> gpu(new CudaGpu(api, found, std::move(part), context));
  const streams::Current current(*gpu);
  HET_CUDA_RETURN_IF_ERROR(
      api, api.cuCtxGetStreamPriorityRange(&gpu->least_priority_, &gpu->greatest_priority_), what);
  HET_RETURN_IF_ERROR(gpu->MakePool());
  return gpu;
}

uint64_t CudaGpu::NextNumber() {
  static std::atomic<uint64_t> last{0};
  return ++last;  // relaxed would do: only that they differ counts
}

absl::Status CudaGpu::MakePool() {
  int supported = 0;
  if (!api_.has_pools() ||
      api_.cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED,
                                found_.device) != CUDA_SUCCESS ||
      supported == 0) {
    return absl::OkStatus();
  }
  // Its threshold is 0: freed memory goes back to the driver with the next synchronisation.
  CUmemPoolProps properties = {};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, found_.device};
  HET_CUDA_RETURN_IF_ERROR(api_, NewStream(QueueKind::kTransfer, &memory_stream_),
                           absl::StrCat("making the memory stream of ", found_.info.name));
  HET_CUDA_RETURN_IF_ERROR(api_, api_.cuMemPoolCreate(&pool_, &properties),
                           absl::StrCat("making the memory pool of ", found_.info.name));
  return absl::OkStatus();
}

uint32_t CudaGpu::capabilities() const {
  return kRunsPortable | (api_.has_peers() ? kPeerCopies : 0u) |
         (pool_ != nullptr ? kPoolMemory : 0u) | (api_.has_graphs() ? kReplaysWork : 0u) |
         (LoadCublas(api_.version).ok() ? kMultipliesMatrices : 0u);
}

CudaGpu::~CudaGpu() {
  if (memory_stream_ != nullptr) {
    const streams::Current current(*this);
    if (pool_ != nullptr) api_.cuMemPoolDestroy(pool_);
    DeleteStream(memory_stream_);
  }
  if (part_.context == nullptr) {
    api_.cuDevicePrimaryCtxRelease_v2(found_.device);
  } else {
    api_.cuGreenCtxDestroy(part_.context);
  }
  if (part_.give_back) part_.give_back();
}

uintptr_t CudaGpu::Enter() {
  CUcontext before = nullptr;
  api_.cuCtxGetCurrent(&before);
  if (before == context_) return kNothingToRestore;
  api_.cuCtxSetCurrent(context_);
  return reinterpret_cast<uintptr_t>(before);
}

void CudaGpu::Leave(uintptr_t before) {
  if (before != kNothingToRestore) api_.cuCtxSetCurrent(reinterpret_cast<CUcontext>(before));
}

absl::Status CudaGpu::Error(int error, absl::string_view what) const {
  return ErrorStatus(api_, error, what);
}

int CudaGpu::NewStream(QueueKind kind, void** stream) {
  // Copies are short and others wait for them: they go first where both could run.
  const int priority = kind == QueueKind::kTransfer ? greatest_priority_ : least_priority_;
  CUstream made = nullptr;
  const CUresult error =
      part_.context != nullptr
          ? api_.cuGreenCtxStreamCreate(&made, part_.context, CU_STREAM_NON_BLOCKING, priority)
          : api_.cuStreamCreateWithPriority(&made, CU_STREAM_NON_BLOCKING, priority);
  *stream = made;
  return error;
}

int CudaGpu::DeleteStream(void* stream) { return api_.cuStreamDestroy_v2(Stream(stream)); }

absl::Status CudaGpu::CheckStream(void* stream) {
  CUcontext context = nullptr;
  HET_CUDA_RETURN_IF_ERROR(api_, api_.cuStreamGetCtx(Stream(stream), &context),
                           "asking a stream's context");
  if (context != context_) {
    return absl::InvalidArgumentError(
        absl::StrCat("the stream to wrap belongs to another CUDA context; make it in the context "
                     "that native_handle() of ",
                     found_.info.name, " gives (the device's primary one)"));
  }
  return absl::OkStatus();
}

int CudaGpu::NewEvent(void** event) {
  CUevent made = nullptr;
  const CUresult error = api_.cuEventCreate(&made, CU_EVENT_BLOCKING_SYNC);
  *event = made;
  return error;
}
int CudaGpu::DeleteEvent(void* event) { return api_.cuEventDestroy_v2(Event(event)); }
int CudaGpu::Record(void* event, void* stream) {
  return api_.cuEventRecord(Event(event), Stream(stream));
}
int CudaGpu::Query(void* event) { return api_.cuEventQuery(Event(event)); }
int CudaGpu::Await(void* event) { return api_.cuEventSynchronize(Event(event)); }
int CudaGpu::Elapsed(float* milliseconds, void* begin, void* end) {
  return api_.cuEventElapsedTime(milliseconds, Event(begin), Event(end));
}
int CudaGpu::WaitFor(void* event, void* stream) {
  return api_.cuStreamWaitEvent(Stream(stream), Event(event), 0);
}

int CudaGpu::NewMemory(uint64_t bytes, streams::Address* address) {
  CUdeviceptr made = 0;
  CUresult error = CUDA_SUCCESS;
  if (pool_ == nullptr) {
    error = api_.cuMemAlloc_v2(&made, bytes);
  } else {
    error = api_.cuMemAllocFromPoolAsync(&made, bytes, pool_, Stream(memory_stream_));
    if (error == CUDA_SUCCESS) error = api_.cuStreamSynchronize(Stream(memory_stream_));
  }
  *address = made;
  return error;
}
int CudaGpu::DeleteMemory(streams::Address address) {
  if (pool_ == nullptr) return api_.cuMemFree_v2(address);
  const CUresult error = api_.cuMemFreeAsync(address, Stream(memory_stream_));
  // The pool lets go of it here.
  return error != CUDA_SUCCESS ? error : api_.cuStreamSynchronize(Stream(memory_stream_));
}
int CudaGpu::NewPinned(uint64_t bytes, void** address) {
  return api_.cuMemHostAlloc(address, bytes, kMemHostAllocPortable);
}
int CudaGpu::DeletePinned(void* address) { return api_.cuMemFreeHost(address); }

int CudaGpu::Write(streams::Address to, const void* from, uint64_t bytes, void* stream) {
  return api_.cuMemcpyHtoDAsync_v2(to, from, bytes, Stream(stream));
}
int CudaGpu::Read(void* to, streams::Address from, uint64_t bytes, void* stream) {
  return api_.cuMemcpyDtoHAsync_v2(to, from, bytes, Stream(stream));
}
int CudaGpu::Copy(streams::Address to, streams::Address from, uint64_t bytes, void* stream) {
  return api_.cuMemcpyAsync(to, from, bytes, Stream(stream));
}

bool CudaGpu::Reaches(const streams::Gpu& other) const {
  const auto* peer = dynamic_cast<const CudaGpu*>(&other);
  if (peer == nullptr || !api_.has_peers()) return false;
  if (peer->found_.device == found_.device) return true;
  absl::MutexLock lock(&mutex_);
  const auto known = reaches_.find(peer->number_);
  if (known != reaches_.end()) return known->second;
  int can = 0, back = 0;
  bool reaches =
      api_.cuDeviceCanAccessPeer(&can, found_.device, peer->found_.device) == CUDA_SUCCESS &&
      api_.cuDeviceCanAccessPeer(&back, peer->found_.device, found_.device) == CUDA_SUCCESS &&
      can != 0 && back != 0;
  // Memory of a pool is its own card's alone until it is said to be another's too.
  const auto allow = [this](CUmemoryPool pool, CUdevice device) {
    const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, device},
                                 CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    return pool == nullptr || api_.cuMemPoolSetAccess(pool, &access, 1) == CUDA_SUCCESS;
  };
  reaches = reaches && allow(pool_, peer->found_.device) && allow(peer->pool_, found_.device);
  reaches_[peer->number_] = reaches;
  return reaches;
}

int CudaGpu::CopyAcross(streams::Address to, const streams::Gpu& to_gpu, streams::Address from,
                        const streams::Gpu& from_gpu, uint64_t bytes, void* stream) {
  const auto& target = static_cast<const CudaGpu&>(to_gpu);
  const auto& source = static_cast<const CudaGpu&>(from_gpu);
  // Parts of one card share its addresses.
  if (target.found_.device == source.found_.device) return Copy(to, from, bytes, stream);
  return api_.cuMemcpyPeerAsync(to, target.context_, from, source.context_, bytes, Stream(stream));
}

int CudaGpu::BeginCapture(void* stream) {
  return api_.cuStreamBeginCapture_v2(Stream(stream), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
}
int CudaGpu::EndCapture(void* stream, void** captured) {
  CUgraph graph = nullptr;
  CUgraphExec executable = nullptr;
  CUresult error = api_.cuStreamEndCapture(Stream(stream), &graph);
  if (error == CUDA_SUCCESS) error = api_.cuGraphInstantiateWithFlags(&executable, graph, 0);
  if (graph != nullptr) api_.cuGraphDestroy(graph);
  *captured = executable;
  return error;
}
int CudaGpu::Replay(void* captured, void* stream) {
  return api_.cuGraphLaunch(static_cast<CUgraphExec>(captured), Stream(stream));
}
int CudaGpu::DeleteCaptured(void* captured) {
  return api_.cuGraphExecDestroy(static_cast<CUgraphExec>(captured));
}

absl::StatusOr<std::unique_ptr<streams::Multiplier>> CudaGpu::NewMultiplier(void* stream) {
  HET_ASSIGN_OR_RETURN(const Cublas* const blas, LoadCublas(api_.version));
  return NewCublasMultiplier(api_, *blas, Stream(stream));
}

int CudaGpu::Fill(streams::Address to, uint8_t value, uint64_t bytes, void* stream) {
  return api_.cuMemsetD8Async(to, value, bytes, Stream(stream));
}

int CudaGpu::Launch(void* kernel, const uint32_t groups[3], const uint32_t group_size[3],
                    const void* arguments, size_t bytes, void* stream) {
  void* extra[] = {kLaunchParamBufferPointer, const_cast<void*>(arguments), kLaunchParamBufferSize,
                   &bytes, kLaunchParamEnd};
  return api_.cuLaunchKernel(static_cast<CUfunction>(kernel), groups[0], groups[1], groups[2],
                             group_size[0], group_size[1], group_size[2], 0, Stream(stream),
                             nullptr, extra);
}

absl::StatusOr<streams::Code> CudaGpu::Compile(const ProgramSource& source) {
  HET_ASSIGN_OR_RETURN(const Nvrtc* const nvrtc, LoadNvrtc(api_.version));
  return CompileProgram(*nvrtc, source, found_.capability, found_.info.name);
}

int CudaGpu::LoadCode(const streams::Code& code, void** module, std::string*) {
  CUmodule made = nullptr;
  const CUresult error = api_.cuModuleLoadData(&made, code.image.c_str());
  *module = made;
  return error;
}
int CudaGpu::UnloadCode(void* module) { return api_.cuModuleUnload(static_cast<CUmodule>(module)); }
int CudaGpu::FindKernel(void* module, const char* name, void** kernel) {
  CUfunction found = nullptr;
  const CUresult error = api_.cuModuleGetFunction(&found, static_cast<CUmodule>(module), name);
  *kernel = found;
  return error;
}

size_t CudaGpu::ArgumentBytes(void* kernel) {
  if (api_.cuFuncGetParamInfo == nullptr) return 0;
  size_t end = 0;
  for (size_t i = 0;; ++i) {
    size_t offset = 0, bytes = 0;
    if (api_.cuFuncGetParamInfo(static_cast<CUfunction>(kernel), i, &offset, &bytes) !=
        CUDA_SUCCESS) {
      return end;
    }
    end = offset + bytes;
  }
}

}  // namespace het::cuda
