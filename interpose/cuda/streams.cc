#include "interpose/cuda/streams.h"

#include "interpose/cuda/driver.h"

namespace het::interpose {

using cuda::CUcontext;
using cuda::CUstream;

namespace {

CUcontext Current() {
  CUcontext context = nullptr;
  cuda::driver.cuCtxGetCurrent(&context);
  return context;
}

CUcontext ContextOf(CUstream stream) {
  CUcontext context = nullptr;
  if (cuda::driver.cuStreamGetCtx != nullptr &&
      cuda::driver.cuStreamGetCtx(stream, &context) == cuda::CUDA_SUCCESS && context != nullptr) {
    return context;
  }
  return Current();
}

}  // namespace

StreamState& Streams::Of(CUstream handle, bool per_thread, bool* is_new) {
  // Programs use the same stream again and again.
  thread_local struct {
    CUcontext context = nullptr;
    CUstream handle = nullptr;
    uint64_t generation = 0;
    StreamState* state = nullptr;
  } last;
  thread_local char thread_mark = 0;
  if (handle == nullptr) handle = per_thread ? cuda::kPerThreadStream : cuda::kLegacyStream;
  const bool by_thread = handle == cuda::kPerThreadStream;
  const CUcontext context = by_thread || handle == cuda::kLegacyStream ? Current() : nullptr;
  *is_new = false;
  if (last.state != nullptr && last.handle == handle && last.context == context &&
      last.generation == generation_.load(std::memory_order_acquire)) {
    return *last.state;
  }
  PlainLock lock(&mutex_);
  std::unique_ptr<StreamState>& state =
      states_[{context, by_thread ? &thread_mark : nullptr, handle}];
  if (state == nullptr) {
    state = std::make_unique<StreamState>();
    state->handle = handle;
    state->per_thread = by_thread;
  }
  if (state->context.load(std::memory_order_relaxed) == nullptr) {
    state->context.store(context != nullptr ? context : ContextOf(handle),
                         std::memory_order_relaxed);
    *is_new = true;
  }
  last = {context, handle, generation_.load(std::memory_order_relaxed), state.get()};
  return *state;
}

StreamState* Streams::Find(CUstream handle) {
  PlainLock lock(&mutex_);
  const auto found = states_.find({nullptr, nullptr, handle});
  return found == states_.end() ? nullptr : found->second.get();
}

std::vector<StreamState*> Streams::In(CUcontext context) {
  std::vector<StreamState*> found;
  PlainLock lock(&mutex_);
  for (const auto& [key, state] : states_) {
    if (state->context.load(std::memory_order_relaxed) == context) found.push_back(state.get());
  }
  return found;
}

void Streams::Forget(StreamState& state) {
  state.context.store(nullptr, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
}

}  // namespace het::interpose
