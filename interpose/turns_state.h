// What Turns keeps per turn and per queue. Internal to turns*.cc; all of it under the Turns' lock.
#ifndef HET_INTERPOSE_TURNS_STATE_H_
#define HET_INTERPOSE_TURNS_STATE_H_

#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "interpose/turns.h"

namespace het::interpose {

struct Turns::QueueState {
  Queue handle = nullptr;
  bool in_order = false;
  uint64_t sequence = 0;  // launches that entered so far
  // The event of the last launch or marker, where the program asked for it and nobody else was
  // on the way: complete means that the queue is drained. Null: not known.
  Event last_event = nullptr;
  uint64_t last_event_sequence = 0;
  // User events that later launches wait for: all of them in order, those of barriers else.
  Roots all_roots;
  Roots barrier_roots;

  bool Drains(Event event) const {
    return in_order && event != nullptr && event == last_event && last_event_sequence == sequence;
  }
};

// Launches of one kind in a turn.
struct WorkCount {
  uint64_t key = 0;
  uint64_t estimate_ns = 0;  // of one
  uint32_t launches = 0;
};

struct Turns::Turn {
  uint64_t serial = 0;
  bool has_ticket = false;
  Ticket ticket;
  int64_t begin_ns = 0;
  uint64_t estimate_ns = 0;
  uint32_t launches = 0;
  uint32_t entering = 0;  // passes between Enter (Join) and Leave
  uint32_t watching = 0;  // times the driver will call Completed
  bool closed = false;
  int64_t idle_since_ns = 0;                   // closed by the ticker then; 0: not
  absl::InlinedVector<QueueState*, 2> queues;  // not known to be drained, not watched
  absl::InlinedVector<WorkCount, 4> work;

  bool Complete() const { return entering == 0 && watching == 0 && queues.empty(); }
  bool Lists(const QueueState* queue) const {
    for (const QueueState* one : queues) {
      if (one == queue) return true;
    }
    return false;
  }
  void List(QueueState* queue) {
    if (!Lists(queue)) queues.push_back(queue);
  }
  bool Unlist(const QueueState* queue) {
    for (QueueState*& one : queues) {
      if (one != queue) continue;
      one = queues.back();
      queues.pop_back();
      return true;
    }
    return false;
  }
  void Count(uint64_t key, uint64_t each_ns) {
    ++launches;
    estimate_ns += each_ns;
    if (work.empty() || work.back().key != key) work.push_back({key, each_ns, 0});
    ++work.back().launches;
  }
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_TURNS_STATE_H_
