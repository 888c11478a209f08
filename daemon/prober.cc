#include "daemon/prober.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace het::daemon {
namespace {

constexpr size_t kMaxOutput = size_t{4} << 20;

// One child. Reports when the child has exited and its output is read, or when its time is over;
// frees itself when it has exited and libuv has closed its three handles.
class Run {
 public:
  static void Start(uv_loop_t* loop, const ProbeCommand& command, OnProbed done,
                    std::function<void()> gone) {
    auto* run = new Run(command, std::move(done), std::move(gone));
    uv_pipe_init(loop, &run->output_, 0);
    uv_timer_init(loop, &run->timer_);
    run->output_.data = run->timer_.data = run->process_.data = run;
    const int error = run->Spawn(loop);
    if (error != 0) {
      run->exited_ = run->read_all_ = true;
      run->failure_ = absl::UnavailableError(
          absl::StrCat("cannot start ", command.binary, ": ", uv_strerror(error)));
      run->MaybeFinish();
      return;
    }
    uv_timer_start(&run->timer_, OnTimeout, static_cast<uint64_t>(command.limit_ms), 0);
    uv_read_start(reinterpret_cast<uv_stream_t*>(&run->output_), OnAllocate, OnRead);
  }

 private:
  Run(ProbeCommand command, OnProbed done, std::function<void()> gone)
      : command_(std::move(command)), done_(std::move(done)), gone_(std::move(gone)) {
    memset(&process_, 0, sizeof(process_));
  }

  int Spawn(uv_loop_t* loop) {
    std::vector<char*> argv = {command_.binary.data()};
    for (std::string& argument : command_.arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    uv_stdio_container_t stdio[3];
    stdio[0].flags = UV_IGNORE;
    stdio[1].flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
    stdio[1].data.stream = reinterpret_cast<uv_stream_t*>(&output_);
    stdio[2].flags = UV_INHERIT_FD;
    stdio[2].data.fd = STDERR_FILENO;
    uv_process_options_t options = {};
    options.file = command_.binary.c_str();
    options.args = argv.data();
    options.stdio = stdio;
    options.stdio_count = 3;
    options.exit_cb = OnExit;
    return uv_spawn(loop, &process_, &options);
  }

  static Run* Of(void* data) { return static_cast<Run*>(data); }

  static void OnTimeout(uv_timer_t* timer) {
    Run* run = Of(timer->data);
    run->failure_ = absl::DeadlineExceededError(
        absl::StrCat("the probe did not answer in ", run->command_.limit_ms, " ms and was killed"));
    uv_process_kill(&run->process_, SIGKILL);
    // A child that hangs in the kernel dies later or never, and one of its own children may hold
    // the pipe open: nobody waits for them.
    run->Report();
    run->read_all_ = true;
    run->MaybeFinish();
  }

  static void OnExit(uv_process_t* process, int64_t status, int signal) {
    Run* run = Of(process->data);
    run->exited_ = true;
    if (run->failure_.ok() && signal != 0) {
      run->failure_ = absl::InternalError(
          absl::StrCat("the probe crashed (", strsignal(signal), "); the driver is broken"));
    } else if (run->failure_.ok() && status != 0) {
      run->failure_ = absl::InternalError(absl::StrCat("the probe failed with exit code ", status));
    }
    run->MaybeFinish();
  }

  static void OnAllocate(uv_handle_t* handle, size_t /*suggested*/, uv_buf_t* buffer) {
    Run* run = Of(handle->data);
    *buffer = uv_buf_init(run->block_, sizeof(run->block_));
  }

  static void OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
    Run* run = Of(stream->data);
    if (size > 0) {
      run->text_.append(buffer->base, static_cast<size_t>(size));
      if (run->text_.size() <= kMaxOutput) return;
      run->failure_ = absl::InternalError("the probe printed more than 4 MiB");
      uv_process_kill(&run->process_, SIGKILL);
    }
    if (size == 0) return;
    uv_read_stop(stream);
    run->read_all_ = true;
    run->MaybeFinish();
  }

  void Report() {
    if (reported_) return;
    reported_ = true;
    done_(failure_.ok() ? absl::StatusOr<std::string>(std::move(text_)) : failure_);
  }

  void MaybeFinish() {
    if (!exited_ || !read_all_ || finished_) return;
    finished_ = true;
    if (gone_) gone_();
    Report();
    uv_close(reinterpret_cast<uv_handle_t*>(&output_), OnClosed);
    uv_close(reinterpret_cast<uv_handle_t*>(&timer_), OnClosed);
    // A process handle that was never started is no handle.
    if (process_.type == UV_PROCESS) {
      uv_close(reinterpret_cast<uv_handle_t*>(&process_), OnClosed);
    } else {
      ++closed_;
    }
  }

  static void OnClosed(uv_handle_t* handle) {
    Run* run = Of(handle->data);
    if (++run->closed_ == 3) delete run;
  }

  ProbeCommand command_;
  const OnProbed done_;
  const std::function<void()> gone_;
  uv_process_t process_;
  uv_pipe_t output_;
  uv_timer_t timer_;
  char block_[8192];
  std::string text_;
  absl::Status failure_;
  bool exited_ = false;
  bool read_all_ = false;
  bool reported_ = false;
  bool finished_ = false;
  int closed_ = 0;
};

}  // namespace

std::string ProbeBinary() {
  if (const char* chosen = std::getenv("HET_PROBE"); chosen != nullptr && *chosen != '\0') {
    return chosen;
  }
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  if (size <= 0) return "het-probe";
  const std::string self(path, static_cast<size_t>(size));
  return self.substr(0, self.rfind('/') + 1) + "het-probe";
}

void StartProbe(uv_loop_t* loop, const ProbeCommand& command, OnProbed done,
                std::function<void()> gone) {
  Run::Start(loop, command, std::move(done), std::move(gone));
}

}  // namespace het::daemon
