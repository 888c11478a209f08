// TimedQueue: a queue in functional mode: a host queue whose operations really run and then are
// held back until the profile's time is over, counted from when the operation could have started
// (the lateness of the host's timers does not add up over a row of operations).
//
// Losing the device ends a hold at once; a hang lasts until the device is lost or the queue is
// destroyed. Threads and failures: as devices/queue.h says.
#ifndef HET_DEVICES_SIMULATED_TIMED_QUEUE_H_
#define HET_DEVICES_SIMULATED_TIMED_QUEUE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/cpu/host_queue.h"
#include "devices/simulated/simulated_device.h"

namespace het::simulated {

// Runs operations on the queue's thread, on the device's time.
class TimedRunner final : public cpu::OpRunner {
 public:
  // `opened`: the device's, CLOCK_MONOTONIC.
  TimedRunner(SimulatedDevice& device, int64_t opened) : device_(device), opened_(opened) {}

  absl::Status Run(const cpu::Op& op) override;
  void Abandon() override;
  // The device is lost: ends a hold or a hang. Any thread.
  void Lose();

 private:
  Cost CostOf(const cpu::Op& op);
  void Do(const cpu::Op& op);
  // Until `nanos` or a loss.
  void HoldUntil(int64_t nanos);
  absl::Status Hang();

  SimulatedDevice& device_;
  const int64_t opened_;
  int64_t last_end_ = 0;  // of the operation before, on the device's time

  absl::Mutex mutex_;
  bool lost_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
};

class TimedQueue final : public cpu::HostQueue {
 public:
  static std::unique_ptr<Queue> Make(SimulatedDevice& device, QueueKind kind,
                                     std::vector<uint32_t> cores, int64_t opened);
  ~TimedQueue() override;

 private:
  // Passes a loss on to the queue as long as there is one.
  class Link final : public LossListener {
   public:
    void Attach(TimedQueue* queue) {
      absl::MutexLock lock(&mutex_);
      queue_ = queue;
    }
    void OnLost(const absl::Status& status) override;

   private:
    absl::Mutex mutex_;
    TimedQueue* queue_ ABSL_GUARDED_BY(mutex_) = nullptr;
  };

  // `borrowed` is `runner`.
  TimedQueue(SimulatedDevice& device, QueueKind kind, std::unique_ptr<TimedRunner> runner,
             TimedRunner& borrowed, std::vector<uint32_t> cores);
  absl::Status CheckUsable() const override { return device_.faults().lost(); }

  SimulatedDevice& device_;
  TimedRunner& runner_;  // the base owns it
  const Ref<Link> link_ = MakeRef<Link>();
};

}  // namespace het::simulated

#endif  // HET_DEVICES_SIMULATED_TIMED_QUEUE_H_
