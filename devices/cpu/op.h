// Op: one queued operation of a host queue, with everything it needs to run later: references to
// its buffers and its program, a copy of its parameters, what it waits for and what it signals.
//
// Slots are reused: Reset() lets go of every reference and keeps the memory, so that a steady
// stream of launches allocates nothing. Threads: none of its own; see OpList.
#ifndef HET_DEVICES_CPU_OP_H_
#define HET_DEVICES_CPU_OP_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "base/ref.h"
#include "devices/buffer.h"
#include "devices/program.h"
#include "devices/queue.h"
#include "devices/timeline.h"
#include "het/kernel.h"

namespace het::cpu {

// A copy of a parameter struct, 16-byte aligned; on the heap only when it is large.
class Params {
 public:
  void Assign(absl::Span<const std::byte> bytes) {
    size_ = bytes.size();
    if (size_ > sizeof(inline_) && size_ > capacity_) {
      heap_ = std::make_unique<std::byte[]>(size_);
      capacity_ = size_;
    }
    if (size_ > 0) std::memcpy(const_cast<void*>(data()), bytes.data(), size_);
  }
  const void* data() const { return size_ > sizeof(inline_) ? heap_.get() : inline_; }
  size_t size() const { return size_; }

 private:
  alignas(16) std::byte inline_[256];
  std::unique_ptr<std::byte[]> heap_;  // operator new aligns to 16
  size_t capacity_ = 0;
  size_t size_ = 0;
};

struct Op {
  enum class Kind : uint8_t { kBarrier, kCopy, kFill, kLaunch };
  // Which way a copy goes: simulated devices have a link to the host.
  enum class Route : uint8_t { kToDevice, kFromDevice, kWithin };

  Kind kind = Kind::kBarrier;
  Route route = Route::kWithin;
  uint8_t value = 0;  // of a fill

  absl::InlinedVector<Fence, 2> waits;
  Fence signal;
  absl::InlinedVector<Ref<Buffer>, 8> buffers;  // kept alive
  Ref<Program> program;                         // kept alive
  // When it could start as far as its queue knows: when it was queued or, later, its waits were
  // over. CLOCK_MONOTONIC; only where the queue was told to note it.
  int64_t ready_nanos = 0;

  // Copy and fill.
  const void* from = nullptr;
  void* to = nullptr;
  uint64_t bytes = 0;

  // Launch.
  const Kernel* kernel = nullptr;
  het_native_fn function = nullptr;
  absl::InlinedVector<void*, 8> addresses;
  uint32_t groups[3] = {1, 1, 1};
  uint32_t group_size[3] = {1, 1, 1};
  Params params;
  WorkEstimate work;

  void Reset() {
    kind = Kind::kBarrier;
    waits.clear();
    signal = Fence();
    buffers.clear();
    program = nullptr;
    addresses.clear();
  }
  uint64_t GroupCount() const { return uint64_t{groups[0]} * groups[1] * groups[2]; }
};

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_OP_H_
