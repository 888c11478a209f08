// Connection: a worker process and the calls to it. When the worker dies (a crash of the driver in
// it) every call that is under way and every later one is DataLoss, with what the worker died of:
// for those who use its devices the device was lost, and nobody else notices.
//
// Ownership: shared by what was made through it; the last one ends the worker. Threads: all members
// are thread-safe.
#ifndef HET_RUNTIME_ISOLATION_CONNECTION_H_
#define HET_RUNTIME_ISOLATION_CONNECTION_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "runtime/isolation/wire.h"

namespace het::runtime::isolation {

class Connection {
 public:
  // Starts `program` with `arguments` and "--fd N", its end of the socket. `name` stands in
  // messages.
  static absl::StatusOr<std::shared_ptr<Connection>> Start(const std::string& program,
                                                           std::vector<std::string> arguments,
                                                           std::string name);
  ~Connection();

  // Blocks for the answer. DeadlineExceeded when it does not come in time: the driver hangs. The
  // worker is then killed.
  absl::StatusOr<std::string> Call(Verb verb, std::string payload, int descriptor = -1);
  // No answer; where the worker is gone nothing happens.
  void Tell(Verb verb, std::string payload);

  // OK, or why there is no worker any more.
  absl::Status status() const;
  pid_t pid() const { return pid_; }

 private:
  using Done = std::function<void(absl::StatusOr<std::string>)>;

  Connection(int socket, pid_t pid, std::string name);
  void Read();
  void Fail(const absl::Status& status);
  void SendOne(const Message& message);

  const int socket_;
  const pid_t pid_;
  const std::string name_;

  absl::Mutex send_mutex_;
  mutable absl::Mutex mutex_;
  std::map<uint64_t, Done> waiting_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread reader_;
};

}  // namespace het::runtime::isolation

#endif  // HET_RUNTIME_ISOLATION_CONNECTION_H_
