// Trace: when which stage of a pipeline computed or was sent which item, written to the file that
// $HET_TRACE names, a JSON object per line; `hetctl trace` makes a timeline of it. Without
// $HET_TRACE nothing is recorded and nothing is paid.
//
// Threads: all members are thread-safe. A file that cannot be written is one warning in the log.
#ifndef HET_RUNTIME_TRACE_H_
#define HET_RUNTIME_TRACE_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace het::runtime {

class Trace {
 public:
  // Null without $HET_TRACE. Lives as long as the process.
  static Trace* FromEnvironment();

  struct Span {
    uint64_t pipeline = 0;  // a number of this process's
    uint32_t stage = 0;
    absl::string_view name;    // of the stage
    absl::string_view device;  // its name
    bool transfer = false;     // on the way into the stage; else its computation
    uint64_t item = 0;
    int64_t begin_ns = 0;  // CLOCK_MONOTONIC, or the virtual time of simulated devices
    int64_t end_ns = 0;
    bool virtual_time = false;
    bool failed = false;
  };
  void Add(const Span& span) ABSL_LOCKS_EXCLUDED(mutex_);
  void Flush() ABSL_LOCKS_EXCLUDED(mutex_);
  static uint64_t NewPipeline();

 private:
  explicit Trace(std::string path);
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  absl::Mutex mutex_;
  int fd_ ABSL_GUARDED_BY(mutex_) = -1;
  std::string lines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_TRACE_H_
