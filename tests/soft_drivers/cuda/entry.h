// Entry: what the entry points of the soft libcuda have in common: the declarations that the
// backend and the shadow have (so the soft driver cannot differ from either), and the checks at
// their head.
#ifndef HET_TESTS_SOFT_DRIVERS_CUDA_ENTRY_H_
#define HET_TESTS_SOFT_DRIVERS_CUDA_ENTRY_H_

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "interpose/cuda/hooks.h"
#include "tests/soft_drivers/cuda/state.h"

#define HET_EXPORT extern "C" __attribute__((visibility("default")))

namespace het::cuda {
#define HET_DECLARE(name, arguments) HET_EXPORT CUresult name arguments;
HET_CUDA_REQUIRED(HET_DECLARE)
HET_CUDA_OPTIONAL(HET_DECLARE)
HET_SHADOW_USED(HET_DECLARE)
#undef HET_DECLARE

enum : CUresult {
  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
  CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
};
}  // namespace het::cuda

namespace het::soft::cuda {

using namespace het::cuda;  // NOLINT(google-build-using-namespace): this is that driver

inline constexpr uint32_t kMostThreads = 1024;
inline constexpr unsigned int kGreenGroup = 8;  // multiprocessors, on capability 9.0
inline constexpr int kLeastPriority = 0, kGreatestPriority = -5;

inline bool IsDevice(CUdevice device) { return The().engine.IsCard(device); }

// At the head of every entry point: faults, and what broke the card.
inline CUresult Enter(const char* point, int card = -1) {
  if (!The().initialised.load(std::memory_order_acquire)) return CUDA_ERROR_NOT_INITIALIZED;
  return ErrorOf(The().engine.Check(point, card));
}

// The same for those that need a current context.
inline CUresult EnterCurrent(const char* point) {
  if (Current() != nullptr) return Enter(point, Current()->card);
  const CUresult error = Enter(point);
  return error != CUDA_SUCCESS ? error : CUDA_ERROR_INVALID_CONTEXT;
}

#define SOFT_ENTER(point)                                                           \
  if (const CUresult soft_error = EnterCurrent(#point); soft_error != CUDA_SUCCESS) \
  return soft_error

inline CUstream NewStream(CUcontext context) {
  auto* stream = new CUstreamOpaque{context, The().engine.NewStream(context->card)};
  const std::lock_guard lock(The().mutex);
  The().streams.insert(stream);
  return stream;
}

// The calling thread's own stream in a context; it lives as long as the process.
inline CUstream OfThread(CUcontext context) {
  thread_local std::map<CUcontext, CUstream> streams;
  CUstream& stream = streams[context];
  if (stream == nullptr) stream = NewStream(context);
  return stream;
}

// Calls that may wait are forbidden while anything is captured, except to threads that said they
// are careful: they spoil the captures. One that its thread captures for itself is spoilt by that
// thread alone.
inline bool SpoilsCapture() {
  const std::lock_guard lock(The().mutex);
  if (CaptureMode() == CU_STREAM_CAPTURE_MODE_RELAXED) return false;
  bool any = false;
  for (CUstream stream : The().capturing) {
    if (stream->only_of != std::thread::id() && stream->only_of != std::this_thread::get_id())
      continue;
    stream->spoilt = true;
    any = true;
  }
  return any;
}

// The stream that a handle means: null is the current context's own.
inline CUstream Resolve(CUstream stream) {
  if (stream == kPerThreadStream) return OfThread(Current());
  if (stream != nullptr && stream != kLegacyStream) return stream;
  const std::lock_guard lock(The().mutex);
  CUstream own = &Current()->default_stream;
  if (own->stream == nullptr) *own = {Current(), The().engine.NewStream(Current()->card)};
  return own;
}

// Queues a copy or a fill of device memory.
inline CUresult Move(CUstream handle, std::function<void()> work) {
  CUstream stream = Resolve(handle);
  if (stream->captured_in != nullptr) {
    stream->captured_in->nodes.push_back({{}, std::move(work)});
    return CUDA_SUCCESS;
  }
  The().engine.Move(*stream->stream, stream->context->card, std::move(work));
  return CUDA_SUCCESS;
}

inline void* Pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

inline bool Reaches(CUdeviceptr address, size_t bytes) {
  return The().engine.Reaches(Current()->card, Pointer(address), bytes);
}

}  // namespace het::soft::cuda

#endif  // HET_TESTS_SOFT_DRIVERS_CUDA_ENTRY_H_
