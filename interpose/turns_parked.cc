// Turns: launches that wait for events which the program itself will set.
#include <algorithm>

#include "interpose/turns.h"
#include "interpose/turns_state.h"

namespace het::interpose {
namespace {

template <typename Roots, typename Event>
void Add(Roots& roots, Event event) {
  if (std::find(roots.begin(), roots.end(), event) == roots.end()) roots.push_back(event);
}

template <typename Roots, typename Event>
void Remove(Roots& roots, Event event) {
  roots.erase(std::remove(roots.begin(), roots.end(), event), roots.end());
}

}  // namespace

void Turns::AddUserEvent(Event event) {
  PlainLock lock(&mutex_);
  user_events_.insert(event);
}

Turns::Roots Turns::RootsOf(const QueueState& queue, absl::Span<const Event> waits) const {
  Roots roots = queue.in_order ? queue.all_roots : queue.barrier_roots;
  for (Event event : waits) {
    if (user_events_.contains(event)) Add(roots, event);
    const auto found = roots_of_.find(event);
    if (found == roots_of_.end()) continue;
    for (Event root : found->second) Add(roots, root);
  }
  return roots;
}

Turns::Pass Turns::Park(QueueState& queue, uint64_t key, Roots roots) {
  for (Event root : roots) Add(queue.all_roots, root);
  Pass pass;
  pass.parked = ++last_parked_;
  pass.sequence = ++queue.sequence;
  queue.last_event = nullptr;
  Parked& parked = parked_[pass.parked];
  parked.queue = &queue;
  parked.key = key;
  parked.roots = std::move(roots);
  ++statistics_.parked;
  return pass;
}

void Turns::LeaveParked(const Pass& pass, bool ok, Event event) {
  mutex_.Lock();
  Parked& parked = parked_[pass.parked];
  Turn* turn = parked.turn;
  if (turn == nullptr && ok && event != nullptr) {
    parked.event = event;
    roots_of_[event] = parked.roots;
    mutex_.Unlock();
    return;
  }
  // Refused by the driver; or all it waited for was set while it was on the way.
  parked_.erase(pass.parked);
  mutex_.Unlock();
  if (turn == nullptr) return;
  if (ok && event != nullptr) {
    AskEvents(turn, {event});
  } else {
    Completed(turn);
  }
}

void Turns::Passed(Queue queue, absl::Span<const Event> waits, bool barrier, Event event) {
  PlainLock lock(&mutex_);
  QueueState& state = StateOf(queue);
  if (state.in_order) {
    state.last_event = event;
    state.last_event_sequence = state.sequence;
  }
  if (user_events_.empty()) return;
  Roots roots = RootsOf(state, waits);
  if (waits.empty()) {
    for (Event root : state.all_roots) Add(roots, root);
  }
  if (roots.empty()) return;
  if (event != nullptr) roots_of_[event] = roots;
  for (Event root : roots) {
    Add(state.all_roots, root);
    if (barrier) Add(state.barrier_roots, root);
  }
}

void Turns::ForgetRoot(Event event) {
  user_events_.erase(event);
  for (auto& [handle, queue] : queues_) {
    Remove(queue->all_roots, event);
    Remove(queue->barrier_roots, event);
  }
  for (auto it = roots_of_.begin(); it != roots_of_.end();) {
    Remove(it->second, event);
    const auto here = it++;
    if (here->second.empty()) roots_of_.erase(here);
  }
}

void Turns::SetUserEvent(Event event, absl::AnyInvocable<void(bool allowed)> set) {
  mutex_.Lock();
  if (!user_events_.contains(event)) {
    mutex_.Unlock();
    return set(true);
  }
  ForgetRoot(event);
  Turn* turn = nullptr;
  std::vector<Event> events;
  for (auto it = parked_.begin(); it != parked_.end();) {
    const auto here = it++;
    Parked& parked = here->second;
    if (parked.turn != nullptr) continue;
    Remove(parked.roots, event);
    if (!parked.roots.empty()) continue;
    if (turn == nullptr) turn = NewTurn();
    turn->closed = true;
    turn->Count(parked.key, costs_.Estimate(parked.key));
    ++turn->watching;
    ++statistics_.launches;
    parked.turn = turn;
    if (parked.event == nullptr) continue;  // still on its way: LeaveParked sees the turn
    events.push_back(parked.event);
    parked_.erase(here);
  }
  if (turn == nullptr) {
    mutex_.Unlock();
    return set(true);
  }
  if (const std::optional<Ticket> ticket = seat_.TryBegin(turn->estimate_ns)) {
    turn->has_ticket = true;
    turn->ticket = *ticket;
    mutex_.Unlock();
    set(true);
    return AskEvents(turn, events);
  }
  deferred_.push_back({turn, turn->estimate_ns, std::move(set), std::move(events)});
  ++statistics_.waited;
  StartThread(&releaser_, &Turns::Release);
  deferred_added_.notify_one();
  mutex_.Unlock();
}

void Turns::AskEvents(Turn* turn, const std::vector<Event>& events) {
  for (Event event : events) {
    if (!watcher_.WatchEvent(event, turn)) Completed(turn);
    watcher_.DropEvent(event);
  }
}

// Sets the events whose turn was not there at once, in the order the program set them.
void Turns::Release() {
  mutex_.Lock();
  while (!stop_) {
    if (deferred_.empty()) {
      mutex_.Wait(deferred_added_);
      continue;
    }
    Deferred next = std::move(deferred_.front());
    deferred_.pop_front();
    mutex_.Unlock();
    const absl::StatusOr<Ticket> ticket = seat_.Begin(next.estimate_ns);
    mutex_.Lock();
    if (ticket.ok()) {
      next.turn->has_ticket = true;
      next.turn->ticket = *ticket;
    }
    next.turn->begin_ns = clock_.MonotonicNanos();
    if (stop_) break;
    mutex_.Unlock();
    next.set(ticket.ok());
    AskEvents(next.turn, next.events);
    mutex_.Lock();
  }
  mutex_.Unlock();
}

}  // namespace het::interpose
