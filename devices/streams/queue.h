// StreamQueue: a stream of the vendor's as a het Queue.
//
// A launch without waits and without a signal is one call of the driver and no allocation. A wait
// for work that is queued on a device of the same driver becomes a wait of the stream for its
// event. Any other wait (for the host) holds the operation and all behind it back in the queue's
// backlog, until the timeline calls. A signal records an event, which Completions waits for.
//
// busy_nanos(): the device's own timestamps, from before the first work after the last signal (or
// wait) to the signal. Pauses inside such a stretch, where the host was slower, count as busy.
//
// A recording is captured on a stream of its own, which is there for that alone: what this queue's
// stream does meanwhile is not disturbed by it.
//
// Threads, failures: as Queue. It must not be destroyed on a timeline's callback.
#ifndef HET_DEVICES_STREAMS_QUEUE_H_
#define HET_DEVICES_STREAMS_QUEUE_H_

#include <cstdint>
#include <deque>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "devices/queue.h"
#include "devices/streams/completions.h"
#include "devices/streams/device.h"

namespace het::streams {

class StreamQueue final : public Queue {
 public:
  // `owned`: it takes over `stream`.
  StreamQueue(StreamDevice& device, QueueKind kind, void* stream, bool owned);
  ~StreamQueue() override;

  int64_t busy_nanos() const override;
  void* native_handle() const override;

 private:
  class Core;

  absl::Status DoWrite(const void* host, Buffer& to, uint64_t offset, uint64_t bytes,
                       const Sync& sync) override;
  absl::Status DoRead(Buffer& from, uint64_t offset, void* host, uint64_t bytes,
                      const Sync& sync) override;
  absl::Status DoCopy(Buffer& from, uint64_t from_offset, Buffer& to, uint64_t to_offset,
                      uint64_t bytes, const Sync& sync) override;
  absl::Status DoFill(Buffer& to, uint64_t offset, uint64_t bytes, uint8_t value,
                      const Sync& sync) override;
  absl::Status DoSubmit(const Launch& launch, const Sync& sync) override;
  absl::Status DoMultiply(const MatrixProduct& product, const Sync& sync) override;
  absl::StatusOr<Ref<Recording>> DoRecord(absl::Span<const Command> commands) override;
  absl::Status DoReplay(Recording& recording, const Sync& sync) override;
  absl::Status DoBarrier(const Sync& sync) override;
  absl::Status DoFlush() override;

  Gpu& gpu_;
  const bool owned_;
  std::shared_ptr<Multiplier> multiplier_;  // made with the first product
  const Ref<Core> core_;  // outlives the queue where a timeline still holds a callback
};

}  // namespace het::streams

#endif  // HET_DEVICES_STREAMS_QUEUE_H_
