#include "daemon/housekeeping.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/log.h"
#include "daemon/journal.h"
#include "daemon/systemd.h"

namespace het::daemon {
namespace {

constexpr uint64_t kSampleMs = 1000;

std::string NodeName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "";
}

std::string ProcessorTimes() {
  const auto text = ReadFile("/proc/stat", size_t{1} << 20);
  return text.ok() ? *text : "";
}

}  // namespace

void Housekeeping::Start(const std::string& socket_path) {
  started_ = true;
  absl::StatusOr<std::unique_ptr<UsageStore>> store = UsageStore::Open(parts_.state_dir);
  if (store.ok()) {
    usage_store_ = *std::move(store);
  } else {
    Log().error("no history of usage is kept: {}", store.status().ToString());
  }
  meter_ = std::make_unique<UsageMeter>(
      UsageMeter::Parts{parts_.ledger, parts_.book,
                        [this](const Lease& lease) { return parts_.arbiters.UsageOf(lease); },
                        [this] { return parts_.arbiters.AnyAttached(); }, parts_.clock,
                        usage_store_.get(), NodeName(), ProcessorTimes, parts_.power_watts});
  meter_->Restore();
  uv_timer_init(loop_, &sample_timer_);
  uv_timer_init(loop_, &watchdog_timer_);
  sample_timer_.data = watchdog_timer_.data = this;
  const auto tick = [](uv_timer_t* timer) { static_cast<Housekeeping*>(timer->data)->Tick(); };
  uv_timer_start(&sample_timer_, tick, 0, kSampleMs);
  const int64_t watchdog_ms = WatchdogMicros() / 1000;
  if (watchdog_ms > 0) {
    const auto answer = [](uv_timer_t* timer) {
      static_cast<Housekeeping*>(timer->data)->parts_.touch_store();
      NotifySystemd("WATCHDOG=1");
    };
    uv_timer_start(&watchdog_timer_, answer, 0,
                   static_cast<uint64_t>(std::max<int64_t>(1, watchdog_ms / 3)));
  }
  LogEvent(Event::kStarted, absl::StrCat("hetd serves ", socket_path));
  NotifySystemd(absl::StrCat("READY=1\nSTATUS=serving ", socket_path));
}

void Housekeeping::Stop() {
  if (!started_) return;
  started_ = false;
  NotifySystemd("STOPPING=1");
  meter_->Save();
  for (uv_timer_t* timer : {&sample_timer_, &watchdog_timer_}) {
    uv_close(reinterpret_cast<uv_handle_t*>(timer), nullptr);
  }
}

void Housekeeping::Tick() {
  meter_->Tick();
  parts_.statistics.Sampled(parts_.clock.MonotonicNanos());
  WatchDevices();
}

void Housekeeping::WatchDevices() {
  std::set<std::string> listed;
  for (const DeviceInfo& device : parts_.ledger.devices()) {
    listed.insert(device.uuid);
    Told({device.uuid, device.name, device.state, device.reason});
  }
  // What was removed and is held by nobody is not listed any more.
  for (const auto& [uuid, seen] : device_states_) {
    if (listed.contains(uuid) || seen.state == DeviceState::kRemoved) continue;
    Told({uuid, seen.name, DeviceState::kRemoved, "its driver does not report it any more"});
  }
}

void Housekeeping::Told(const SeenDevice& now) {
  const auto [known, fresh] = device_states_.try_emplace(now.uuid, now);
  const bool was_ok = fresh || known->second.state == DeviceState::kOk;
  const bool is_ok = now.state == DeviceState::kOk;
  const bool ill = now.state == DeviceState::kDegraded || now.state == DeviceState::kRemoved;
  known->second = now;
  if (ill && was_ok) {
    LogEvent(Event::kDeviceUnhealthy,
             absl::StrCat("device ", now.name, " (", now.uuid, ") is ", DeviceStateName(now.state),
                          ": ", now.reason),
             {{"HET_DEVICE", now.uuid}, {"HET_ERROR", now.reason}});
  } else if (is_ok && !was_ok) {
    LogEvent(Event::kDeviceHealthy,
             absl::StrCat("device ", now.name, " (", now.uuid, ") is healthy again"),
             {{"HET_DEVICE", now.uuid}});
  }
}

void Housekeeping::Refused(const absl::Status& status) {
  if (meter_ != nullptr) meter_->Refused(status);
}

absl::StatusOr<Stream> Housekeeping::Report(const Caller& caller, const Json& parameters) {
  if (meter_ == nullptr) return absl::UnavailableError("hetd is starting");
  return meter_->Report(caller, parameters);
}

}  // namespace het::daemon
