#include "interpose/turns.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>

#include "interpose/turns_state.h"

namespace het::interpose {
namespace {

// Of a turn that the ticker found idle: when the driver's answer comes this soon, the device had
// nothing to do for longer, and the turn is charged its estimate at most.
constexpr int64_t kIdleAnswerNs = 200'000;
// Ticks without an open turn after which the ticker sleeps until it is woken.
constexpr int kQuietTicks = 16;
constexpr uint64_t kLeastEstimateNs = 200;

}  // namespace

Turns::Turns(Seat& seat, Watcher& watcher, const TurnLimits& limits, const Clock& clock)
    : seat_(seat), watcher_(watcher), limits_(limits), clock_(clock) {}

Turns::~Turns() { Stop(); }

void Turns::Stop() {
  std::thread ticker, releaser;
  {
    PlainLock lock(&mutex_);
    stop_ = true;
    tick_.notify_all();
    deferred_added_.notify_all();
    ticker.swap(ticker_);
    releaser.swap(releaser_);
  }
  if (ticker.joinable()) ticker.join();
  // It may wait for a turn that does not come; it touches nothing of the driver's any more.
  if (releaser.joinable()) releaser.detach();
}

// The program's signals are for its own threads.
void Turns::StartThread(std::thread* thread, void (Turns::*run)()) {
  if (thread->joinable() || stop_) return;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  *thread = std::thread(run, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Turns::QueueState& Turns::StateOf(Queue queue) {
  if (queue == last_queue_ && last_state_ != nullptr) return *last_state_;
  std::unique_ptr<QueueState>& state = queues_[queue];
  if (state == nullptr) {
    state = std::make_unique<QueueState>();
    state->handle = queue;
  }
  last_queue_ = queue;
  last_state_ = state.get();
  return *state;
}

void Turns::AddQueue(Queue queue, bool in_order) {
  PlainLock lock(&mutex_);
  QueueState& state = StateOf(queue);
  state.in_order = in_order;
  state.last_event = nullptr;
  state.all_roots.clear();
  state.barrier_roots.clear();
}

void Turns::ForgetQueue(Queue queue) {
  std::vector<Watch> watches;
  {
    PlainLock lock(&mutex_);
    QueueState& state = StateOf(queue);
    watches = TakeQueue(&state);
    state.last_event = nullptr;
  }
  for (const Watch& watch : watches) Ask(watch);
}

Turns::Turn* Turns::NewTurn() {
  if (free_turns_.empty()) {
    all_turns_.push_back(std::make_unique<Turn>());
    free_turns_.push_back(all_turns_.back().get());
  }
  Turn* turn = free_turns_.back();
  free_turns_.pop_back();
  turn->serial = ++statistics_.turns;
  turn->has_ticket = false;
  turn->begin_ns = clock_.MonotonicNanos();
  turn->estimate_ns = 0;
  turn->launches = turn->entering = turn->watching = 0;
  turn->closed = false;
  turn->idle_since_ns = 0;
  turn->queues.clear();
  turn->work.clear();
  return turn;
}

absl::Status Turns::Open(uint64_t estimate_ns) {
  // What the turn is likely to become, so that others see what is coming; settled at its end.
  const uint64_t most = seat_.alone() ? limits_.alone_turn_ns : limits_.turn_ns;
  const uint64_t expected = std::max(estimate_ns, std::min(usual_ns_, most));
  std::optional<Ticket> ticket;
  const bool in_callback = InCallback::now();
  if (!opening_) ticket = seat_.TryBegin(expected);
  if (!ticket && !in_callback) {
    if (opening_) {
      mutex_.Wait(opened_);
      return absl::OkStatus();  // the caller looks again
    }
    opening_ = true;
    ++statistics_.waited;
    mutex_.Unlock();
    absl::StatusOr<Ticket> waited = seat_.Begin(expected);
    mutex_.Lock();
    opening_ = false;
    opened_.notify_all();
    if (!waited.ok()) return waited.status();
    ticket = *waited;
  }
  // A callback may have opened one without a ticket meanwhile.
  if (open_ == nullptr) open_ = NewTurn();
  room_ns_ = seat_.alone() ? std::max(limits_.turn_ns, limits_.alone_turn_ns) : limits_.turn_ns;
  if (ticket) {
    open_->has_ticket = true;
    open_->ticket = *ticket;
  }
  if (limits_.tick_ns > 0) {
    StartThread(&ticker_, &Turns::Tick);
    if (!ticking_) tick_.notify_one();
  }
  return absl::OkStatus();
}

absl::Status Turns::MakeRoom(uint64_t estimate_ns) {
  for (;;) {
    if (open_ == nullptr) {
      const absl::Status opened = Open(estimate_ns);
      if (!opened.ok()) return opened;
      continue;
    }
    const bool fits =
        open_->estimate_ns + estimate_ns <= room_ns_ && open_->launches < limits_.launches;
    if (fits || open_->launches == 0) return absl::OkStatus();
    Turn* full = open_;
    Close(full);
    const Watch watch = TakeQueues(full);
    mutex_.Unlock();
    Ask(watch);
    mutex_.Lock();
  }
}

absl::StatusOr<Turns::Pass> Turns::Enter(Queue queue, uint64_t key, absl::Span<const Event> waits) {
  // Work never seen may be long: it fills a turn, so that few of it are under way when that shows.
  const uint64_t estimate =
      std::max(costs_.Known(key).value_or(std::max(limits_.turn_ns, limits_.alone_turn_ns)),
               kLeastEstimateNs);
  mutex_.Lock();
  QueueState& state = StateOf(queue);
  if (!user_events_.empty()) {
    Roots roots = RootsOf(state, waits);
    if (!roots.empty()) {
      // What the queue has in a turn must be watched before this launch is in its way.
      const std::vector<Watch> watches = TakeQueue(&state);
      const Pass pass = Park(state, key, std::move(roots));
      mutex_.Unlock();
      for (const Watch& watch : watches) Ask(watch);
      return pass;
    }
  }
  const absl::Status room = MakeRoom(estimate);
  if (!room.ok()) {
    mutex_.Unlock();
    return room;
  }
  ++statistics_.launches;
  open_->Count(key, estimate);
  ++open_->entering;
  Pass pass;
  pass.turn = open_;
  pass.sequence = ++state.sequence;
  mutex_.Unlock();
  return pass;
}

void Turns::Leave(const Pass& pass, Queue queue, bool ok, Event event, bool waited) {
  if (pass.parked != 0) return LeaveParked(pass, ok, event);
  if (pass.turn == nullptr) return;
  mutex_.Lock();
  QueueState& state = StateOf(queue);
  Turn* turn = pass.turn;
  --turn->entering;
  const bool last = state.sequence == pass.sequence;
  if (ok) {
    if (waited && last && state.in_order) {
      turn->Unlist(&state);
    } else {
      turn->List(&state);
    }
    state.last_event = last && turn->entering == 0 ? event : nullptr;
    state.last_event_sequence = pass.sequence;
  }
  const Watch watch = TakeQueues(turn);
  const Settlement settlement = SettleIfComplete(turn);
  mutex_.Unlock();
  Ask(watch);
  End(settlement);
}

Turns::Pass Turns::Join(Queue queue) {
  Pass pass;
  PlainLock lock(&mutex_);
  QueueState& state = StateOf(queue);
  // A queue with parked work may be waited for as long as the program likes: not in a turn.
  if (open_ == nullptr || !open_->Lists(&state) || !user_events_.empty()) return pass;
  ++open_->entering;
  pass.turn = open_;
  pass.sequence = state.sequence;
  return pass;
}

void Turns::LeaveDrained(const Pass& pass, Queue queue, bool ok) {
  if (pass.turn == nullptr) return;
  mutex_.Lock();
  QueueState& state = StateOf(queue);
  --pass.turn->entering;
  if (ok && state.sequence == pass.sequence) pass.turn->Unlist(&state);
  const Watch watch = TakeQueues(pass.turn);
  const Settlement settlement = SettleIfComplete(pass.turn);
  mutex_.Unlock();
  Ask(watch);
  End(settlement);
}

Turns::Joined Turns::JoinEvents(absl::Span<const Event> events) {
  Joined joined;
  PlainLock lock(&mutex_);
  if (open_ == nullptr || !user_events_.empty()) return joined;
  for (QueueState* queue : open_->queues) {
    for (Event event : events) {
      if (!queue->Drains(event)) continue;
      ++open_->entering;
      Pass pass;
      pass.turn = open_;
      pass.sequence = queue->sequence;
      joined.push_back({queue->handle, pass});
      break;
    }
  }
  return joined;
}

void Turns::SawComplete(Event event) {
  mutex_.Lock();
  Settlement settlement;
  if (open_ != nullptr && open_->entering == 0) {
    for (QueueState* queue : open_->queues) {
      if (!queue->Drains(event)) continue;
      open_->Unlist(queue);
      settlement = SettleIfComplete(open_);
      break;
    }
  }
  mutex_.Unlock();
  End(settlement);
}

void Turns::Close(Turn* turn) {
  if (turn == open_) open_ = nullptr;
  turn->closed = true;
  const int64_t difference =
      static_cast<int64_t>(turn->estimate_ns) - static_cast<int64_t>(usual_ns_);
  usual_ns_ += difference / 4;
}

Turns::Watch Turns::TakeQueues(Turn* turn) {
  Watch watch = {turn, {}};
  if (!turn->closed || turn->entering > 0) return watch;
  for (const QueueState* queue : turn->queues) watch.queues.push_back(queue->handle);
  turn->watching += turn->queues.size();
  statistics_.watched += turn->queues.size();
  turn->queues.clear();
  return watch;
}

std::vector<Turns::Watch> Turns::TakeQueue(QueueState* queue) {
  std::vector<Watch> watches;
  for (const std::unique_ptr<Turn>& turn : all_turns_) {
    if (!turn->Unlist(queue)) continue;
    ++turn->watching;
    ++statistics_.watched;
    watches.push_back({turn.get(), {queue->handle}});
  }
  return watches;
}

void Turns::Ask(const Watch& watch) {
  for (Queue queue : watch.queues) {
    if (!watcher_.WatchQueue(queue, watch.turn)) Completed(watch.turn);
  }
}

void Turns::Completed(Turn* turn) {
  mutex_.Lock();
  --turn->watching;
  const Settlement settlement = SettleIfComplete(turn);
  mutex_.Unlock();
  End(settlement);
}

Turns::Settlement Turns::SettleIfComplete(Turn* turn) {
  Settlement settlement;
  if (!turn->Complete()) return settlement;
  if (turn == open_) Close(turn);
  const int64_t now = clock_.MonotonicNanos();
  // Turns that were in flight together ran one after the other, as far as we can know.
  const int64_t start = std::max(turn->begin_ns, last_end_ns_);
  uint64_t busy = now > start ? now - start : 0;
  last_end_ns_ = now;
  const bool was_idle = turn->idle_since_ns != 0 && now - turn->idle_since_ns < kIdleAnswerNs;
  if (was_idle) busy = std::min(busy, turn->estimate_ns);
  if (turn->estimate_ns > 0 && !was_idle) {
    const double ratio = static_cast<double>(busy) / static_cast<double>(turn->estimate_ns);
    for (const WorkCount& work : turn->work) {
      costs_.Learn(work.key, static_cast<uint64_t>(ratio * static_cast<double>(work.estimate_ns)));
    }
  }
  statistics_.busy_ns += busy;
  if (turn->has_ticket) {
    settlement.has_ticket = true;
    settlement.ticket = turn->ticket;
    settlement.busy_ns = busy + std::exchange(debt_ns_, 0);
  } else {
    debt_ns_ += busy;
  }
  free_turns_.push_back(turn);
  return settlement;
}

void Turns::End(const Settlement& settlement) {
  if (settlement.has_ticket) seat_.End(settlement.ticket, settlement.busy_ns);
}

// Finds turns that nobody adds to and nobody waits for: a program that polls, or that went to do
// something else. The driver is asked to tell when they are complete.
void Turns::Tick() {
  mutex_.Lock();
  uint64_t serial = 0;
  uint32_t launches = 0;
  int quiet = 0;
  while (!stop_) {
    if (open_ == nullptr && ++quiet > kQuietTicks) {
      ticking_ = false;
      mutex_.Wait(tick_);
      quiet = 0;
      continue;
    }
    ticking_ = true;
    if (open_ != nullptr) {
      quiet = 0;
      serial = open_->serial;
      launches = open_->launches;
    }
    mutex_.Wait(tick_, limits_.tick_ns);
    if (stop_ || open_ == nullptr || open_->serial != serial || open_->launches != launches ||
        open_->entering > 0) {
      continue;
    }
    Turn* idle = open_;
    idle->idle_since_ns = clock_.MonotonicNanos();
    Close(idle);
    const Watch watch = TakeQueues(idle);
    mutex_.Unlock();
    Ask(watch);
    mutex_.Lock();
  }
  mutex_.Unlock();
}

Turns::Statistics Turns::statistics() const {
  PlainLock lock(&mutex_);
  return statistics_;
}

}  // namespace het::interpose
