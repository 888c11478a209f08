// CudaWatcher: finds out when a stream is drained: an event recorded in it, and a thread that asks
// for the events that are due. Not a host function (cuLaunchHostFunc): that would hold the stream
// up on every turn, and is never called in a context that has failed. An event that the driver
// gives an error for counts as reached, so nothing waits for ever.
//
// A stream that is being captured is left alone: an event would become a part of the graph.
//
// Threads: all. The thread starts with the first watch and calls nothing but the driver and Turns.
#ifndef HET_INTERPOSE_CUDA_WATCHER_H_
#define HET_INTERPOSE_CUDA_WATCHER_H_

#include <atomic>
#include <condition_variable>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "interpose/cuda/streams.h"
#include "interpose/plain_mutex.h"
#include "interpose/turns.h"

namespace het::interpose {

class CudaWatcher : public Turns::Watcher {
 public:
  // `queue` is a StreamState.
  bool WatchQueue(Turns::Queue queue, Turns::Turn* turn) override;
  // Launches are never parked here (turns.h): no event of the program's holds one up.
  bool WatchEvent(Turns::Event, Turns::Turn*) override { return false; }
  void DropEvent(Turns::Event) override {}

  // For whom completed turns are; before the first watch.
  void set_turns(Turns* turns) { turns_ = turns; }

  // After a launch on a thread's default stream, by that thread.
  void RecordTail(StreamState& stream);
  // Before a context is destroyed: returns when nothing in it is watched any more. Its own events
  // are forgotten; the driver destroys them with it.
  void Drain(cuda::CUcontext context);

  // Around the begin of a capture: no event of the shadow's is recorded meanwhile.
  void LockForCapture() { recording_.lock(); }
  void UnlockForCapture(bool began) {
    if (began) captures_.fetch_add(1, std::memory_order_relaxed);
    recording_.unlock();
  }
  void CaptureEnded() { captures_.fetch_sub(1, std::memory_order_relaxed); }
  // Whether `stream` is being captured, or a capture makes it unusable. Cheap while there is none.
  bool IsCapturing(cuda::CUstream stream, bool per_thread) const {
    // relaxed: a program that launches on a stream while another thread begins to capture it gets
    // either.
    return captures_.load(std::memory_order_relaxed) > 0 && AskCapturing(stream, per_thread);
  }

  // No thread of the shadow's calls the driver any more.
  void Stop();

 private:
  struct Watched {
    cuda::CUevent event;
    cuda::CUcontext context;
    Turns::Turn* turn;
  };

  static bool AskCapturing(cuda::CUstream stream, bool per_thread);
  // With the event's context current.
  cuda::CUevent TakeEvent(cuda::CUcontext context);
  bool Add(const Watched& watched);
  // Asks for every event of `watched`; takes those that are reached out, and gives them back.
  std::vector<Watched> TakeReached(std::vector<Watched>* watched);
  void Run();

  Turns* turns_ = nullptr;
  // Shared: an event is being recorded. Alone: a capture begins.
  std::shared_mutex recording_;
  std::atomic<int> captures_{0};

  PlainMutex mutex_;
  std::vector<Watched> added_ ABSL_GUARDED_BY(mutex_);
  std::condition_variable changed_;
  absl::flat_hash_map<cuda::CUcontext, int> watched_in_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<cuda::CUcontext, std::vector<cuda::CUevent>> free_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_CUDA_WATCHER_H_
