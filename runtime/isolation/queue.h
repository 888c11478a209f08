// IsolatedQueue: a queue of a device in a worker process. A thread of its own takes the operations
// in order, waits for what they wait for, and sends them. Bytes cross in memory that both processes
// map. A signal is given when the worker answers that all before it is done.
//
// Threads, failures: as Queue. A worker that dies fails everything queued with DataLoss.
#ifndef HET_RUNTIME_ISOLATION_QUEUE_H_
#define HET_RUNTIME_ISOLATION_QUEUE_H_

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "devices/queue.h"
#include "runtime/isolation/device.h"

namespace het::runtime::isolation {

class IsolatedQueue final : public Queue {
 public:
  static absl::StatusOr<std::unique_ptr<Queue>> Create(IsolatedDevice& device, uint64_t device_id,
                                                       QueueKind kind);
  ~IsolatedQueue() override;

  int64_t busy_nanos() const override { return busy_nanos_.load(std::memory_order_relaxed); }

 private:
  // What is to be done on the queue's thread; `must_end`: it is done when the call returns.
  using Command = std::function<absl::Status(bool must_end)>;
  struct Op {
    std::vector<Fence> waits;
    Fence signal;
    Command command;  // null: a barrier
    std::vector<Ref<RefCounted>> keep;
  };

  IsolatedQueue(IsolatedDevice& device, QueueKind kind, char* window)
      : Queue(device, kind), device_(device), window_(window) {}

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
  absl::Status DoFlush() override { return absl::OkStatus(); }  // operations go when queued

  absl::Status Push(const Sync& sync, std::vector<Ref<RefCounted>> keep, Command command);
  // One message of this queue.
  absl::Status Order(Verb verb, std::string payload, bool must_end);
  void Work();
  absl::Status Execute(Op& op);

  IsolatedDevice& device_;
  char* const window_;
  uint64_t id_ = 0;
  std::atomic<int64_t> busy_nanos_{0};

  absl::Mutex mutex_;
  std::deque<Op> ops_ ABSL_GUARDED_BY(mutex_);
  bool ends_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status broken_;  // of the queue's thread
  std::thread thread_;   // last: it uses all of the above
};

}  // namespace het::runtime::isolation

#endif  // HET_RUNTIME_ISOLATION_QUEUE_H_
