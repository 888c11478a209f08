// Turns: puts a program's launches into turns of its slice. A turn is one ticket of the arbiter
// and covers many launches on any of the program's queues: it is opened by the first, takes more
// until their estimates make it full, and is ended when all of them are complete, with the time
// they kept the device busy. The ticket is for the slice, not for a queue, so queues that wait for
// each other cannot dead-lock on it.
//
// Who finds out that a turn is complete: the program itself when it waits (clFinish, blocking
// reads, clWaitForEvents on a queue's last event), which costs nothing; else the driver, asked to
// tell when a queue is drained: once per turn, when it is full or a ticker finds it idle.
//
// Work that waits for an event of the program's own (a user event) may wait for ever, so it holds
// no ticket: it is parked, and its turn is taken when the last such event is set. Launches from
// inside a driver's callback never wait, because the driver's thread may be the one that must
// complete the work before; what they use is charged to the next turn.
//
// Threads: every method from any thread; Watcher is called without the lock. Ownership: borrows
// seat and watcher; never destroyed while a watched queue may still call back. Errors: Enter fails
// when the seat was taken away.
#ifndef HET_INTERPOSE_TURNS_H_
#define HET_INTERPOSE_TURNS_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "interpose/plain_mutex.h"
#include "interpose/seat.h"
#include "partition/cost_estimate.h"

namespace het::interpose {

struct TurnLimits {
  uint64_t turn_ns = 500'000;          // estimates that fill a turn
  uint64_t alone_turn_ns = 1'000'000;  // the same while nobody else wants the device
  uint32_t launches = 1024;            // or so many of them
  int64_t tick_ns = 1'000'000;         // how often idle turns are looked for; 0: never
};

class Turns {
 public:
  // Handles of the driver, never followed here.
  using Queue = const void*;
  using Event = const void*;
  struct Turn;

  // What turns ask of the driver. Both call Completed(turn) once, from any thread, later or at
  // once; false: it cannot, and the work counts as complete.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    // When all that was enqueued on `queue` so far is complete.
    virtual bool WatchQueue(Queue queue, Turn* turn) = 0;
    // When `event` is complete.
    virtual bool WatchEvent(Event event, Turn* turn) = 0;
    // `event` is not needed any more (see Pass::keep_event).
    virtual void DropEvent(Event event) = 0;
  };

  // A launch on its way, or a wait of the program's: between Enter (Join) and Leave.
  struct Pass {
    Turn* turn = nullptr;   // null: not counted
    uint64_t sequence = 0;  // of the queue
    uint64_t parked = 0;    // number of the parked launch; 0: not parked
    // The launch's event is needed: ask the driver for it and keep a reference for Turns.
    bool keep_event() const { return parked != 0; }
  };

  Turns(Seat& seat, Watcher& watcher, const TurnLimits& limits = {},
        const Clock& clock = Clock::Real());
  ~Turns();

  // Out-of-order queues are taken for every queue that was not announced.
  void AddQueue(Queue queue, bool in_order);
  // The queue's handle is about to mean nothing.
  void ForgetQueue(Queue queue);

  // Before a launch of the work `key` on `queue`; may wait for the slice's turn.
  absl::StatusOr<Pass> Enter(Queue queue, uint64_t key, absl::Span<const Event> waits);
  // After it. `ok`: it was accepted. `event`: what the driver returned for it, or null. `waited`:
  // the call came back when the launch was complete (a blocking read).
  void Leave(const Pass& pass, Queue queue, bool ok, Event event, bool waited);

  // Around a wait for everything on `queue` (clFinish).
  Pass Join(Queue queue);
  void LeaveDrained(const Pass& pass, Queue queue, bool ok);
  // Around a wait for events.
  using Joined = absl::InlinedVector<std::pair<Queue, Pass>, 2>;
  Joined JoinEvents(absl::Span<const Event> events);
  // The program saw that `event` is complete.
  void SawComplete(Event event);

  // Commands that launch nothing but pass a wait on to later ones (markers, barriers).
  // `event` as in Leave.
  void Passed(Queue queue, absl::Span<const Event> waits, bool barrier, Event event);

  void AddUserEvent(Event event);
  // The user event is to be set by `set`: at once where nothing hangs on it alone or the turn for
  // what does is there, else in a thread of the layer's when it is, so that the caller never waits.
  // `allowed` is false when the seat was taken away: then the event should carry an error.
  void SetUserEvent(Event event, absl::AnyInvocable<void(bool allowed)> set);

  // Work of `turn` that was watched is complete.
  void Completed(Turn* turn);

  // In a callback of the driver's, launches do not wait.
  class InCallback {
   public:
    InCallback() { ++depth_; }
    ~InCallback() { --depth_; }
    static bool now() { return depth_ > 0; }

   private:
    static inline thread_local int depth_ = 0;
  };

  // Before the process ends: no thread of the layer's calls the driver any more.
  void Stop();

  struct Statistics {
    uint64_t turns = 0;
    uint64_t launches = 0;
    uint64_t watched = 0;  // times the driver was asked to tell
    uint64_t waited = 0;   // turns that were not there at once
    uint64_t parked = 0;
    uint64_t busy_ns = 0;
  };
  Statistics statistics() const;

 private:
  using Roots = absl::InlinedVector<Event, 2>;
  struct QueueState;
  struct Parked {
    QueueState* queue = nullptr;
    uint64_t key = 0;
    Roots roots;            // user events it waits for
    Event event = nullptr;  // its own, once the driver has made it
    Turn* turn = nullptr;   // once all roots are set
  };
  struct Watch {
    Turn* turn;
    absl::InlinedVector<Queue, 4> queues;
  };
  struct Deferred {
    Turn* turn;
    uint64_t estimate_ns;
    absl::AnyInvocable<void(bool)> set;
    std::vector<Event> events;
  };

  QueueState& StateOf(Queue queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Turn* NewTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes open_ a turn that takes `estimate_ns` more. Releases the lock while it waits.
  absl::Status MakeRoom(uint64_t estimate_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Open(uint64_t estimate_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // No launch joins any more.
  void Close(Turn* turn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The queues that the driver must watch for `turn`: all when it is closed and nobody is on the
  // way, else none.
  Watch TakeQueues(Turn* turn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One queue alone, out of whichever turns list it.
  std::vector<Watch> TakeQueue(QueueState* queue) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Ask(const Watch& watch) ABSL_LOCKS_EXCLUDED(mutex_);
  void AskEvents(Turn* turn, const std::vector<Event>& events) ABSL_LOCKS_EXCLUDED(mutex_);
  // What is left to do, without the lock, when `turn` may be complete.
  struct Settlement {
    bool has_ticket = false;
    Ticket ticket;
    uint64_t busy_ns = 0;
  };
  Settlement SettleIfComplete(Turn* turn) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const Settlement& settlement) ABSL_LOCKS_EXCLUDED(mutex_);

  Roots RootsOf(const QueueState& queue, absl::Span<const Event> waits) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Pass Park(QueueState& queue, uint64_t key, Roots roots) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveParked(const Pass& pass, bool ok, Event event);
  void ForgetRoot(Event event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartThread(std::thread* thread, void (Turns::*run)()) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Tick();
  void Release();

  Seat& seat_;
  Watcher& watcher_;
  const TurnLimits limits_;
  const Clock& clock_;
  CostEstimate costs_;

  mutable PlainMutex mutex_;
  Turn* open_ ABSL_GUARDED_BY(mutex_) = nullptr;
  uint64_t room_ns_ ABSL_GUARDED_BY(mutex_) = 0;  // of open_
  bool opening_ ABSL_GUARDED_BY(mutex_) = false;  // a thread waits for the next turn
  std::condition_variable opened_;
  int64_t last_end_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t debt_ns_ ABSL_GUARDED_BY(mutex_) = 0;   // used without a ticket
  uint64_t usual_ns_ ABSL_GUARDED_BY(mutex_) = 0;  // moving average of a turn's estimates
  Queue last_queue_ ABSL_GUARDED_BY(mutex_) = nullptr;
  QueueState* last_state_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // Kept for ever: a handle that is used again is overwritten.
  absl::flat_hash_map<Queue, std::unique_ptr<QueueState>> queues_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Turn>> all_turns_ ABSL_GUARDED_BY(mutex_);
  std::vector<Turn*> free_turns_ ABSL_GUARDED_BY(mutex_);
  Statistics statistics_ ABSL_GUARDED_BY(mutex_);

  // User events not yet set, and what hangs on them.
  absl::flat_hash_set<Event> user_events_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<Event, Roots> roots_of_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, Parked> parked_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_parked_ ABSL_GUARDED_BY(mutex_) = 0;

  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool ticking_ ABSL_GUARDED_BY(mutex_) = false;
  std::condition_variable tick_;
  std::deque<Deferred> deferred_ ABSL_GUARDED_BY(mutex_);
  std::condition_variable deferred_added_;
  std::thread ticker_ ABSL_GUARDED_BY(mutex_);
  std::thread releaser_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::interpose

#endif  // HET_INTERPOSE_TURNS_H_
