// LeaseHandle: a lease in use in this process: its device, opened on first need, and its accounts.
// BufferHandle, QueueHandle, TimelineHandle, ProgramHandle, RecordingHandle: what is made on it.
//
// Reference-counted; each of them keeps its lease alive, and the lease the session. The last
// reference closes the device and gives the lease back; it must not be dropped inside a callback of
// that device. Threads: thread-safe, but one queue is used by one thread at a time.
#ifndef HET_RUNTIME_LEASE_H_
#define HET_RUNTIME_LEASE_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "devices/device.h"
#include "devices/recording.h"
#include "partition/slice.h"
#include "runtime/gate.h"
#include "runtime/handle.h"
#include "runtime/quota.h"
#include "runtime/work_account.h"

namespace het::runtime {

class Session;
class BufferHandle;
class QueueHandle;

class LeaseHandle final : public Handle {
 public:
  static constexpr HandleKind kKind = HandleKind::kLease;
  static constexpr const char* kTypeName = "het_lease";

  LeaseHandle(Ref<Session> session, Lease grant, const DeviceInfo& info);
  ~LeaseHandle() override;
  // Takes this process's seat at the arbiter: from then on memory is counted with the lease's other
  // processes, and launches wait their turn where the slice is time-shared. Before anything else.
  absl::Status TakeSeat();
  // The grant is not this object's to give back after all.
  void Disown() { owned_ = false; }

  Session& session() const { return *session_; }
  const Lease& grant() const { return grant_; }
  const DeviceInfo& info() const { return info_; }  // lives as long as the session
  const Quota& quota() const { return *quota_; }
  WorkAccount& work() const { return *work_; }

  // Opens the device on the first call; the same one ever after.
  absl::StatusOr<Device*> device();
  // Reserve, ask the device, and arrange that freeing gives back.
  absl::StatusOr<Ref<BufferHandle>> Allocate(uint64_t bytes, MemoryKind kind);
  absl::StatusOr<Ref<BufferHandle>> WrapHost(void* address, uint64_t bytes, bool writable);
  absl::StatusOr<Ref<QueueHandle>> CreateQueue(QueueKind kind);

 private:
  template <typename Make>
  absl::StatusOr<Ref<BufferHandle>> Charge(uint64_t bytes, Make make);

  const Ref<Session> session_;  // first: the device's driver is the session's
  const Lease grant_;
  const DeviceInfo& info_;
  const Ref<Quota> quota_;
  const Ref<WorkAccount> work_;
  bool owned_ = true;
  std::shared_ptr<ArbiterSeat> seat_;  // null: the daemon has none to give

  absl::Mutex mutex_;
  std::unique_ptr<Device> device_ ABSL_GUARDED_BY(mutex_);
  // Null: nobody else has a part of this device's time, or the clock is a virtual one.
  Ref<Gate> gate_ ABSL_GUARDED_BY(mutex_);
};

class BufferHandle final : public Handle {
 public:
  static constexpr HandleKind kKind = HandleKind::kBuffer;
  static constexpr const char* kTypeName = "het_buffer";
  BufferHandle(Ref<LeaseHandle> lease, Ref<Buffer> buffer)
      : Handle(kKind), lease_(std::move(lease)), buffer_(std::move(buffer)) {}
  Buffer& operator*() const { return *buffer_; }
  Buffer* operator->() const { return buffer_.get(); }

 private:
  const Ref<LeaseHandle> lease_;
  const Ref<Buffer> buffer_;
};

class QueueHandle final : public Handle {
 public:
  static constexpr HandleKind kKind = HandleKind::kQueue;
  static constexpr const char* kTypeName = "het_queue";
  QueueHandle(Ref<LeaseHandle> lease, std::unique_ptr<Queue> queue)
      : Handle(kKind), lease_(std::move(lease)), queue_(std::move(queue)) {}
  LeaseHandle& lease() const { return *lease_; }
  Queue& operator*() const { return *queue_; }
  Queue* operator->() const { return queue_.get(); }

 private:
  const Ref<LeaseHandle> lease_;
  const std::unique_ptr<Queue> queue_;
};

class RecordingHandle final : public Handle {
 public:
  static constexpr HandleKind kKind = HandleKind::kRecording;
  static constexpr const char* kTypeName = "het_recording";
  RecordingHandle(Ref<LeaseHandle> lease, Ref<Recording> recording)
      : Handle(kKind), lease_(std::move(lease)), recording_(std::move(recording)) {}
  Recording& operator*() const { return *recording_; }

 private:
  const Ref<LeaseHandle> lease_;
  const Ref<Recording> recording_;
};

class TimelineHandle final : public Handle {
 public:
  static constexpr HandleKind kKind = HandleKind::kTimeline;
  static constexpr const char* kTypeName = "het_timeline";
  TimelineHandle(Ref<LeaseHandle> lease, Ref<Timeline> timeline)
      : Handle(kKind), lease_(std::move(lease)), timeline_(std::move(timeline)) {}
  const Ref<Timeline>& ref() const { return timeline_; }
  Timeline* operator->() const { return timeline_.get(); }

 private:
  const Ref<LeaseHandle> lease_;
  const Ref<Timeline> timeline_;
};

class ProgramHandle final : public Handle {
 public:
  static constexpr HandleKind kKind = HandleKind::kProgram;
  static constexpr const char* kTypeName = "het_program";
  ProgramHandle(Ref<LeaseHandle> lease, Ref<Program> program)
      : Handle(kKind), lease_(std::move(lease)), program_(std::move(program)) {}
  Program* operator->() const { return program_.get(); }

 private:
  const Ref<LeaseHandle> lease_;
  const Ref<Program> program_;
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_LEASE_H_
