// Housekeeping: what hetd does by the clock, beside its answers: a sample of usage each second, the
// service manager's watchdog, and events about devices that fell ill or recovered.
//
// The watchdog is answered from the event loop, after the store answered: a loop that stands still
// or a store that hangs is a hetd that the manager should restart.
//
// Ownership: the daemon owns it and the loop outlives it. Threads: the loop's.
#ifndef HET_DAEMON_HOUSEKEEPING_H_
#define HET_DAEMON_HOUSEKEEPING_H_

#include <uv.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "daemon/arbiters.h"
#include "daemon/lease_book.h"
#include "daemon/statistics.h"
#include "daemon/usage_meter.h"
#include "daemon/usage_store.h"
#include "partition/ledger.h"

namespace het::daemon {

class Housekeeping {
 public:
  struct Parts {
    const Ledger& ledger;
    const LeaseBook& book;
    const Arbiters& arbiters;
    const Clock& clock;
    Statistics& statistics;
    std::string state_dir;
    std::function<void()> touch_store;  // a read of the lease store
    std::function<std::optional<double>(const std::string& device)> power_watts;
  };
  Housekeeping(uv_loop_t* loop, Parts parts) : loop_(loop), parts_(std::move(parts)) {}

  // Opens the history of usage (a failure is logged: leases matter more), starts the timers and
  // tells the service manager that hetd serves.
  void Start(const std::string& socket_path);
  void Stop();

  // Refused requests, for the report.
  void Refused(const absl::Status& status);
  absl::StatusOr<Stream> Report(const Caller& caller, const Json& parameters);

 private:
  void Tick();
  // Tells of devices that fell ill, were removed or are well again.
  struct SeenDevice {
    std::string uuid;
    std::string name;
    DeviceState state = DeviceState::kOk;
    std::string reason;
  };
  void WatchDevices();
  void Told(const SeenDevice& now);

  uv_loop_t* const loop_;
  const Parts parts_;
  std::unique_ptr<UsageStore> usage_store_;
  std::unique_ptr<UsageMeter> meter_;
  std::map<std::string, SeenDevice> device_states_;  // by UUID
  uv_timer_t sample_timer_;
  uv_timer_t watchdog_timer_;
  bool started_ = false;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_HOUSEKEEPING_H_
