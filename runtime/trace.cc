#include "runtime/trace.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/json.h"
#include "base/log.h"

namespace het::runtime {
namespace {

constexpr size_t kBufferBytes = size_t{64} << 10;

}  // namespace

Trace* Trace::FromEnvironment() {
  // Never destroyed: threads of the library may outlive main. Written out at its end all the same.
  static Trace* const trace = []() -> Trace* {
    const char* path = std::getenv("HET_TRACE");
    if (path == nullptr || *path == '\0') return nullptr;
    std::atexit([] { FromEnvironment()->Flush(); });
    return new Trace(path);
  }();
  return trace;
}

Trace::Trace(std::string path) : path_(std::move(path)) {
  absl::MutexLock lock(&mutex_);
  // Several processes of one run may share the file: whole lines are appended.
  fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) Log().warn("no trace: cannot open {}: {}", path_, strerror(errno));
}

uint64_t Trace::NewPipeline() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

void Trace::Add(const Span& span) {
  const Json json = {{"pid", getpid()},
                     {"pipeline", span.pipeline},
                     {"stage", span.stage},
                     {"name", std::string(span.name)},
                     {"device", std::string(span.device)},
                     {"kind", span.transfer ? "transfer" : "compute"},
                     {"item", span.item},
                     {"beginNs", span.begin_ns},
                     {"endNs", span.end_ns},
                     {"virtualTime", span.virtual_time},
                     {"failed", span.failed}};
  const std::string line = PrintJson(json) + "\n";
  absl::MutexLock lock(&mutex_);
  lines_ += line;
  if (lines_.size() >= kBufferBytes) Write();
}

void Trace::Flush() {
  absl::MutexLock lock(&mutex_);
  Write();
}

void Trace::Write() {
  if (fd_ >= 0 && !lines_.empty() &&
      write(fd_, lines_.data(), lines_.size()) != static_cast<ssize_t>(lines_.size())) {
    Log().warn("the trace {} ends here: {}", path_, strerror(errno));
    close(fd_);
    fd_ = -1;
  }
  lines_.clear();
}

}  // namespace het::runtime
