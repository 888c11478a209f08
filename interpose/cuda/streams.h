// Streams: the queues of the program as Turns needs them: an object per stream that stays the same,
// whatever name the program calls it by, and that any thread can use.
//
// A handle alone says too little: null means another stream in every context, and a thread's
// default stream can be named by that thread only. So after each launch on one, its `tail` event is
// recorded there and then.
//
// Threads: all. Ownership: Streams keeps its objects for ever, because Turns and threads' caches
// point at them; a handle that the driver uses again is given its old object.
#ifndef HET_INTERPOSE_CUDA_STREAMS_H_
#define HET_INTERPOSE_CUDA_STREAMS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "interpose/cuda/hooked.h"
#include "interpose/plain_mutex.h"

namespace het::interpose {

struct StreamState {
  // Null: forgotten. relaxed: a program that uses a stream while it destroys it gets either.
  std::atomic<cuda::CUcontext> context{nullptr};
  cuda::CUstream handle = nullptr;
  bool per_thread = false;
  std::atomic<cuda::CUevent> tail{nullptr};  // of a thread's default stream: after its last launch
};

class Streams {
 public:
  // The stream that `handle` means in a call of the calling thread. `per_thread`: in the variants
  // where null is the thread's default stream (_ptsz). `is_new`: the object was not known, or its
  // handle had been forgotten.
  StreamState& Of(cuda::CUstream handle, bool per_thread, bool* is_new);
  // Null when no work of the program's was seen on it. For streams that have a handle of their own.
  StreamState* Find(cuda::CUstream handle);
  std::vector<StreamState*> In(cuda::CUcontext context);
  // It is about to be destroyed: its handle may come back as another stream.
  void Forget(StreamState& state);

 private:
  // A default stream's context and thread; null for others, whose handles are unique.
  using Key = std::tuple<cuda::CUcontext, const void*, cuda::CUstream>;

  PlainMutex mutex_;
  absl::flat_hash_map<Key, std::unique_ptr<StreamState>> states_ ABSL_GUARDED_BY(mutex_);
  // Grows when something is forgotten. release/acquire: who sees the number sees that state's null
  // context, and does not use what its thread remembered.
  std::atomic<uint64_t> generation_{1};
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_CUDA_STREAMS_H_
