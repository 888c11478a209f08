#include "devices/hip/gpu.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "devices/device.h"
#include "devices/hip/blas.h"
#include "devices/hip/compile.h"

namespace het::hip {
namespace {

constexpr uintptr_t kNothingToRestore = UINTPTR_MAX;

hipStream_t Stream(void* handle) { return static_cast<hipStream_t>(handle); }
hipEvent_t Event(void* handle) { return static_cast<hipEvent_t>(handle); }
void* Pointer(streams::Address address) { return reinterpret_cast<void*>(address); }

}  // namespace

absl::StatusOr<std::unique_ptr<streams::Gpu>> HipGpu::Open(const Api& api, const Found& found,
                                                           Part part) {
  const std::string what = absl::StrCat("opening ", found.info.name);
  std::unique_ptr<HipGpu> gpu(new HipGpu(api, found, std::move(part)));
  HET_HIP_RETURN_IF_ERROR(api, api.hipSetDevice(found.ordinal), what);
  if (api.hipDevicePrimaryCtxRetain != nullptr) {
    HET_HIP_RETURN_IF_ERROR(api, api.hipDevicePrimaryCtxRetain(&gpu->context_, found.ordinal),
                            what);
  }
  HET_HIP_RETURN_IF_ERROR(
      api, api.hipDeviceGetStreamPriorityRange(&gpu->least_priority_, &gpu->greatest_priority_),
      what);
  HET_RETURN_IF_ERROR(gpu->MakePool());
  return gpu;
}

uint64_t HipGpu::NextNumber() {
  static std::atomic<uint64_t> last{0};
  return ++last;  // relaxed would do: only that they differ counts
}

absl::Status HipGpu::MakePool() {
  int supported = 0;
  if (!api_.has_pools() ||
      api_.hipDeviceGetAttribute(&supported, hipDeviceAttributeMemoryPoolsSupported,
                                 found_.ordinal) != hipSuccess ||
      supported == 0) {
    return absl::OkStatus();
  }
  // Its threshold is 0: freed memory goes back to the runtime with the next synchronisation.
  hipMemPoolProps properties = {};
  properties.allocType = hipMemAllocationTypePinned;
  properties.location = {hipMemLocationTypeDevice, found_.ordinal};
  HET_HIP_RETURN_IF_ERROR(api_, NewStream(QueueKind::kTransfer, &memory_stream_),
                          absl::StrCat("making the memory stream of ", found_.info.name));
  HET_HIP_RETURN_IF_ERROR(api_, api_.hipMemPoolCreate(&pool_, &properties),
                          absl::StrCat("making the memory pool of ", found_.info.name));
  return absl::OkStatus();
}

uint32_t HipGpu::capabilities() const {
  return kRunsPortable | (api_.has_peers() ? kPeerCopies : 0u) |
         (pool_ != nullptr ? kPoolMemory : 0u) | (api_.has_graphs() ? kReplaysWork : 0u) |
         (LoadRocblas(api_.library).ok() ? kMultipliesMatrices : 0u);
}

HipGpu::~HipGpu() {
  if (memory_stream_ != nullptr) {
    const streams::Current current(*this);
    if (pool_ != nullptr) api_.hipMemPoolDestroy(pool_);
    DeleteStream(memory_stream_);
  }
  if (context_ != nullptr && api_.hipDevicePrimaryCtxRelease != nullptr)
    api_.hipDevicePrimaryCtxRelease(found_.ordinal);
  if (part_.give_back) part_.give_back();
}

uintptr_t HipGpu::Enter() {
  int before = 0;
  api_.hipGetDevice(&before);
  if (before == found_.ordinal) return kNothingToRestore;
  api_.hipSetDevice(found_.ordinal);
  return static_cast<uintptr_t>(before);
}

void HipGpu::Leave(uintptr_t before) {
  if (before != kNothingToRestore) api_.hipSetDevice(static_cast<int>(before));
}

absl::Status HipGpu::Error(int error, absl::string_view what) const {
  return ErrorStatus(api_, error, what);
}

int HipGpu::NewStream(QueueKind kind, void** stream) {
  hipStream_t made = nullptr;
  // Copies are short and others wait for them: they go first where both could run. A stream with a
  // mask has no priority; copies by the copy engines need no compute unit anyway.
  const int priority = kind == QueueKind::kTransfer ? greatest_priority_ : least_priority_;
  const hipError_t error =
      part_.mask.empty() ? api_.hipStreamCreateWithPriority(&made, kStreamNonBlocking, priority)
                         : api_.hipExtStreamCreateWithCUMask(
                               &made, static_cast<uint32_t>(part_.mask.size()), part_.mask.data());
  *stream = made;
  return error;
}

int HipGpu::DeleteStream(void* stream) { return api_.hipStreamDestroy(Stream(stream)); }

absl::Status HipGpu::CheckStream(void* stream) {
  // The runtime does not tell a stream's device; at least it knows whether it is a stream.
  unsigned int flags = 0;
  HET_HIP_RETURN_IF_ERROR(api_, api_.hipStreamGetFlags(Stream(stream), &flags),
                          "asking a stream's flags");
  return absl::OkStatus();
}

int HipGpu::NewEvent(void** event) {
  hipEvent_t made = nullptr;
  const hipError_t error = api_.hipEventCreateWithFlags(&made, kEventBlockingSync);
  *event = made;
  return error;
}
int HipGpu::DeleteEvent(void* event) { return api_.hipEventDestroy(Event(event)); }
int HipGpu::Record(void* event, void* stream) {
  return api_.hipEventRecord(Event(event), Stream(stream));
}
int HipGpu::Query(void* event) { return api_.hipEventQuery(Event(event)); }
int HipGpu::Await(void* event) { return api_.hipEventSynchronize(Event(event)); }
int HipGpu::Elapsed(float* milliseconds, void* begin, void* end) {
  return api_.hipEventElapsedTime(milliseconds, Event(begin), Event(end));
}
int HipGpu::WaitFor(void* event, void* stream) {
  return api_.hipStreamWaitEvent(Stream(stream), Event(event), 0);
}

int HipGpu::NewMemory(uint64_t bytes, streams::Address* address) {
  void* made = nullptr;
  hipError_t error = hipSuccess;
  if (pool_ == nullptr) {
    error = api_.hipMalloc(&made, bytes);
  } else {
    error = api_.hipMallocFromPoolAsync(&made, bytes, pool_, Stream(memory_stream_));
    if (error == hipSuccess) error = api_.hipStreamSynchronize(Stream(memory_stream_));
  }
  *address = reinterpret_cast<streams::Address>(made);
  return error;
}
int HipGpu::DeleteMemory(streams::Address address) {
  if (pool_ == nullptr) return api_.hipFree(Pointer(address));
  const hipError_t error = api_.hipFreeAsync(Pointer(address), Stream(memory_stream_));
  // The pool lets go of it here.
  return error != hipSuccess ? error : api_.hipStreamSynchronize(Stream(memory_stream_));
}
int HipGpu::NewPinned(uint64_t bytes, void** address) {
  return api_.hipHostMalloc(address, bytes, kHostMallocPortable);
}
int HipGpu::DeletePinned(void* address) { return api_.hipHostFree(address); }

int HipGpu::Write(streams::Address to, const void* from, uint64_t bytes, void* stream) {
  return api_.hipMemcpyAsync(Pointer(to), from, bytes, hipMemcpyHostToDevice, Stream(stream));
}
int HipGpu::Read(void* to, streams::Address from, uint64_t bytes, void* stream) {
  return api_.hipMemcpyAsync(to, Pointer(from), bytes, hipMemcpyDeviceToHost, Stream(stream));
}
int HipGpu::Copy(streams::Address to, streams::Address from, uint64_t bytes, void* stream) {
  return api_.hipMemcpyAsync(Pointer(to), Pointer(from), bytes, hipMemcpyDefault, Stream(stream));
}

bool HipGpu::Reaches(const streams::Gpu& other) const {
  const auto* peer = dynamic_cast<const HipGpu*>(&other);
  if (peer == nullptr || !api_.has_peers()) return false;
  if (peer->found_.ordinal == found_.ordinal) return true;
  absl::MutexLock lock(&mutex_);
  const auto known = reaches_.find(peer->number_);
  if (known != reaches_.end()) return known->second;
  int can = 0, back = 0;
  bool reaches =
      api_.hipDeviceCanAccessPeer(&can, found_.ordinal, peer->found_.ordinal) == hipSuccess &&
      api_.hipDeviceCanAccessPeer(&back, peer->found_.ordinal, found_.ordinal) == hipSuccess &&
      can != 0 && back != 0;
  // Memory of a pool is its own card's alone until it is said to be another's too.
  const auto allow = [this](hipMemPool_t pool, int device) {
    const hipMemAccessDesc access{{hipMemLocationTypeDevice, device},
                                  hipMemAccessFlagsProtReadWrite};
    return pool == nullptr || api_.hipMemPoolSetAccess(pool, &access, 1) == hipSuccess;
  };
  reaches = reaches && allow(pool_, peer->found_.ordinal) && allow(peer->pool_, found_.ordinal);
  reaches_[peer->number_] = reaches;
  return reaches;
}

int HipGpu::CopyAcross(streams::Address to, const streams::Gpu& to_gpu, streams::Address from,
                       const streams::Gpu& from_gpu, uint64_t bytes, void* stream) {
  const int target = static_cast<const HipGpu&>(to_gpu).found_.ordinal;
  const int source = static_cast<const HipGpu&>(from_gpu).found_.ordinal;
  // Parts of one card share its addresses.
  if (target == source) return Copy(to, from, bytes, stream);
  return api_.hipMemcpyPeerAsync(Pointer(to), target, Pointer(from), source, bytes, Stream(stream));
}

int HipGpu::BeginCapture(void* stream) {
  return api_.hipStreamBeginCapture(Stream(stream), hipStreamCaptureModeThreadLocal);
}
int HipGpu::EndCapture(void* stream, void** captured) {
  hipGraph_t graph = nullptr;
  hipGraphExec_t executable = nullptr;
  hipError_t error = api_.hipStreamEndCapture(Stream(stream), &graph);
  if (error == hipSuccess) {
    error = api_.hipGraphInstantiate(&executable, graph, nullptr, nullptr, 0);
  }
  if (graph != nullptr) api_.hipGraphDestroy(graph);
  *captured = executable;
  return error;
}
int HipGpu::Replay(void* captured, void* stream) {
  return api_.hipGraphLaunch(static_cast<hipGraphExec_t>(captured), Stream(stream));
}
int HipGpu::DeleteCaptured(void* captured) {
  return api_.hipGraphExecDestroy(static_cast<hipGraphExec_t>(captured));
}

absl::StatusOr<std::unique_ptr<streams::Multiplier>> HipGpu::NewMultiplier(void* stream) {
  HET_ASSIGN_OR_RETURN(const Rocblas* const blas, LoadRocblas(api_.library));
  return NewRocblasMultiplier(api_, *blas, Stream(stream));
}

int HipGpu::Fill(streams::Address to, uint8_t value, uint64_t bytes, void* stream) {
  return api_.hipMemsetAsync(Pointer(to), value, bytes, Stream(stream));
}

int HipGpu::Launch(void* kernel, const uint32_t groups[3], const uint32_t group_size[3],
                   const void* arguments, size_t bytes, void* stream) {
  void* extra[] = {kLaunchParamBufferPointer, const_cast<void*>(arguments), kLaunchParamBufferSize,
                   &bytes, kLaunchParamEnd};
  return api_.hipModuleLaunchKernel(static_cast<hipFunction_t>(kernel), groups[0], groups[1],
                                    groups[2], group_size[0], group_size[1], group_size[2], 0,
                                    Stream(stream), nullptr, extra);
}

absl::StatusOr<streams::Code> HipGpu::Compile(const ProgramSource& source) {
  HET_ASSIGN_OR_RETURN(const Hiprtc* const hiprtc, LoadHiprtc());
  const streams::Current current(*this);  // hiprtc compiles for it
  return CompileProgram(*hiprtc, source, "", found_.info.name);
}

int HipGpu::LoadCode(const streams::Code& code, void** module, std::string*) {
  hipModule_t made = nullptr;
  const hipError_t error = api_.hipModuleLoadData(&made, code.image.c_str());
  *module = made;
  return error;
}
int HipGpu::UnloadCode(void* module) {
  return api_.hipModuleUnload(static_cast<hipModule_t>(module));
}
int HipGpu::FindKernel(void* module, const char* name, void** kernel) {
  hipFunction_t found = nullptr;
  const hipError_t error =
      api_.hipModuleGetFunction(&found, static_cast<hipModule_t>(module), name);
  *kernel = found;
  return error;
}

}  // namespace het::hip
