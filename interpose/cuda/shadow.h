// Shadow: the one instance of the CUDA shadow in a process: what the environment asked for, the
// seat, and what the hooks need. Made when the library is loaded and the program is to run in a
// slice; it takes the seat in cuInit, before which the driver does nothing. Never destroyed: the
// driver has threads of its own until the process is gone.
//
// The program sees the slice's device alone: CUDA_VISIBLE_DEVICES is set to it before the driver
// reads it, whatever the program made of it.
//
// Failing closed: when the settings are wrong, the seat was refused or the device is not there,
// cuInit gives CUDA_ERROR_NO_DEVICE, and the reason is on stderr once. A child made by fork without
// exec after cuInit has no seat, as it has no CUDA.
#ifndef HET_INTERPOSE_CUDA_SHADOW_H_
#define HET_INTERPOSE_CUDA_SHADOW_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/base/call_once.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "interpose/cuda/hooked.h"
#include "interpose/cuda/memory_book.h"
#include "interpose/cuda/streams.h"
#include "interpose/cuda/watcher.h"
#include "interpose/seat.h"
#include "interpose/settings.h"
#include "interpose/turns.h"

namespace het::interpose {

class Shadow {
 public:
  // Of this process; null where it runs in no slice.
  static Shadow* Get() { return instance_; }
  // When the library is loaded, before any hook.
  static void Load();

  // cuInit.
  cuda::CUresult Initialise(unsigned int flags);

  // CUDA_SUCCESS, or what every held call gives because there is no seat (yet).
  cuda::CUresult Closed() const {
    return state_.load(std::memory_order_acquire) == State::kOpen ? cuda::CUDA_SUCCESS
                                                                  : WhyClosed();
  }

  // Only when not Closed.
  Seat& seat() { return *seat_; }
  MemoryBook& book() { return *book_; }
  CudaWatcher& watcher() { return watcher_; }
  Turns& turns() { return *turns_; }
  // The stream's object, announced to Turns when it is new.
  StreamState& StreamOf(cuda::CUstream handle, bool per_thread);
  Streams& streams() { return streams_; }
  // Host memory is the device's memory, and booked as such.
  bool is_integrated() const { return is_integrated_; }

  // Before and after `context` is destroyed.
  void LeaveContext(cuda::CUcontext context);
  // Which event was recorded last in which stream; null: none (it is being destroyed).
  void Recorded(cuda::CUevent event, StreamState* stream);

  // Primary contexts of devices, with how often the program retained them.
  void Retained(cuda::CUdevice device, cuda::CUcontext context);
  // The context, when this release is the last one; else null.
  cuda::CUcontext LastRelease(cuda::CUdevice device);
  cuda::CUcontext PrimaryOf(cuda::CUdevice device);

  // Once: why the program's launches fail from now on.
  void SaySeatLost(const absl::Status& why);

 private:
  // release/acquire on state_: who sees kOpen sees the seat and all made with it.
  enum class State { kNew, kOpen, kRefused, kForked };
  struct Primary {
    cuda::CUcontext context = nullptr;
    int uses = 0;
  };

  explicit Shadow(absl::StatusOr<Settings> settings) : settings_(std::move(settings)) {}
  cuda::CUresult WhyClosed() const;
  void TakeSeat();
  // Whether the driver shows the slice's device and nothing else.
  absl::Status CheckDevice() const;
  void Refuse(const absl::Status& why);
  void AtExit();

  static Shadow* instance_;

  const absl::StatusOr<Settings> settings_;
  std::string visible_;  // for CUDA_VISIBLE_DEVICES
  std::atomic<State> state_{State::kNew};
  PlainMutex init_mutex_;
  absl::once_flag said_;
  std::unique_ptr<Seat> seat_;
  std::unique_ptr<MemoryBook> book_;
  CudaWatcher watcher_;
  std::unique_ptr<Turns> turns_;
  Streams streams_;
  bool is_integrated_ = false;

  PlainMutex mutex_;
  absl::flat_hash_map<cuda::CUevent, StreamState*> recorded_in_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<cuda::CUdevice, Primary> primary_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_CUDA_SHADOW_H_
