// Gate: where the work of one lease waits for its turn on a device that the lease shares in time.
// Asking never blocks: the answer comes as a ticket at once, or later on a thread of the gate's
// own, so that no worker of an executor waits on a device. Those who ask later come later.
//
// Reference-counted: what is in flight keeps it. Threads: all members are thread-safe; callbacks
// run on the gate's thread and may ask again. Failures: FailedPrecondition when the seat was taken
// away (the lease has ended).
#ifndef HET_RUNTIME_GATE_H_
#define HET_RUNTIME_GATE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/ref.h"
#include "partition/arbiter_seat.h"

namespace het::runtime {

class Gate : public RefCounted {
 public:
  // The right to put one batch of work on the device.
  struct Pass {
    Ticket ticket;
    int64_t since_ns = 0;
  };
  using Granted = absl::AnyInvocable<void(absl::StatusOr<Pass>)>;

  explicit Gate(std::shared_ptr<ArbiterSeat> seat) : seat_(std::move(seat)) {}
  ~Gate() override;

  // Estimates are device time in nanoseconds. Try: only when it is this lease's turn now and nobody
  // asked before.
  std::optional<Pass> Try(uint64_t estimate_ns);
  void Ask(uint64_t estimate_ns, Granted granted);
  // Blocks: for work that the caller enqueues by itself (het_work_begin).
  absl::StatusOr<Pass> Wait(uint64_t estimate_ns);
  // The batch is complete. Charges `device_ns`, the device's own time of it, where the driver tells
  // (below 0: it does not), else the time since it could run: since its pass, or since the batch
  // before it was complete. Queues that overlap are never charged more than the time that passed.
  // Gives the time charged.
  uint64_t Done(const Pass& pass, int64_t device_ns = -1);

  ArbiterSeat& seat() const { return *seat_; }

 private:
  struct Request {
    uint64_t estimate_ns;
    Granted granted;
  };
  void Serve();

  const std::shared_ptr<ArbiterSeat> seat_;
  absl::Mutex mutex_;
  int64_t last_done_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  // Time that passed with work in flight and was charged to nothing yet: what queues that overlap
  // may still charge.
  int64_t uncharged_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Request> requests_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mutex_);  // made with the first request that has to wait
  bool* gone_ = nullptr;  // of the thread: told when the gate goes inside one of its callbacks
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_GATE_H_
