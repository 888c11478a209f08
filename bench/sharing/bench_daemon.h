// BenchDaemon: the hetd that a benchmark talks to: the one that HET_SOCKET names, or one of this
// build's own in a temporary directory, which goes with the object. It may not answer yet, nor have
// found its devices, when Open returns.
//
// Threads: one. Forks: before the caller has threads.
#ifndef HET_BENCH_SHARING_BENCH_DAEMON_H_
#define HET_BENCH_SHARING_BENCH_DAEMON_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace het::bench {

class BenchDaemon {
 public:
  static absl::StatusOr<std::unique_ptr<BenchDaemon>> Open();
  ~BenchDaemon();
  const std::string& socket() const { return socket_; }

 private:
  BenchDaemon() = default;
  std::string directory_;  // empty: somebody else's daemon
  std::string socket_;
  pid_t pid_ = -1;
};

}  // namespace het::bench

#endif  // HET_BENCH_SHARING_BENCH_DAEMON_H_
