// Quota: the memory account of one lease. Bytes are reserved before the device is asked and given
// back after the device has freed them, so what the device holds is never above the limit, not by a
// byte.
//
// Reference-counted, because buffers that queued work keeps alive outlive their lease's handle.
// Threads: all members are thread-safe and lock-free.
#ifndef HET_RUNTIME_QUOTA_H_
#define HET_RUNTIME_QUOTA_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/ref.h"
#include "partition/arbiter_seat.h"

namespace het::runtime {

class Quota : public RefCounted {
 public:
  // `device_name` is for messages.
  Quota(uint64_t limit_bytes, std::string device_name)
      : limit_(limit_bytes), device_name_(std::move(device_name)) {}
  // Counts with all processes of the lease from now on, in the arbiter's pages, where hetd changes
  // the limit. Before the first Reserve.
  void CountIn(std::shared_ptr<ArbiterSeat> seat) { seat_ = std::move(seat); }

  // ResourceExhausted past the limit: what was asked, what is used, what is left.
  absl::Status Reserve(uint64_t bytes);
  void GiveBack(uint64_t bytes);

  uint64_t limit() const { return seat_ != nullptr ? seat_->memory_limit() : limit_; }
  uint64_t used() const { return used_.load(std::memory_order_acquire); }
  uint64_t peak() const { return peak_.load(std::memory_order_acquire); }

 private:
  const uint64_t limit_;
  std::shared_ptr<ArbiterSeat> seat_;  // null: this process alone
  const std::string device_name_;
  std::atomic<uint64_t> used_{0};
  std::atomic<uint64_t> peak_{0};
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_QUOTA_H_
