// VirtualQueue: a queue in timing mode. An operation starts when the one before it and its waits
// are done and its engine is free, takes the profile's time on the virtual clock, and signals;
// nothing is computed and no byte moves.
//
// All progress happens in whoever drives the clock; submitting never runs anything. Callbacks of
// timelines run in the driving thread, at the virtual time of the signal, and may submit. A queue's
// next operation is started before its signal is told, as a card would start what is queued
// already.
//
// The destructor drives the clock until the queue is empty; what can never end then (a hung device,
// a wait that nobody signals) fails with Cancelled. Threads: as devices/queue.h says.
#ifndef HET_DEVICES_SIMULATED_VIRTUAL_QUEUE_H_
#define HET_DEVICES_SIMULATED_VIRTUAL_QUEUE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/synchronization/mutex.h"
#include "devices/queue.h"
#include "devices/simulated/faults.h"
#include "devices/simulated/simulated_device.h"
#include "devices/simulated/virtual_clock.h"

namespace het::simulated {

// A timeline whose Wait drives the clock until the value is reached or nothing is left to happen.
class VirtualTimeline final : public Timeline {
 public:
  VirtualTimeline(Driver& driver, uint64_t initial, std::shared_ptr<VirtualClock> clock)
      : Timeline(&driver, initial), clock_(std::move(clock)) {}

 private:
  void DoDrive(uint64_t target) override {
    clock_->RunUntil([this, target] { return value() >= target || failed(); });
  }
  const std::shared_ptr<VirtualClock> clock_;
};

// The operations of one queue. Shared with events and callbacks, which may come after the queue.
class VirtualWork final : public LossListener {
 public:
  struct Item {
    Cost cost;  // engine null: a barrier
    absl::InlinedVector<Fence, 2> waits;
    Fence signal;
    absl::InlinedVector<Ref<Buffer>, 4> buffers;
    Ref<Program> program;
  };

  // `opened`: the device's, on the clock.
  VirtualWork(std::shared_ptr<VirtualClock> clock, FaultState& faults, int64_t opened)
      : clock_(std::move(clock)), faults_(&faults), opened_(opened) {}

  // The device's failure when it is lost.
  absl::Status Add(Item item);
  // Everything that is not done fails, now and from now on.
  void Break(const absl::Status& status);
  void OnLost(const absl::Status& status) override { Break(status); }

  int64_t busy_nanos() const { return busy_nanos_.load(std::memory_order_relaxed); }
  bool empty() const { return count_.load(std::memory_order_acquire) == 0; }

 private:
  enum class State { kIdle, kWaiting, kRunning };
  using Signals = std::vector<std::pair<Fence, absl::Status>>;

  // Starts what can start. Called by the driving thread.
  void Advance();
  void Complete(uint64_t number);
  // The part of Advance under the lock: whether the first item was dealt with and the next can be
  // looked at. `wait`: the fence it waits for, if any.
  bool StartFirst(Signals& signals, Fence& wait) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropFirst(const absl::Status& status, Signals& signals)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AdvanceLater();
  static void Tell(Signals signals);

  const std::shared_ptr<VirtualClock> clock_;
  const Ref<FaultState> faults_;
  const int64_t opened_;
  std::atomic<int64_t> busy_nanos_{0};
  std::atomic<uint64_t> count_{0};  // of items_, for who drives until there is none

  absl::Mutex mutex_;
  std::deque<Item> items_ ABSL_GUARDED_BY(mutex_);
  std::vector<Item> done_ ABSL_GUARDED_BY(mutex_);      // whose references go outside the lock
  State state_ ABSL_GUARDED_BY(mutex_) = State::kIdle;  // of the first item
  uint64_t number_ ABSL_GUARDED_BY(mutex_) = 0;         // of the first item
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

class VirtualQueue final : public Queue {
 public:
  VirtualQueue(SimulatedDevice& device, QueueKind kind, std::shared_ptr<VirtualClock> clock,
               int64_t opened);
  ~VirtualQueue() override;

  int64_t busy_nanos() const override { return work_->busy_nanos(); }

 private:
  absl::Status DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                       const Sync& sync) override;
  absl::Status DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                      const Sync& sync) override;
  absl::Status DoCopy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                      uint64_t bytes, const Sync& sync) override;
  absl::Status DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                      const Sync& sync) override;
  absl::Status DoSubmit(const Launch& launch, const Sync& sync) override;
  absl::Status DoBarrier(const Sync& sync) override;
  absl::Status DoFlush() override { return absl::OkStatus(); }

  absl::Status Add(Cost cost, std::initializer_list<Buffer*> buffers, const Sync& sync);

  SimulatedDevice& device_;
  const std::shared_ptr<VirtualClock> clock_;
  const Ref<VirtualWork> work_;
};

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_VIRTUAL_QUEUE_H_
