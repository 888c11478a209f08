// HostBuffer and its memory: host memory as device memory, with an account of what is held.
//
// Ownership: a buffer owns its memory unless it wraps the caller's, and gives it back to the system
// at once when it is large. Threads: MemoryAccount is thread-safe, a buffer immutable. Errors:
// ResourceExhausted past the account's limit or when the system has no memory.
#ifndef HET_DEVICES_CPU_HOST_MEMORY_H_
#define HET_DEVICES_CPU_HOST_MEMORY_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "devices/buffer.h"

namespace het::cpu {

// Bytes taken out of a limit. It outlives the buffers that count in it.
class MemoryAccount {
 public:
  explicit MemoryAccount(uint64_t limit) : limit_(limit) {}
  // ResourceExhausted names what was asked, what is free, and `device`.
  absl::Status Take(uint64_t bytes, const std::string& device);
  void Give(uint64_t bytes) { taken_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t taken() const { return taken_.load(std::memory_order_relaxed); }

 private:
  const uint64_t limit_;
  // relaxed: a counter; the memory itself is handed over by whoever hands over the buffer.
  std::atomic<uint64_t> taken_{0};
};

class HostBuffer final : public Buffer {
 public:
  // New memory, 64-byte aligned, content undefined. `visible`: host() tells its address.
  static absl::StatusOr<Ref<Buffer>> Allocate(Device& device, MemoryAccount& account,
                                              uint64_t bytes, bool visible);
  // The caller's memory; not counted in any account.
  static Ref<Buffer> Wrap(Device& device, void* address, uint64_t bytes, bool writable);
  ~HostBuffer() override;

  std::byte* data() const { return data_; }
  bool writable() const { return writable_; }

 private:
  HostBuffer(Device& device, uint64_t bytes, void* data, bool visible, bool writable,
             MemoryAccount* account)
      : Buffer(device, bytes, visible ? data : nullptr),
        data_(static_cast<std::byte*>(data)),
        writable_(writable),
        account_(account) {}

  std::byte* const data_;
  const bool writable_;
  MemoryAccount* const account_;  // null: the memory is the caller's
};

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_HOST_MEMORY_H_
