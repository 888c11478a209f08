// Holding: what hooks have in common. A hook makes a Held, which says whether the call is to be
// held at all; one that allocates goes on with Allocate, one that puts work on the device with
// Launched.
#ifndef HET_INTERPOSE_CUDA_HOLDING_H_
#define HET_INTERPOSE_CUDA_HOLDING_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "interpose/cuda/call.h"
#include "interpose/cuda/hooks.h"
#include "interpose/cuda/shadow.h"
#include "interpose/turns.h"

namespace het::interpose {

class Held {
 public:
  // Null: the call is the driver's alone (no slice, or a call inside another one).
  Shadow* shadow() const { return call_.is_outer() ? Shadow::Get() : nullptr; }
  // The same where a closed shadow leaves the answer to the driver: nothing is allocated or
  // launched by it.
  Shadow* open_shadow() const {
    Shadow* shadow = this->shadow();
    return shadow != nullptr && shadow->Closed() == cuda::CUDA_SUCCESS ? shadow : nullptr;
  }

 private:
  const Call call_;
};

inline cuda::CUcontext CurrentContext() {
  cuda::CUcontext context = nullptr;
  cuda::driver.cuCtxGetCurrent(&context);
  return context;
}

// Books `bytes`, asks the driver with `create()`, and ties the bytes to what `name()` then gives
// until it is freed. `settle(bytes)` may say afterwards how many it really took.
template <typename Create, typename Name, typename Settle, typename Destroy>
cuda::CUresult Allocate(MemoryBook::Kind kind, uint64_t bytes, const void* context, Create create,
                        Name name, Settle settle, Destroy destroy) {
  const Held held;
  Shadow* shadow = held.shadow();
  if (shadow == nullptr) return create();
  if (const cuda::CUresult closed = shadow->Closed(); closed != cuda::CUDA_SUCCESS) return closed;
  MemoryBook& book = shadow->book();
  if (!book.Reserve(bytes)) return cuda::CUDA_ERROR_OUT_OF_MEMORY;
  const cuda::CUresult error = create();
  if (error != cuda::CUDA_SUCCESS) {
    book.GiveBack(bytes);
    return error;
  }
  const uint64_t took = settle(bytes);
  if (took > bytes && !book.Reserve(took - bytes)) {
    destroy();
    book.GiveBack(bytes);
    return cuda::CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (took < bytes) book.GiveBack(bytes - took);
  if (took > 0) book.Add(kind, name(), {took, context});
  return error;
}

// Frees with `destroy()` what `name` names, and gives its bytes back after that.
template <typename Destroy>
cuda::CUresult Free(MemoryBook::Kind kind, uint64_t name, Destroy destroy) {
  const Held held;
  Shadow* shadow = held.open_shadow();
  if (shadow == nullptr) return destroy();
  // Taken out first: once it is free, another thread may be given the same name.
  const MemoryBook::Record record = shadow->book().Take(kind, name);
  const cuda::CUresult error = destroy();
  if (error == cuda::CUDA_SUCCESS) {
    shadow->book().GiveBack(record.bytes);
  } else if (record.bytes > 0) {
    shadow->book().Add(kind, name, record);
  }
  return error;
}

// One launch: its turn, then the driver through `launch()`. In a stream that is being captured it
// is none: the graph's launch will be. `per_thread`: null means the thread's default stream.
template <typename Launch>
cuda::CUresult Launched(cuda::CUstream handle, bool per_thread, uint64_t key, Launch launch) {
  const Held held;
  Shadow* shadow = held.shadow();
  if (shadow == nullptr) return launch();
  if (const cuda::CUresult closed = shadow->Closed(); closed != cuda::CUDA_SUCCESS) return closed;
  if (shadow->watcher().IsCapturing(handle, per_thread)) return launch();
  StreamState& stream = shadow->StreamOf(handle, per_thread);
  Turns& turns = shadow->turns();
  const absl::StatusOr<Turns::Pass> pass = turns.Enter(&stream, key, {});
  if (!pass.ok()) {
    shadow->SaySeatLost(pass.status());
    return cuda::CUDA_ERROR_DEVICE_UNAVAILABLE;
  }
  const cuda::CUresult error = launch();
  const bool ok = error == cuda::CUDA_SUCCESS;
  if (ok && stream.per_thread) shadow->watcher().RecordTail(stream);
  turns.Leave(*pass, &stream, ok, nullptr, false);
  return error;
}

}  // namespace het::interpose

#endif  // HET_INTERPOSE_CUDA_HOLDING_H_
