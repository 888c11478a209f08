#include "daemon/daemon.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/files.h"
#include "base/status.h"
#include "base/uuid.h"
#include "daemon/pci_devices.h"
#include "daemon/prober.h"

namespace het::daemon {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

// A connection and a watched process are a descriptor each.
void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 65536);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

// The machine as it is.
class RealEnvironment final : public Environment {
 public:
  RealEnvironment(uv_loop_t* loop, ProcessWatch& watch)
      : loop_(loop), watch_(watch), boot_id_(het::daemon::BootId()) {}

  const Clock& clock() const override { return Clock::Real(); }
  std::string NewId() override { return NewUuid(); }
  std::string BootId() const override { return boot_id_; }
  bool IsAlive(const ProcessId& process) const override { return het::daemon::IsAlive(process); }
  absl::Status Watch(const ProcessId& process) override { return watch_.Watch(process); }
  void ForgetUnless(const std::function<bool(const ProcessId&)>& keep) override {
    watch_.ForgetUnless(keep);
  }
  void StartProbe(const ProbeCommand& command, OnProbed done, std::function<void()> gone) override {
    het::daemon::StartProbe(loop_, command, std::move(done), std::move(gone));
  }
  std::vector<DeviceInfo> ScanBus() override {
    std::vector<DeviceInfo> devices = ScanPciDevices();
    for (DeviceInfo& device : ScanAccelDevices()) devices.push_back(std::move(device));
    return devices;
  }

 private:
  uv_loop_t* const loop_;
  ProcessWatch& watch_;
  const std::string boot_id_;
};

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
      watch_(&loop_.loop, [this](const ProcessId& process) { node_.OnProcessEnded(process); }),
      environment_(std::make_unique<RealEnvironment>(&loop_.loop, watch_)),
      node_(*environment_, *store_, options_.discovery, options_.config, Overlay()),
      health_(&loop_.loop, HealthOptions(), node_.discovery(), [this] { node_.OverlayChanged(); }),
      housekeeping_(
          &loop_.loop,
          {node_.ledger(), node_.book(), node_.arbiters(), Clock::Real(), node_.statistics(),
           options_.state_dir, [this] { (void)store_->FindMeasurement(""); },
           [this](const std::string& device) { return health_.PowerWatts(device); }}),
      server_(&loop_.loop, node_.handler(), options_.config.limits.server) {
  node_.ObserveWith({[this](const Caller& caller, const Json& parameters) {
                       return housekeeping_.Report(caller, parameters);
                     },
                     [this](const absl::Status& status) { housekeeping_.Refused(status); }});
}

NodeOverlay Daemon::Overlay() {
  using Devices = NodeOverlay::Devices;
  NodeOverlay overlay;
  overlay.on_scanned = [this](const Devices& devices) { health_.OnScanned(devices); };
  overlay.apply = [this](Devices& devices) { health_.Apply(devices); };
  overlay.watches = [this](const std::string& backend) { return health_.Watches(backend); };
  overlay.measure_links = [this](const Devices& devices, std::function<void()> done) {
    health_.machine().MeasureLinks(devices, std::move(done));
  };
  overlay.topology = [this] { return ToJson(health_.machine().topology()); };
  overlay.links = [this](const Devices& devices) { return health_.machine().LinkRows(devices); };
  overlay.telemetry = [this](const Devices& devices) { return health_.TelemetryRows(devices); };
  return overlay;
}

Health::Options Daemon::HealthOptions() const {
  Health::Options options;
  options.monitor.probe = options.machine.probe = options_.discovery.probe;
  options.monitor.silence_ms = options_.discovery.limit_ms;
  options.machine.file = options_.state_dir + "/links.json";
  return options;
}

Daemon::~Daemon() {
  Stop();
  // Lets libuv finish what Stop closed.
  for (int turn = 0; turn < 8; ++turn) uv_run(&loop_.loop, UV_RUN_NOWAIT);
  if (expiry_fd_ >= 0) close(expiry_fd_);
}

absl::Status Daemon::Begin() {
  RaiseDescriptorLimit();
  HET_RETURN_IF_ERROR(node_.Begin(server_));
  node_.RecoverArbiters();
  HET_RETURN_IF_ERROR(StartHandles());
  health_.Start();
  HET_RETURN_IF_ERROR(server_.Listen(socket_path_, Server::Door::kEverybody));
  HET_RETURN_IF_ERROR(server_.Listen(options_.runtime_dir + "/admin.sock", Server::Door::kAdmins));
  housekeeping_.Start(socket_path_);
  return absl::OkStatus();
}

absl::Status Daemon::StartHandles() {
  uv_loop_t* loop = &loop_.loop;
  uv_prepare_init(loop, &prepare_);
  uv_check_init(loop, &check_);
  uv_timer_init(loop, &tick_timer_);
  prepare_.data = check_.data = tick_timer_.data = this;
  uv_prepare_start(&prepare_, [](uv_prepare_t* handle) { Self(handle->data)->EndTurn(); });
  uv_check_start(&check_, [](uv_check_t* handle) { Self(handle->data)->EndTurn(); });

  constexpr int kSignals[] = {SIGTERM, SIGINT, SIGHUP};
  for (size_t i = 0; i < 3; ++i) {
    uv_signal_init(loop, &signals_[i]);
    signals_[i].data = this;
    uv_signal_start(
        &signals_[i],
        [](uv_signal_t* handle, int number) {
          if (number == SIGHUP) return Self(handle->data)->node_.Scan();
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
    daemon->node_.Tick();
  });
  return absl::OkStatus();
}

void Daemon::Run() { uv_run(&loop_.loop, UV_RUN_DEFAULT); }

void Daemon::Stop() {
  if (stopped_) return;
  stopped_ = true;
  server_.Close();
  watch_.Close();
  health_.Stop();
  housekeeping_.Stop();
  if (expiry_fd_ < 0) return;  // StartHandles was not reached
  const auto close_handle = [](auto* handle) {
    uv_close(reinterpret_cast<uv_handle_t*>(handle), nullptr);
  };
  close_handle(&prepare_);
  close_handle(&check_);
  close_handle(&tick_timer_);
  close_handle(&expiry_poll_);
  for (uv_signal_t& signal : signals_) close_handle(&signal);
}

void Daemon::EndTurn() {
  node_.EndTurn();
  ArmExpiry();
  ArmTick();
}

void Daemon::ArmExpiry() {
  const int64_t next = node_.NextExpiry();
  if (next == expiry_armed_) return;
  itimerspec when = {};
  when.it_value.tv_sec = next / kNanosPerSecond;
  when.it_value.tv_nsec = next % kNanosPerSecond;
  timerfd_settime(expiry_fd_, TFD_TIMER_ABSTIME, &when, nullptr);
  expiry_armed_ = next;
}

void Daemon::ArmTick() {
  const int64_t next = node_.NextTick();
  if (next == tick_armed_) return;
  tick_armed_ = next;
  if (next == 0) {
    uv_timer_stop(&tick_timer_);
    return;
  }
  const int64_t left = std::max<int64_t>(0, next - Clock::Real().MonotonicNanos());
  uv_update_time(&loop_.loop);
  uv_timer_start(
      &tick_timer_,
      [](uv_timer_t* timer) {
        Self(timer->data)->tick_armed_ = 0;
        Self(timer->data)->node_.Tick();
      },
      static_cast<uint64_t>(left / 1'000'000 + 1), 0);
}

}  // namespace het::daemon
