// Daemon: the node with the real machine under it: lock, store, sockets, processes, children, and
// the loop they live on.
//
// Start makes it ready to serve (the sockets are there); Run serves until SIGTERM, SIGINT or Stop.
// SIGHUP looks at the machine again. Leases outlive it: they are in the store. Threads: one.
#ifndef HET_DAEMON_DAEMON_H_
#define HET_DAEMON_DAEMON_H_

#include <uv.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "daemon/config.h"
#include "daemon/discovery.h"
#include "daemon/environment.h"
#include "daemon/health.h"
#include "daemon/instance_lock.h"
#include "daemon/node.h"
#include "daemon/process_watch.h"
#include "daemon/server.h"
#include "daemon/store.h"

namespace het::daemon {

struct DaemonOptions {
  std::string runtime_dir;  // het.sock, admin.sock and the lock
  std::string state_dir;    // the store
  Discovery::Options discovery;
  Config config;
};

class Daemon {
 public:
  // FailedPrecondition when another hetd serves the directory; what Store::Open says.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(DaemonOptions options);
  ~Daemon();

  void Run();
  const std::string& socket_path() const { return socket_path_; }

 private:
  // First made, last closed: everything else lives on it.
  struct Loop {
    Loop() { uv_loop_init(&loop); }
    // What is still open then is a probe whose child hangs; the process ends with it.
    ~Loop() { uv_loop_close(&loop); }
    uv_loop_t loop;
  };

  Daemon(DaemonOptions options, InstanceLock lock, std::unique_ptr<Store> store);
  static Daemon* Self(void* data);
  NodeOverlay Overlay();
  Health::Options HealthOptions() const;
  absl::Status Begin();
  absl::Status StartHandles();
  void Stop();
  // Before and after the loop waits: makes everything of this turn durable and answers it.
  void EndTurn();
  void ArmExpiry();
  void ArmTick();

  const DaemonOptions options_;
  const std::string socket_path_;
  InstanceLock lock_;
  std::unique_ptr<Store> store_;
  Loop loop_;
  ProcessWatch watch_;
  std::unique_ptr<Environment> environment_;
  Node node_;
  Health health_;
  Server server_;

  uv_prepare_t prepare_;
  uv_check_t check_;
  uv_poll_t expiry_poll_;  // of expiry_fd_, a timer on CLOCK_BOOTTIME
  uv_timer_t tick_timer_;
  uv_signal_t signals_[3];
  int expiry_fd_ = -1;
  bool stopped_ = false;
  int64_t expiry_armed_ = 0;
  int64_t tick_armed_ = 0;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_DAEMON_H_
