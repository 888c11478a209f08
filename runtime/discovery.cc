#include "runtime/discovery.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/status.h"
#include "devices/registry.h"

extern char** environ;

namespace het::runtime {
namespace {

constexpr int kProbeTimeoutMs = 5000;
constexpr size_t kMaxAnswerBytes = size_t{1} << 20;

int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool IsProgram(const std::string& path) { return access(path.c_str(), X_OK) == 0; }

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// A child whose standard output is read. The destructor kills and reaps it.
class Child {
 public:
  ~Child() {
    if (output_ >= 0) close(output_);
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      Reap();
    }
  }

  absl::Status Start(const std::string& program, const std::string& backend) {
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot make a pipe");
    output_ = pipe_ends[0];
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
    // What a driver prints is no business of the program that uses libhet.
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const std::string arguments[] = {program, "--backend", backend};
    char* argv[4] = {};
    for (int i = 0; i < 3; ++i) argv[i] = const_cast<char*>(arguments[i].c_str());
    const int error = posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_ends[1]);
    if (error != 0) {
      pid_ = -1;
      return ErrnoStatus(error, absl::StrCat("cannot run ", program));
    }
    return absl::OkStatus();
  }

  // Everything it prints until it closes its output.
  absl::StatusOr<std::string> ReadAll(int timeout_ms) {
    const int64_t deadline = NowMs() + timeout_ms;
    std::string text;
    char buffer[4096];
    for (;;) {
      const int64_t left = deadline - NowMs();
      pollfd waiting{output_, POLLIN, 0};
      const int ready = left > 0 ? poll(&waiting, 1, static_cast<int>(left)) : 0;
      if (ready < 0 && errno == EINTR) continue;
      if (ready <= 0) {
        return absl::DeadlineExceededError(absl::StrCat("no answer in ", timeout_ms, " ms"));
      }
      const ssize_t got = read(output_, buffer, sizeof(buffer));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(errno, "cannot read a probe's answer");
      if (got == 0) return text;
      text.append(buffer, static_cast<size_t>(got));
      if (text.size() > kMaxAnswerBytes) return absl::InternalError("the answer is too long");
    }
  }

  // Waits for its end (its output is closed already). The status of waitpid.
  int Reap() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
};

absl::StatusOr<std::vector<DeviceInfo>> EnumerateHere(const std::string& backend,
                                                      const DriverOptions& options) {
  HET_ASSIGN_OR_RETURN(const std::unique_ptr<Driver> driver, CreateDriver(backend, options));
  return driver->Enumerate();
}

std::string FindProgram(const std::string& name) {
  if (const char* directory = std::getenv("HET_PROBE_DIR"); directory != nullptr && *directory) {
    const std::string path = absl::StrCat(directory, name);
    return IsProgram(path) ? path : "";
  }
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&FindProbe), &self) != 0 && self.dli_fname != nullptr) {
    const std::string path = absl::StrCat(DirectoryOf(self.dli_fname), "/../bin", name);
    if (IsProgram(path)) return path;
  }
  if (const char* search = std::getenv("PATH"); search != nullptr) {
    for (absl::string_view directory : absl::StrSplit(search, ':', absl::SkipEmpty())) {
      const std::string path = absl::StrCat(directory, name);
      if (path[0] == '/' && IsProgram(path)) return path;
    }
  }
  return "";
}

}  // namespace

std::string FindProbe() { return FindProgram("/het-probe"); }

std::string FindWorker() { return FindProgram("/het-worker"); }

absl::StatusOr<std::vector<DeviceInfo>> ProbeBackend(const std::string& probe,
                                                     const std::string& backend) {
  Child child;
  HET_RETURN_IF_ERROR(child.Start(probe, backend));
  HET_ASSIGN_OR_RETURN(const std::string text, child.ReadAll(kProbeTimeoutMs));
  const int status = child.Reap();
  if (WIFSIGNALED(status)) {
    return absl::InternalError(
        absl::StrCat("the probe of ", backend, " died of signal ", WTERMSIG(status)));
  }
  HET_ASSIGN_OR_RETURN(const Json answer, ParseJson(text));
  HET_ASSIGN_OR_RETURN(const std::string reason, JsonString(answer, "unavailable"));
  if (!reason.empty()) return absl::UnavailableError(reason);
  const auto list = answer.find("devices");
  if (list == answer.end() || !list->is_array()) {
    return absl::InternalError(absl::StrCat("the probe of ", backend, " gave no list of devices"));
  }
  std::vector<DeviceInfo> devices;
  for (const Json& json : *list) {
    HET_ASSIGN_OR_RETURN(DeviceInfo device, DeviceInfoFromJson(json));
    devices.push_back(std::move(device));
  }
  return devices;
}

absl::StatusOr<std::vector<DeviceInfo>> DiscoverDevices(const std::string& simulate) {
  std::vector<DeviceInfo> devices;
  const std::string probe = FindProbe();
  for (const std::string& backend : BackendNames()) {
    if (backend == "simulated") continue;
    absl::StatusOr<std::vector<DeviceInfo>> found =
        probe.empty() ? EnumerateHere(backend, {}) : ProbeBackend(probe, backend);
    if (!found.ok()) {
      Log().info("backend {}: {}", backend, found.status().ToString());
      continue;
    }
    devices.insert(devices.end(), std::make_move_iterator(found->begin()),
                   std::make_move_iterator(found->end()));
  }
  if (!simulate.empty()) {
    DriverOptions options;
    options.settings["profile"] = simulate;
    absl::StatusOr<std::vector<DeviceInfo>> found = EnumerateHere("simulated", options);
    if (!found.ok()) return Annotate(found.status(), absl::StrCat("simulate ", simulate));
    devices.insert(devices.end(), std::make_move_iterator(found->begin()),
                   std::make_move_iterator(found->end()));
  }
  return devices;
}

}  // namespace het::runtime
