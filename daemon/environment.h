// Environment: what the node needs of the machine besides its disk and its clients: time,
// processes, children. hetd's own is in daemon.cc; tests bring one in which all of it is simulated.
//
// Threads: one, the loop's. Callbacks come on it.
#ifndef HET_DAEMON_ENVIRONMENT_H_
#define HET_DAEMON_ENVIRONMENT_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "daemon/process.h"
#include "devices/device_info.h"

namespace het::daemon {

struct ProbeCommand {
  std::string binary;
  std::vector<std::string> arguments;
  int64_t limit_ms = 5000;
};

// What the child printed on stdout (at most 4 MiB); DeadlineExceeded when it was killed, Internal
// when it crashed or failed, Unavailable when it could not be started.
using OnProbed = std::function<void(absl::StatusOr<std::string>)>;

class Environment {
 public:
  virtual ~Environment() = default;

  virtual const Clock& clock() const = 0;
  // A UUID that nobody had before.
  virtual std::string NewId() = 0;
  virtual std::string BootId() const = 0;

  virtual bool IsAlive(const ProcessId& process) const = 0;
  // From now on Node::OnProcessEnded is called when it ends. NotFound: it has ended already.
  virtual absl::Status Watch(const ProcessId& process) = 0;
  virtual void ForgetUnless(const std::function<bool(const ProcessId&)>& keep) = 0;

  // Starts a child. `done` comes once, at the latest after the command's limit, and at once when
  // the child cannot be started. `gone` comes when the child is gone: before `done`, unless the
  // child was killed for its time, and never when it hangs in its driver.
  virtual void StartProbe(const ProbeCommand& command, OnProbed done,
                          std::function<void()> gone) = 0;
  // Accelerators on a bus, whether a driver is there or not.
  virtual std::vector<DeviceInfo> ScanBus() = 0;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_ENVIRONMENT_H_
