#include "daemon/daemon.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"

namespace het::daemon {
namespace {

constexpr uint64_t kStoreRetryMs = 1000;
constexpr uint64_t kBeatMs = 500;  // clients give hetd up after four of these
constexpr int64_t kNanosPerSecond = 1'000'000'000;

// A connection and a watched process are a descriptor each.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 65536);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

Daemon* Daemon::Self(void* data) { return static_cast<Daemon*>(data); }

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(DaemonOptions options) {
  HET_RETURN_IF_ERROR(MakeDirectories(options.runtime_dir));
  HET_ASSIGN_OR_RETURN(InstanceLock lock, InstanceLock::Take(options.runtime_dir));
  HET_ASSIGN_OR_RETURN(std::unique_ptr<Store> store, Store::Open(options.state_dir));
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(options), std::move(lock), std::move(store)));
  HET_RETURN_IF_ERROR(daemon->Begin());
  return daemon;
}

Daemon::Daemon(DaemonOptions options, InstanceLock lock, std::unique_ptr<Store> store)
    : options_(std::move(options)),
      socket_path_(options_.runtime_dir + "/het.sock"),
      lock_(std::move(lock)),
      store_(std::move(store)),
      book_(ledger_, *store_, clock_, BootId()),
      arbiters_(ledger_, book_, clock_),
      housekeeping_(&loop_.loop, {ledger_, book_, arbiters_, clock_, options_.state_dir,
                                  [this] { (void)store_->FindMeasurement(""); }}),
      methods_(ledger_, book_, arbiters_, clock_,
               {[this](const ProcessId& process) { return watch_.Watch(process); },
                [this](std::function<void()> done) { discovery_.Scan(std::move(done)); },
                [this](const Caller& caller, const Json& parameters) {
                  return housekeeping_.Report(caller, parameters);
                },
                [this](const absl::Status& status) { housekeeping_.Refused(status); },
                &housekeeping_.statistics()}),
      server_(&loop_.loop, methods_, options_.limits),
      watch_(&loop_.loop,
             [this](const ProcessId& process) {
               arbiters_.Reap(process);
               housekeeping_.statistics().Reclaimed("process_ended", book_.ReclaimProcess(process));
             }),
      discovery_(&loop_.loop, *store_, options_.discovery,
                 {[this](std::vector<DeviceInfo> devices) { SetDevices(std::move(devices)); },
                  [this] {
                    known_.rates = true;
                    methods_.SetKnown(known_);
                  }}) {}

Daemon::~Daemon() {
  Stop();
  // Lets libuv finish what Stop closed.
  for (int turn = 0; turn < 8; ++turn) uv_run(&loop_.loop, UV_RUN_NOWAIT);
  if (expiry_fd_ >= 0) close(expiry_fd_);
}

absl::Status Daemon::Begin() {
  RaiseDescriptorLimit();
  HET_RETURN_IF_ERROR(book_.Restore(IsAlive));
  for (const ProcessId& process : book_.Processes()) {
    // It may have ended since.
    if (!watch_.Watch(process).ok()) book_.ReclaimProcess(process);
  }
  for (const ProcessId& process : arbiters_.Recover()) {
    if (!watch_.Watch(process).ok()) arbiters_.Reap(process);
  }
  HET_RETURN_IF_ERROR(StartHandles());
  methods_.AnswerThrough(&server_);
  HET_RETURN_IF_ERROR(server_.Listen(socket_path_));
  housekeeping_.Start(socket_path_);
  discovery_.Scan();
  return absl::OkStatus();
}

absl::Status Daemon::StartHandles() {
  uv_loop_t* loop = &loop_.loop;
  uv_prepare_init(loop, &prepare_);
  uv_check_init(loop, &check_);
  uv_timer_init(loop, &line_timer_);
  uv_timer_init(loop, &store_timer_);
  uv_timer_init(loop, &beat_timer_);
  prepare_.data = check_.data = line_timer_.data = store_timer_.data = beat_timer_.data = this;
  uv_prepare_start(&prepare_, [](uv_prepare_t* handle) { Self(handle->data)->EndTurn(); });
  uv_check_start(&check_, [](uv_check_t* handle) { Self(handle->data)->EndTurn(); });

  constexpr int kSignals[] = {SIGTERM, SIGINT, SIGHUP};
  for (size_t i = 0; i < 3; ++i) {
    uv_signal_init(loop, &signals_[i]);
    signals_[i].data = this;
    uv_signal_start(
        &signals_[i],
        [](uv_signal_t* handle, int number) {
          if (number == SIGHUP) return Self(handle->data)->discovery_.Scan();
          uv_stop(&Self(handle->data)->loop_.loop);
        },
        kSignals[i]);
  }

  expiry_fd_ = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (expiry_fd_ < 0) return ErrnoStatus(errno, "cannot make a timer");
  uv_poll_init(loop, &expiry_poll_, expiry_fd_);
  expiry_poll_.data = this;
  uv_poll_start(&expiry_poll_, UV_READABLE, [](uv_poll_t* handle, int, int) {
    Daemon* daemon = Self(handle->data);
    uint64_t count = 0;
    if (read(daemon->expiry_fd_, &count, sizeof(count)) < 0 && errno == EAGAIN) return;
    daemon->expiry_armed_ = 0;
    daemon->housekeeping_.statistics().Reclaimed("expired", daemon->book_.ReclaimExpired());
  });
  return absl::OkStatus();
}

void Daemon::Run() { uv_run(&loop_.loop, UV_RUN_DEFAULT); }

void Daemon::Stop() {
  if (stopped_) return;
  stopped_ = true;
  server_.Close();
  watch_.Close();
  housekeeping_.Stop();
  if (expiry_fd_ < 0) return;  // StartHandles was not reached
  const auto close_handle = [](auto* handle) {
    uv_close(reinterpret_cast<uv_handle_t*>(handle), nullptr);
  };
  close_handle(&prepare_);
  close_handle(&check_);
  close_handle(&line_timer_);
  close_handle(&store_timer_);
  close_handle(&beat_timer_);
  close_handle(&expiry_poll_);
  for (uv_signal_t& signal : signals_) close_handle(&signal);
}

void Daemon::SetDevices(std::vector<DeviceInfo> devices) {
  ledger_.SetInventory(std::move(devices));
  known_.devices = true;
  arbiters_.Sync();  // what a share means depends on the cores there are
  CutNamedSlices();
  methods_.SetKnown(known_);
}

void Daemon::CutNamedSlices() {
  const Caller self = {geteuid(), {}, /*admin=*/true};
  for (SliceRequest slice : options_.config.slices) {
    if (book_.HasNamed(slice.name)) continue;
    const absl::StatusOr<const DeviceInfo*> device = ledger_.FindMeant(slice.device);
    absl::Status cut = device.status();
    if (device.ok()) {
      slice.device = (*device)->uuid;
      cut = book_.Create(self, slice).status();
    }
    if (!cut.ok())
      Log().error("slice {} of hetd.toml is not there: {}", slice.name, cut.ToString());
  }
}

void Daemon::EndTurn() {
  methods_.Flush();
  if (changes_seen_ != book_.changes()) {
    changes_seen_ = book_.changes();
    watch_.ForgetUnless([this](const ProcessId& process) {
      return book_.HasLeases(process) || arbiters_.HasSeats(process);
    });
  }
  ArmBeat();
  ArmExpiry();
  ArmLine();
  ArmStoreRetry();
}

void Daemon::ArmExpiry() {
  const int64_t next = book_.NextExpiry();
  if (next == expiry_armed_) return;
  itimerspec when = {};
  when.it_value.tv_sec = next / kNanosPerSecond;
  when.it_value.tv_nsec = next % kNanosPerSecond;
  timerfd_settime(expiry_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
  expiry_armed_ = next;
}

void Daemon::ArmLine() {
  const int64_t next = methods_.NextDeadline();
  if (next == line_armed_) return;
  line_armed_ = next;
  if (next == 0) {
    uv_timer_stop(&line_timer_);
    return;
  }
  const int64_t left_ms = std::max<int64_t>(0, next - clock_.MonotonicNanos()) / 1'000'000 + 1;
  uv_update_time(&loop_.loop);
  uv_timer_start(
      &line_timer_,
      [](uv_timer_t* timer) {
        Self(timer->data)->line_armed_ = 0;
        Self(timer->data)->methods_.AnswerOverdue();
      },
      static_cast<uint64_t>(left_ms), 0);
}

void Daemon::ArmBeat() {
  const bool armed = uv_is_active(reinterpret_cast<uv_handle_t*>(&beat_timer_)) != 0;
  if (armed || arbiters_.empty()) return;
  uv_timer_start(
      &beat_timer_, [](uv_timer_t* timer) { Self(timer->data)->arbiters_.Beat(); }, kBeatMs,
      kBeatMs);
}

void Daemon::ArmStoreRetry() {
  const bool failing = !book_.store_status().ok();
  const bool armed = uv_is_active(reinterpret_cast<uv_handle_t*>(&store_timer_)) != 0;
  if (failing && !armed) {
    uv_timer_start(
        &store_timer_, [](uv_timer_t* timer) { Self(timer->data)->book_.Probe(); }, kStoreRetryMs,
        kStoreRetryMs);
  } else if (!failing && armed) {
    uv_timer_stop(&store_timer_);
  }
}

}  // namespace het::daemon
