#include "bench/sharing/bench_daemon.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/files.h"

namespace het::bench {
namespace {

// hetd of the build that this program is of.
std::string HetdPath() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path().parent_path() / "bin" / "hetd").string();
}

}  // namespace

absl::StatusOr<std::unique_ptr<BenchDaemon>> BenchDaemon::Open() {
  std::unique_ptr<BenchDaemon> daemon(new BenchDaemon);
  if (const char* socket = std::getenv("HET_SOCKET")) {
    daemon->socket_ = socket;
    return daemon;
  }
  char path[] = "/tmp/het_share_XXXXXX";
  if (mkdtemp(path) == nullptr) return ErrnoStatus(errno, "make a temporary directory");
  daemon->directory_ = path;
  daemon->socket_ = absl::StrCat(path, "/het.sock");
  daemon->pid_ = fork();
  if (daemon->pid_ < 0) return ErrnoStatus(errno, "fork hetd");
  if (daemon->pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::string log = absl::StrCat(path, "/hetd.log");
    if (freopen(log.c_str(), "w", stderr) == nullptr || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
      _exit(126);
    }
    execl(HetdPath().c_str(), "hetd", "--runtime-dir", path, "--state-dir", path, nullptr);
    _exit(127);
  }
  return daemon;
}

BenchDaemon::~BenchDaemon() {
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  std::error_code error;
  if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
}

}  // namespace het::bench
