#include "interpose/cuda/shadow.h"

#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/log.h"
#include "base/status.h"
#include "interpose/attach.h"
#include "interpose/cuda/call.h"
#include "interpose/say.h"

namespace het::interpose {

using cuda::CUcontext;
using cuda::CUDA_SUCCESS;
using cuda::CUdevice;
using cuda::CUresult;
using cuda::driver;

namespace {

constexpr char kVisible[] = "CUDA_VISIBLE_DEVICES";

}  // namespace

Shadow* Shadow::instance_ = nullptr;

void Shadow::Load() {
  absl::StatusOr<Settings> settings =
      ParseSettings([](const char* name) { return std::getenv(name); });
  if (settings.ok() && !settings->in_slice()) return;
  const char* visible = std::getenv("HET_CUDA_VISIBLE");
  instance_ = new Shadow(std::move(settings));
  if (visible == nullptr) return;
  instance_->visible_ = visible;
  setenv(kVisible, visible, 1);
}

void Shadow::Refuse(const absl::Status& why) {
  state_.store(State::kRefused, std::memory_order_release);
  Say(absl::StrCat("this program gets no CUDA device: ", why.message()));
}

CUresult Shadow::WhyClosed() const {
  return state_.load(std::memory_order_relaxed) == State::kRefused
             ? cuda::CUDA_ERROR_NO_DEVICE
             : cuda::CUDA_ERROR_NOT_INITIALIZED;
}

void Shadow::TakeSeat() {
  if (!settings_.ok()) return Refuse(settings_.status());
  if (visible_.empty()) {
    return Refuse(absl::InvalidArgumentError(
        "HET_CUDA_VISIBLE is not set; it should name the slice's device as CUDA_VISIBLE_DEVICES "
        "does"));
  }
  absl::StatusOr<std::unique_ptr<Seat>> seat = Attach(*settings_);
  if (!seat.ok()) return Refuse(seat.status());
  seat_ = *std::move(seat);
  book_ = std::make_unique<MemoryBook>(*seat_);
  TurnLimits limits;
  limits.turn_ns = uint64_t{settings_->turn_us} * 1000;
  limits.alone_turn_ns = std::max(limits.turn_ns, limits.alone_turn_ns);
  turns_ = std::make_unique<Turns>(*seat_, watcher_, limits);
  watcher_.set_turns(turns_.get());
  pthread_atfork(nullptr, nullptr,
                 [] { instance_->state_.store(State::kForked, std::memory_order_relaxed); });
}

absl::Status Shadow::CheckDevice() const {
  int count = 0;
  CUdevice device = -1;
  cuda::CUuuid uuid = {};
  const auto get_uuid =
      driver.cuDeviceGetUuid_v2 != nullptr ? driver.cuDeviceGetUuid_v2 : driver.cuDeviceGetUuid;
  if (driver.cuDeviceGetCount(&count) != CUDA_SUCCESS || count != 1 ||
      driver.cuDeviceGet(&device, 0) != CUDA_SUCCESS || get_uuid == nullptr ||
      get_uuid(&uuid, device) != CUDA_SUCCESS) {
    return absl::NotFoundError(absl::StrCat("of the slice's device ", visible_,
                                            " NVIDIA's driver shows ", count,
                                            " here, where there should be 1"));
  }
  const std::string wanted = absl::StrReplaceAll(settings_->device, {{"-", ""}});
  const std::string found = absl::BytesToHexString(absl::string_view(uuid.bytes, 16));
  if (wanted.empty() || wanted == found) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("the slice's device is ", settings_->device,
                                          ", and NVIDIA's driver shows ", found));
}

CUresult Shadow::Initialise(unsigned int flags) {
  PlainLock lock(&init_mutex_);
  if (state_.load(std::memory_order_relaxed) == State::kForked) {
    return cuda::CUDA_ERROR_NOT_INITIALIZED;
  }
  if (seat_ == nullptr && state_.load(std::memory_order_relaxed) == State::kNew) TakeSeat();
  if (state_.load(std::memory_order_relaxed) == State::kRefused) return cuda::CUDA_ERROR_NO_DEVICE;
  // Again, because the program may have changed it; not after the driver has read it: other threads
  // may read the environment.
  if (state_.load(std::memory_order_relaxed) == State::kNew) setenv(kVisible, visible_.c_str(), 1);
  const CUresult error = driver.cuInit(flags);
  if (error != CUDA_SUCCESS || state_.load(std::memory_order_relaxed) == State::kOpen) return error;
  const absl::Status there = CheckDevice();
  if (!there.ok()) {
    Refuse(there);
    return cuda::CUDA_ERROR_NO_DEVICE;
  }
  CUdevice device = -1;
  int integrated = 0;
  driver.cuDeviceGet(&device, 0);
  driver.cuDeviceGetAttribute(&integrated, cuda::CU_DEVICE_ATTRIBUTE_INTEGRATED, device);
  is_integrated_ = integrated != 0;
  // Registered after the driver's own, so it runs before them.
  std::atexit([] { instance_->AtExit(); });
  state_.store(State::kOpen, std::memory_order_release);
  return CUDA_SUCCESS;
}

void Shadow::AtExit() {
  if (Closed() != CUDA_SUCCESS) return;
  turns_->Stop();
  watcher_.Stop();
  const Turns::Statistics had = turns_->statistics();
  Log().info("{} launches in {} turns, {} not there at once; watched {} times; device {:.3f} ms",
             had.launches, had.turns, had.waited, had.watched,
             static_cast<double>(had.busy_ns) * 1e-6);
}

StreamState& Shadow::StreamOf(cuda::CUstream handle, bool per_thread) {
  bool is_new = false;
  StreamState& stream = streams_.Of(handle, per_thread, &is_new);
  if (is_new) turns_->AddQueue(&stream, true);
  return stream;
}

void Shadow::LeaveContext(CUcontext context) {
  if (context == nullptr) return;
  for (StreamState* stream : streams_.In(context)) {
    turns_->ForgetQueue(stream);
    streams_.Forget(*stream);
  }
  watcher_.Drain(context);
}

void Shadow::Recorded(cuda::CUevent event, StreamState* stream) {
  StreamState* before = nullptr;
  {
    PlainLock lock(&mutex_);
    if (stream == nullptr) {
      const auto found = recorded_in_.find(event);
      if (found == recorded_in_.end()) return;
      before = found->second;
      recorded_in_.erase(found);
    } else {
      before = std::exchange(recorded_in_[event], stream);
    }
  }
  // It says nothing any more of the stream it was in.
  if (before != nullptr && before != stream) turns_->Passed(before, {}, false, nullptr);
  if (stream != nullptr) turns_->Passed(stream, {}, false, event);
}

void Shadow::Retained(CUdevice device, CUcontext context) {
  PlainLock lock(&mutex_);
  Primary& primary = primary_[device];
  primary.context = context;
  ++primary.uses;
}

CUcontext Shadow::LastRelease(CUdevice device) {
  PlainLock lock(&mutex_);
  Primary& primary = primary_[device];
  if (primary.uses > 0) --primary.uses;
  return primary.uses == 0 ? primary.context : nullptr;
}

CUcontext Shadow::PrimaryOf(CUdevice device) {
  PlainLock lock(&mutex_);
  return primary_[device].context;
}

void Shadow::SaySeatLost(const absl::Status& why) {
  absl::call_once(said_,
                  [&] { Say(absl::StrCat("launches are refused from now on: ", why.message())); });
}

}  // namespace het::interpose
