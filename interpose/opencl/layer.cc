#include "interpose/opencl/layer.h"

#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "interpose/attach.h"
#include "interpose/say.h"

namespace het::interpose {

Layer* Layer::instance_ = nullptr;

void Layer::Refuse(const absl::Status& why) {
  Say(absl::StrCat("this program gets no OpenCL device: ", why.message()));
}

void Layer::StartRefused(const cl_icd_dispatch& next, const absl::Status& why) {
  instance_ = new Layer(next);
  instance_->Refuse(why);
}

void Layer::Start(const cl_icd_dispatch& next, const Settings& settings) {
  auto* layer = new Layer(next);
  layer->settings_ = settings;
  absl::StatusOr<std::unique_ptr<Seat>> seat = Attach(settings);
  if (seat.ok()) {
    layer->seat_ = *std::move(seat);
    layer->memory_ = std::make_unique<MemoryAccount>(layer->next_, *layer->seat_);
  } else {
    layer->Refuse(seat.status());
  }
  instance_ = layer;
  pthread_atfork(nullptr, nullptr,
                 [] { instance_->forked_.store(true, std::memory_order_relaxed); });
}

void Layer::Look() {
  if (seat_ == nullptr) return;
  absl::StatusOr<DeviceView> found = DeviceView::Find(next_, settings_);
  if (!found.ok()) return Refuse(found.status());
  if (settings_.arbitrate) {
    watcher_ = std::make_unique<OpenClWatcher>(next_, found->version);
    TurnLimits limits;
    limits.turn_ns = uint64_t{settings_.turn_us} * 1000;
    limits.alone_turn_ns = std::max(limits.turn_ns, limits.alone_turn_ns);
    turns_ = std::make_unique<Turns>(*seat_, *watcher_, limits);
    // Registered after the driver's own, so it runs before them.
    std::atexit([] { instance_->AtExit(); });
  }
  view_ = *std::move(found);
}

void Layer::AtExit() {
  if (forked_.load(std::memory_order_relaxed)) return;
  turns_->Stop();
  const Turns::Statistics had = turns_->statistics();
  Log().info("{} launches in {} turns, {} not there at once; watched {} times; device {:.3f} ms",
             had.launches, had.turns, had.waited, had.watched,
             static_cast<double>(had.busy_ns) * 1e-6);
}

void Layer::SaySeatLost(const absl::Status& why) {
  absl::call_once(said_,
                  [&] { Say(absl::StrCat("launches are refused from now on: ", why.message())); });
}

const DeviceView* Layer::device() {
  if (forked_.load(std::memory_order_relaxed)) {
    // Said by a child that uses OpenCL, not by every one that is about to exec.
    if (seat_ != nullptr && !said_forked_.exchange(true, std::memory_order_relaxed)) {
      Say("a child made by fork without exec gets no OpenCL device; its parent keeps the lease");
    }
    return nullptr;
  }
  absl::call_once(looked_, [this] { Look(); });
  return view_ ? &*view_ : nullptr;
}

}  // namespace het::interpose
