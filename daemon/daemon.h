// Daemon: hetd put together: lock, store, books, discovery, connections, and the loop they live on.
//
// Start makes it ready to serve (the socket is there); Run serves until SIGTERM, SIGINT or Stop.
// SIGHUP looks at the machine again. Leases outlive it: they are in the store. Threads: one.
#ifndef HET_DAEMON_DAEMON_H_
#define HET_DAEMON_DAEMON_H_

#include <uv.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "daemon/arbiters.h"
#include "daemon/config.h"
#include "daemon/discovery.h"
#include "daemon/housekeeping.h"
#include "daemon/instance_lock.h"
#include "daemon/lease_book.h"
#include "daemon/methods.h"
#include "daemon/process_watch.h"
#include "daemon/server.h"
#include "daemon/store.h"
#include "partition/ledger.h"

namespace het::daemon {

struct DaemonOptions {
  std::string runtime_dir;  // het.sock and the lock
  std::string state_dir;    // the store
  Discovery::Options discovery;
  Server::Limits limits;
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
  absl::Status Begin();
  absl::Status StartHandles();
  void Stop();
  void SetDevices(std::vector<DeviceInfo> devices);
  // Cuts the slices of hetd.toml that are not there yet.
  void CutNamedSlices();
  // Before and after the loop waits: makes everything of this turn durable and answers it.
  void EndTurn();
  void ArmExpiry();
  void ArmLine();
  void ArmStoreRetry();
  void ArmBeat();

  const DaemonOptions options_;
  const Clock& clock_ = Clock::Real();
  const std::string socket_path_;
  InstanceLock lock_;
  std::unique_ptr<Store> store_;
  Loop loop_;
  Ledger ledger_;
  LeaseBook book_;
  Arbiters arbiters_;
  Housekeeping housekeeping_;
  Methods methods_;
  Server server_;
  ProcessWatch watch_;
  Discovery discovery_;
  Methods::Known known_;

  uv_prepare_t prepare_;
  uv_check_t check_;
  uv_poll_t expiry_poll_;   // of expiry_fd_, a timer on CLOCK_BOOTTIME
  uv_timer_t line_timer_;   // somebody who waits gives up
  uv_timer_t store_timer_;  // runs while the store cannot be written
  uv_timer_t beat_timer_;   // runs while processes are attached: they see that hetd lives
  uv_signal_t signals_[3];
  int expiry_fd_ = -1;
  bool stopped_ = false;
  int64_t expiry_armed_ = 0;
  int64_t line_armed_ = 0;
  uint64_t changes_seen_ = 0;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_DAEMON_H_
