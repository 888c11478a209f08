// OpList: an unbounded first-in-first-out list of ops between one submitter and one consumer,
// without locks. Ops are filled and consumed in place, in segments that are reused: no allocation
// per op. It must not be bounded: a completion callback that runs on the consumer may submit.
//
// Threads: one producer (Back, Push) and one consumer (Front, Pop, popped) at a time; empty() by
// either. Ownership: it owns the ops.
#ifndef HET_DEVICES_CPU_OP_LIST_H_
#define HET_DEVICES_CPU_OP_LIST_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "devices/cpu/op.h"

namespace het::cpu {

class OpList {
 public:
  OpList() : head_(new Segment), tail_(head_) {}
  OpList(const OpList&) = delete;
  OpList& operator=(const OpList&) = delete;
  ~OpList() {
    while (head_ != nullptr) {
      Segment* next = head_->next;
      delete head_;
      head_ = next;
    }
    delete spare_.load(std::memory_order_relaxed);
  }

  // Producer: the next op, empty, to fill; then Push() hands it over.
  Op& Back() {
    const uint64_t at = pushed_.load(std::memory_order_relaxed) % kSegmentOps;
    if (at == 0 && !fresh_) {
      // acquire: the consumer's last use of the segment comes before ours.
      Segment* segment = spare_.exchange(nullptr, std::memory_order_acquire);
      if (segment == nullptr) segment = new Segment;
      segment->next = nullptr;
      tail_->next = segment;
      tail_ = segment;
      fresh_ = true;
    }
    return tail_->ops[at];
  }
  void Push() {
    fresh_ = false;
    // release: the consumer that sees the count sees the op and the link to its segment.
    pushed_.store(pushed_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  // Consumer: the oldest op, or null.
  Op* Front() {
    if (empty()) return nullptr;
    if (taken_ == kSegmentOps) {
      Segment* done = head_;
      head_ = head_->next;
      taken_ = 0;
      // release: pairs with Back(). A spare that was there already is one too many.
      delete spare_.exchange(done, std::memory_order_acq_rel);
    }
    return &head_->ops[taken_];
  }
  void Pop() {
    Front()->Reset();
    ++taken_;
    popped_.store(popped_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }

  bool empty() const {
    return pushed_.load(std::memory_order_acquire) == popped_.load(std::memory_order_relaxed);
  }

 private:
  static constexpr uint64_t kSegmentOps = 32;
  struct Segment {
    std::array<Op, kSegmentOps> ops;
    Segment* next = nullptr;
  };

  // Consumer's.
  alignas(64) Segment* head_;
  uint64_t taken_ = 0;  // ops of head_ that were consumed
  std::atomic<uint64_t> popped_{0};
  // Producer's.
  alignas(64) Segment* tail_;
  bool fresh_ = true;  // tail_ was just made and its first op is not pushed yet
  std::atomic<uint64_t> pushed_{0};
  // Both: a used-up segment on its way back to the producer.
  alignas(64) std::atomic<Segment*> spare_{nullptr};
};

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_OP_LIST_H_
