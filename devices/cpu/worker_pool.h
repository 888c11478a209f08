// WorkerPool: the cores of one slice, working together on one launch at a time.
//
// The launching queue's thread is one worker and the pool's threads are the others. The flattened
// range of groups is cut into a few contiguous pieces per worker that workers take in order as they
// come free, so that a core the system has taken away holds nobody up; a sleeping worker that comes
// too late finds the launch closed and is not waited for. Launches of several queues take turns,
// since each uses every core: so no two calls that run at the same time have the same worker
// number.
//
// Threads: Run is called by queue threads. Worker threads are started on the first launch that can
// use them; they poll for some microseconds after a launch and then sleep. Functions must not
// throw.
#ifndef HET_DEVICES_CPU_WORKER_POOL_H_
#define HET_DEVICES_CPU_WORKER_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/cpu/parker.h"
#include "het/kernel.h"

namespace het::cpu {

class WorkerPool {
 public:
  // As many workers as `cores` (not empty), bound to the set of them.
  explicit WorkerPool(std::vector<uint32_t> cores);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool();

  uint32_t workers() const { return static_cast<uint32_t>(cores_.size()); }
  const std::vector<uint32_t>& cores() const { return cores_; }

  // Runs groups [0, groups) of `call` (its range and worker fields are set here) and returns when
  // they are done. `home` is the caller's worker number.
  void Run(uint32_t home, het_native_fn function, const het_native_call& call, uint64_t groups);

 private:
  static constexpr uint32_t kPiecesPerWorker = 4;
  // state_: the launch's number, whether workers may still join it, how many are in it.
  static constexpr uint32_t kActiveMask = 0x7fff;
  static constexpr uint32_t kOpen = 0x8000;
  static constexpr uint32_t kNumberShift = 16;

  void Start(uint32_t home) ABSL_EXCLUSIVE_LOCKS_REQUIRED(launch_mutex_);
  void WorkerMain(uint32_t worker);
  // Takes pieces until there are none left.
  void TakePieces(uint32_t worker);

  const std::vector<uint32_t> cores_;

  // One launch at a time.
  absl::Mutex launch_mutex_;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(launch_mutex_);  // by worker, maybe not started
  uint32_t number_ ABSL_GUARDED_BY(launch_mutex_) = 0;

  // The launch. Written while state_ is closed and empty; read by those who joined through state_.
  het_native_fn function_ = nullptr;
  het_native_call call_ = {};
  uint32_t home_ = 0;
  uint64_t groups_ = 0;
  uint64_t pieces_ = 0;

  alignas(64) std::atomic<uint32_t> state_{0};
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<bool> closing_{false};
  alignas(64) std::atomic<uint64_t> next_piece_{0};
  Parker launcher_;
};

// Binds the calling thread to `cores` and names it (15 characters are kept). Where the system
// refuses (a core went away), the thread stays unbound: slower, not wrong.
void BindThisThread(const std::vector<uint32_t>& cores, const char* name);

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_WORKER_POOL_H_
