#include "tests/soft_drivers/common/stream.h"

#include <time.h>

#include <utility>

namespace het::soft {

bool Mark::reached() const {
  const std::lock_guard lock(mutex_);
  return nanos_ != 0;
}

void Mark::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return nanos_ != 0; });
}

int64_t Mark::nanos() const {
  const std::lock_guard lock(mutex_);
  return nanos_;
}

void Mark::Reach() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::lock_guard lock(mutex_);
  nanos_ = now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
  changed_.notify_all();
}

Stream::Stream(Admission admission, Failure failure)
    : admission_(std::move(admission)), failure_(std::move(failure)) {}

Stream::~Stream() {
  if (at_end_) at_end_(this);
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Stream::Push(Item item) {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    wake = asleep_;
    if (!thread_.joinable()) thread_ = std::thread([this] { Work(); });
  }
  if (wake) changed_.notify_all();
}

void Stream::Enqueue(Launch launch) { Push({{}, std::move(launch), false}); }

void Stream::Enqueue(std::function<void()> work, bool always) {
  Push({std::move(work), {}, always});
}

std::shared_ptr<Mark> Stream::Record() {
  auto mark = std::make_shared<Mark>();
  Enqueue([mark] { mark->Reach(); }, true);
  return mark;
}

void Stream::WaitFor(std::shared_ptr<Mark> mark) {
  Enqueue([mark = std::move(mark)] { mark->Wait(); }, true);
}

bool Stream::idle() const {
  const std::lock_guard lock(mutex_);
  return items_.empty() && !busy_;
}

void Stream::Synchronize() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return items_.empty() && !busy_; });
}

void Stream::Work() {
  Lane lane;
  const auto finish = [&] {
    const std::string why = lane.Finish();
    if (!why.empty()) failure_(why);
  };
  std::vector<Item> batch;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      busy_ = false;
      if (items_.empty()) {
        changed_.notify_all();
        asleep_ = true;
        changed_.wait(lock, [this] { return !items_.empty() || ends_; });
        asleep_ = false;
      }
      if (items_.empty()) return;
      batch.swap(items_);
      busy_ = true;
    }
    for (Item& item : batch) {
      const bool drop = stopped_.load(std::memory_order_acquire) && !item.always;
      if (item.launch.kernel != nullptr) {
        if (drop || !admission_(item.launch)) continue;
        const std::string why = lane.Enqueue(item.launch);
        if (!why.empty()) failure_(why);
      } else {
        finish();
        if (!drop) item.work();
      }
    }
    batch.clear();
    finish();
  }
}

}  // namespace het::soft
