#include "devices/simulated/timed_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/time/clock.h"
#include "base/clock.h"
#include "devices/cpu/parker.h"

namespace het::simulated {
namespace {

// The host's timers are late by about this: the rest of a hold is polled for.
constexpr int64_t kTimerSlackNanos = 60'000;

int64_t Now() { return Clock::Real().MonotonicNanos(); }

}  // namespace

absl::Status TimedRunner::Run(const cpu::Op& op) {
  const int64_t ready = std::max(op.ready_nanos, last_end_);
  switch (device_.faults().BeforeOp(ready - opened_)) {
    case FaultState::Verdict::kRun:
      break;
    case FaultState::Verdict::kHang:
      return Hang();
    case FaultState::Verdict::kLost:
      return device_.faults().lost();
  }
  const Cost cost = CostOf(op);
  const Span span = cost.engine->Reserve(ready, cost.nanos);
  Do(op);
  const int64_t done = Now();
  if (done < span.end) {
    HoldUntil(span.end);
    last_end_ = span.end;
  } else {
    // The host is slower than the profile: then it is the host's time.
    cost.engine->Extend(done);
    last_end_ = done;
  }
  return device_.faults().lost();
}

Cost TimedRunner::CostOf(const cpu::Op& op) {
  switch (op.kind) {
    case cpu::Op::Kind::kCopy:
      return device_.CopyCost(op.route, op.bytes);
    case cpu::Op::Kind::kFill:
      return device_.FillCost(op.bytes);
    case cpu::Op::Kind::kLaunch:
    case cpu::Op::Kind::kBarrier:
      break;
  }
  return device_.LaunchCost(op.kernel->name(), op.groups[0], op.work);
}

void TimedRunner::Do(const cpu::Op& op) {
  switch (op.kind) {
    case cpu::Op::Kind::kBarrier:
      return;
    case cpu::Op::Kind::kCopy:
      std::memcpy(op.to, op.from, op.bytes);
      return;
    case cpu::Op::Kind::kFill:
      std::memset(op.to, op.value, op.bytes);
      return;
    case cpu::Op::Kind::kLaunch:
      break;
  }
  het_native_call call = {};
  call.struct_size = sizeof(call);
  call.buffers = op.addresses.data();
  call.buffer_count = static_cast<uint32_t>(op.addresses.size());
  call.params = op.params.data();
  call.params_bytes = static_cast<uint32_t>(op.params.size());
  std::copy_n(op.groups, 3, call.groups);
  std::copy_n(op.group_size, 3, call.group_size);
  call.group_end = op.GroupCount();
  call.workers = 1;
  absl::MutexLock lock(&device_.kernel_mutex());
  op.function(&call);
}

void TimedRunner::HoldUntil(int64_t nanos) {
  const int64_t asleep = nanos - kTimerSlackNanos - Now();
  if (asleep > 0) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&lost_), absl::Nanoseconds(asleep));
    if (lost_) return;
  }
  while (!cpu::SpinFor(kTimerSlackNanos, [nanos] { return Now() >= nanos; })) {
  }
}

absl::Status TimedRunner::Hang() {
  const auto over = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return lost_ || abandoned_; };
  {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&over));
  }
  if (absl::Status lost = device_.faults().lost(); !lost.ok()) return lost;
  return absl::CancelledError("the queue was destroyed while the device hung");
}

void TimedRunner::Abandon() {
  absl::MutexLock lock(&mutex_);
  abandoned_ = true;
}

void TimedRunner::Lose() {
  absl::MutexLock lock(&mutex_);
  lost_ = true;
}

std::unique_ptr<Queue> TimedQueue::Make(SimulatedDevice& device, QueueKind kind,
                                        std::vector<uint32_t> cores, int64_t opened) {
  auto runner = std::make_unique<TimedRunner>(device, opened);
  TimedRunner& borrowed = *runner;
  return std::unique_ptr<Queue>(
      new TimedQueue(device, kind, std::move(runner), borrowed, std::move(cores)));
}

TimedQueue::TimedQueue(SimulatedDevice& device, QueueKind kind, std::unique_ptr<TimedRunner> runner,
                       TimedRunner& borrowed, std::vector<uint32_t> cores)
    : HostQueue(device, kind, std::move(runner), std::move(cores), "het-sim-queue",
                /*note_ready=*/true),
      device_(device),
      runner_(borrowed) {
  link_->Attach(this);
  device_.faults().Watch(link_);
}

TimedQueue::~TimedQueue() {
  link_->Attach(nullptr);
  device_.faults().Unwatch(link_.get());
}

void TimedQueue::Link::OnLost(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (queue_ == nullptr) return;
  queue_->Break(status);
  queue_->runner_.Lose();
}

}  // namespace het::simulated
