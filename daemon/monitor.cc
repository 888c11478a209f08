#include "daemon/monitor.h"

#include <signal.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/log.h"

namespace het::daemon {
namespace {

constexpr size_t kMaxLineBytes = size_t{1} << 20;

void CloseTimer(uv_timer_t* timer) {
  uv_close(reinterpret_cast<uv_handle_t*>(timer),
           [](uv_handle_t* handle) { delete reinterpret_cast<uv_timer_t*>(handle); });
}

}  // namespace

// One child. Tells of its lines and of its end, until it is detached.
class Monitor::Child {
 public:
  Child(Monitor& monitor, Backend& backend) : monitor_(&monitor), backend_(&backend) {
    memset(&process_, 0, sizeof(process_));
    uv_pipe_init(monitor.loop_, &output_, 0);
    uv_timer_init(monitor.loop_, &silence_);
    output_.data = silence_.data = process_.data = this;
  }

  // Nothing, or why there is none; it is then gone.
  std::string Start() {
    const Options& options = monitor_->options_;
    std::vector<std::string> arguments = {options.probe, "--backend", backend_->name, "--watch",
                                          absl::StrCat(options.every_ms)};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    uv_stdio_container_t stdio[3];
    stdio[0].flags = UV_IGNORE;
    stdio[1].flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
    stdio[1].data.stream = reinterpret_cast<uv_stream_t*>(&output_);
    stdio[2].flags = UV_INHERIT_FD;
    stdio[2].data.fd = 2;
    uv_process_options_t spawn = {};
    spawn.file = options.probe.c_str();
    spawn.args = argv.data();
    spawn.stdio = stdio;
    spawn.stdio_count = 3;
    spawn.exit_cb = OnExit;
    if (const int error = uv_spawn(monitor_->loop_, &process_, &spawn); error != 0) {
      Detach();
      return absl::StrCat("cannot start ", options.probe, ": ", uv_strerror(error));
    }
    running_ = true;
    ArmSilence();
    uv_read_start(reinterpret_cast<uv_stream_t*>(&output_), OnAllocate, OnRead);
    return "";
  }

  // Says nothing any more, is killed and goes.
  void Detach() {
    if (monitor_ == nullptr) return;
    monitor_ = nullptr;
    if (running_) uv_process_kill(&process_, SIGKILL);
    uv_close(reinterpret_cast<uv_handle_t*>(&output_), OnClosed);
    uv_close(reinterpret_cast<uv_handle_t*>(&silence_), OnClosed);
    // A process handle that was never started is no handle. One that runs is closed at once: a
    // child that hangs in the kernel dies later or never.
    if (process_.type == UV_PROCESS) {
      uv_close(reinterpret_cast<uv_handle_t*>(&process_), OnClosed);
    } else {
      ++closed_;
    }
  }

 private:
  static Child* Of(void* data) { return static_cast<Child*>(data); }

  void ArmSilence() {
    uv_timer_start(
        &silence_,
        [](uv_timer_t* timer) {
          Child* child = Of(timer->data);
          child->Gone(absl::StrCat("the driver hangs: its probe said nothing for ",
                                   child->monitor_->options_.silence_ms, " ms and was killed"));
        },
        static_cast<uint64_t>(monitor_->options_.silence_ms), 0);
  }

  void Gone(const std::string& why) {
    if (monitor_ == nullptr) return;
    Monitor* monitor = monitor_;
    Backend* backend = backend_;
    Detach();
    monitor->OnGone(*backend, why);
  }

  static void OnExit(uv_process_t* process, int64_t status, int signal) {
    Child* child = Of(process->data);
    child->running_ = false;
    child->Gone(signal != 0   ? absl::StrCat("its probe crashed (", strsignal(signal), ")")
                : status != 0 ? absl::StrCat("its probe failed with exit code ", status)
                              : "");
  }

  static void OnAllocate(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
    *buffer = uv_buf_init(Of(handle->data)->block_, sizeof(block_));
  }

  static void OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
    Child* child = Of(stream->data);
    if (size < 0) {
      uv_read_stop(stream);  // its end is told by OnExit
      return;
    }
    child->text_.append(buffer->base, static_cast<size_t>(size));
    size_t end = 0;
    while (child->monitor_ != nullptr && (end = child->text_.find('\n')) != std::string::npos) {
      const std::string line = child->text_.substr(0, end);
      child->text_.erase(0, end + 1);
      child->ArmSilence();
      child->monitor_->OnLine(*child->backend_, line);
    }
    if (child->text_.size() > kMaxLineBytes) child->Gone("its probe prints nonsense");
  }

  static void OnClosed(uv_handle_t* handle) {
    Child* child = Of(handle->data);
    if (++child->closed_ == 3) delete child;
  }

  Monitor* monitor_;
  Backend* const backend_;
  uv_process_t process_;
  uv_pipe_t output_;
  uv_timer_t silence_;
  bool running_ = false;
  int closed_ = 0;
  std::string text_;
  char block_[4096];
};

void Monitor::Watch(const std::string& name, bool failing) {
  std::unique_ptr<Backend>& backend = backends_[name];
  if (backend == nullptr) {
    backend = std::make_unique<Backend>();
    backend->monitor = this;
    backend->name = name;
    backend->restart_ms = options_.first_restart_ms;
    backend->timer = new uv_timer_t;
    uv_timer_init(loop_, backend->timer);
    backend->timer->data = backend.get();
  } else if (!backend->silent_for_good || !failing) {
    backend->failing |= failing;
    return;  // a child is there, or will be
  }
  const bool is_new = !std::exchange(backend->silent_for_good, false);
  backend->failing = failing;
  if (is_new) {
    StartChild(*backend);
  } else {
    StartLater(*backend);  // it ended by itself and its devices still cannot be listed
  }
}

void Monitor::Stop() {
  for (auto& [name, backend] : backends_) {
    if (backend->child != nullptr) backend->child->Detach();
    CloseTimer(backend->timer);
  }
  backends_.clear();
}

void Monitor::StartChild(Backend& backend) {
  backend.child = new Child(*this, backend);
  const std::string why = backend.child->Start();
  if (!why.empty()) OnGone(backend, why);
}

void Monitor::OnLine(Backend& backend, absl::string_view line) {
  const auto json = ParseJson(line);
  if (!json.ok() || !json->is_object()) return;
  if (json->contains("unavailable")) {
    backend.silent_for_good = true;
    return Recovered(backend);
  }
  const auto list = json->find("telemetry");
  if (list == json->end() || !list->is_array()) return;
  std::vector<Telemetry> samples;
  for (const Json& entry : *list) {
    auto sample = TelemetryFromJson(entry);
    if (!sample.ok()) continue;
    latest_[sample->uuid] = *sample;
    samples.push_back(*std::move(sample));
  }
  backend.spoke = backend.spoke || !samples.empty();
  backend.restart_ms = options_.first_restart_ms;
  Recovered(backend);
  events_.on_sample(backend.name, samples);
}

void Monitor::Recovered(Backend& backend) {
  if (!std::exchange(backend.failing, false)) return;
  Log().info("backend {} answers again", backend.name);
  events_.on_return(backend.name);
}

void Monitor::OnGone(Backend& backend, const std::string& why) {
  backend.child = nullptr;
  if (backend.silent_for_good) return;
  if (why.empty()) {  // it ended by itself: it has nothing to tell
    backend.silent_for_good = true;
    return Recovered(backend);
  }
  if (!std::exchange(backend.failing, true)) {
    Log().warn("backend {}: {}", backend.name, why);
    events_.on_failure(backend.name, why);
  }
  StartLater(backend);
}

void Monitor::StartLater(Backend& backend) {
  const auto wait = static_cast<uint64_t>(backend.restart_ms);
  backend.restart_ms = std::min(backend.restart_ms * 2, options_.last_restart_ms);
  uv_timer_start(
      backend.timer,
      [](uv_timer_t* timer) {
        auto* backend = static_cast<Backend*>(timer->data);
        backend->monitor->StartChild(*backend);
      },
      wait, 0);
}

}  // namespace het::daemon
