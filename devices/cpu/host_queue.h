// HostQueue: an in-order queue whose device is host threads: the cpu device, and the simulated one
// in functional mode. One thread per queue takes its ops in order, waits until what they wait for
// has happened, has an OpRunner do them, lets go of their buffers and then signals.
//
// The thread polls for some microseconds when it has nothing to do and then sleeps. It never waits
// on another device's driver: what an op waits for wakes it through Timeline::OnReach.
//
// Threads and failures: as devices/queue.h says; Break is thread-safe. The destructor waits for
// what is queued, and must not run on the queue's own thread (in a completion callback).
#ifndef HET_DEVICES_CPU_HOST_QUEUE_H_
#define HET_DEVICES_CPU_HOST_QUEUE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "devices/cpu/op.h"
#include "devices/cpu/op_list.h"
#include "devices/cpu/parker.h"
#include "devices/queue.h"

namespace het::cpu {

// Does one op (copy, fill, launch; barriers never get here). Called on the queue's thread only.
class OpRunner {
 public:
  virtual ~OpRunner() = default;
  virtual absl::Status Run(const Op& op) = 0;
  // The queue is being destroyed: a Run that would never end must fail now. From any thread.
  virtual void Abandon() {}
};

class HostQueue : public Queue {
 public:
  // The thread runs on `cores` (empty: anywhere) under `thread_name`. `note_ready`: fill in
  // Op::ready_nanos.
  HostQueue(Device& device, QueueKind kind, std::unique_ptr<OpRunner> runner,
            std::vector<uint32_t> cores, std::string thread_name, bool note_ready = false);
  ~HostQueue() override;

  int64_t busy_nanos() const override { return busy_nanos_.load(std::memory_order_relaxed); }

  // Fails everything that is not done yet, and everything after. The op that is running is the
  // runner's business. The first status stays.
  void Break(absl::Status status);

 protected:
  // Asked before anything is queued: a device that is lost refuses here.
  virtual absl::Status CheckUsable() const { return absl::OkStatus(); }

 private:
  // Shared with the callbacks of timelines, which may outlive the queue after Break.
  struct Wakeup : RefCounted {
    Parker parker;
  };

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
  absl::Status DoFlush() override { return absl::OkStatus(); }  // ops start when they are queued

  absl::Status Copy(Op::Route route, const void* from, void* to, uint64_t bytes,
                    std::initializer_list<Buffer*> buffers, const Sync& sync);
  void Push(Op& op, const Sync& sync);

  void Main();
  void Execute(Op& op);
  absl::Status AwaitAll(Op& op);
  absl::Status Broken() const;

  const std::unique_ptr<OpRunner> runner_;
  const bool note_ready_;
  OpList ops_;
  const Ref<Wakeup> wakeup_ = MakeRef<Wakeup>();
  std::atomic<bool> closing_{false};
  std::atomic<int64_t> busy_nanos_{0};

  // The queue's failure. Set by its thread or by Break.
  std::atomic<bool> broken_{false};
  mutable absl::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_HOST_QUEUE_H_
