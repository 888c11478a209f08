#include "runtime/lane.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/status.h"

namespace het::runtime {

absl::StatusOr<std::unique_ptr<Lane>> Lane::Create(Ref<LeaseHandle> lease, QueueKind kind) {
  HET_ASSIGN_OR_RETURN(Device * device, lease->device());
  std::unique_ptr<Lane> lane(new Lane(std::move(lease), *device, kind));
  HET_ASSIGN_OR_RETURN(std::shared_ptr<Generation> first, lane->MakeGeneration());
  absl::MutexLock lock(&lane->mutex_);
  lane->current_ = std::move(first);
  return lane;
}

Lane::~Lane() { Close(); }

void Lane::Close() {
  {
    absl::MutexLock lock(&submit_mutex_);
    closed_ = true;
  }
  std::vector<std::shared_ptr<Generation>> all;
  {
    absl::MutexLock lock(&mutex_);
    all.swap(retired_);
    if (current_ != nullptr) all.push_back(std::move(current_));
  }
  for (const auto& generation : all) {
    const int64_t busy = (*generation->queue)->busy_nanos();
    generation->queue = nullptr;  // waits for its work
    while (generation->outstanding.load(std::memory_order_acquire) != 0) std::this_thread::yield();
    absl::MutexLock lock(&mutex_);
    busy_before_ += busy;
  }
}

absl::StatusOr<std::shared_ptr<Lane::Generation>> Lane::MakeGeneration() {
  auto generation = std::make_shared<Generation>();
  HET_ASSIGN_OR_RETURN(generation->timeline, device_.CreateTimeline());
  HET_ASSIGN_OR_RETURN(generation->queue, lease_->CreateQueue(kind_));
  return generation;
}

std::shared_ptr<Lane::Generation> Lane::current() const {
  absl::MutexLock lock(&mutex_);
  return current_;
}

absl::Status Lane::Renew() {
  HET_ASSIGN_OR_RETURN(std::shared_ptr<Generation> fresh, MakeGeneration());
  std::vector<std::shared_ptr<Generation>> idle;  // destroyed without the lock
  absl::MutexLock lock(&mutex_);
  retired_.push_back(std::exchange(current_, std::move(fresh)));
  const auto is_idle = [](const std::shared_ptr<Generation>& generation) {
    return generation->outstanding.load(std::memory_order_acquire) == 0;
  };
  for (const auto& generation : retired_) {
    if (!is_idle(generation)) continue;
    busy_before_ += (*generation->queue)->busy_nanos();
    idle.push_back(generation);
  }
  retired_.erase(std::remove_if(retired_.begin(), retired_.end(),
                                [&](const auto& generation) {
                                  return std::find(idle.begin(), idle.end(), generation) !=
                                         idle.end();
                                }),
                 retired_.end());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Lane::Generation>> Lane::Put(Enqueue enqueue, uint64_t* value) {
  absl::MutexLock lock(&submit_mutex_);
  if (closed_) return absl::CancelledError("the pipeline was released");
  std::shared_ptr<Generation> lane = current();
  if (lane->broken.load(std::memory_order_acquire)) {
    HET_RETURN_IF_ERROR(Renew());
    lane = current();
  }
  *value = lane->submitted.load(std::memory_order_relaxed) + 1;
  absl::Status status = enqueue(*lane->queue, Fence{lane->timeline, *value});
  if (status.ok()) status = (*lane->queue)->Flush();
  if (!status.ok()) {
    lane->broken.store(true, std::memory_order_release);
    return status;
  }
  lane->outstanding.fetch_add(1, std::memory_order_relaxed);
  lane->submitted.store(*value, std::memory_order_release);
  return lane;
}

void Lane::Submit(Enqueue enqueue, Done done) {
  uint64_t value = 0;
  const absl::StatusOr<std::shared_ptr<Generation>> put = Put(enqueue, &value);
  if (!put.ok()) return done(put.status());
  Generation* generation = put->get();  // the lane waits for `outstanding` before it goes
  // Without the lock: the callback may run here.
  generation->timeline->OnReach(
      value, [generation, done = std::move(done)](const absl::Status& outcome) mutable {
        if (!outcome.ok()) generation->broken.store(true, std::memory_order_release);
        done(outcome);
        generation->outstanding.fetch_sub(1, std::memory_order_release);
      });
}

bool Lane::Drive(absl::Duration timeout) {
  const std::shared_ptr<Generation> lane = current();
  if (lane == nullptr) return false;
  if (lane->outstanding.load(std::memory_order_acquire) == 0) return false;
  const Ref<Timeline> timeline = lane->timeline;
  timeline->Wait(lane->submitted.load(std::memory_order_acquire), timeout).IgnoreError();
  return true;
}

int64_t Lane::busy_nanos() const {
  absl::MutexLock lock(&mutex_);
  int64_t busy = busy_before_;
  if (current_ != nullptr) busy += (*current_->queue)->busy_nanos();
  for (const auto& generation : retired_) busy += (*generation->queue)->busy_nanos();
  return busy;
}

}  // namespace het::runtime
