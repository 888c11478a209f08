// Discovery: looks at the machine through het-probe children and keeps the list of devices up to
// date.
//
// First every backend at once, without measuring: the list is there in a fraction of a second, and
// a backend that hangs is killed after 5 s and listed as degraded. Then, one at a time so that they
// do not disturb each other, the backends with devices that nobody measured yet; the figures are
// kept in the store. hetd loads no driver for any of it.
//
// Ownership: the daemon owns it; it borrows loop and store. Threads: the loop's.
#ifndef HET_DAEMON_DISCOVERY_H_
#define HET_DAEMON_DISCOVERY_H_

#include <uv.h>

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "daemon/inventory.h"
#include "daemon/store.h"
#include "devices/device_info.h"

namespace het::daemon {

class Discovery {
 public:
  struct Options {
    std::string probe;                  // the het-probe binary
    std::vector<std::string> backends;  // empty: all that het-probe has
    std::string profile;                // of simulated devices; empty: none
    int64_t limit_ms = 5000;            // to enumerate
    int64_t measure_limit_ms = 30'000;
  };
  struct Events {
    std::function<void(std::vector<DeviceInfo>)> on_devices;  // a new list
    std::function<void()> on_measured;                        // and nothing left to measure
  };

  Discovery(uv_loop_t* loop, Store& store, Options options, Events events);

  // Looks at everything. `done` is called when the list is new; a scan that is under way is
  // finished first and then repeated.
  void Scan(std::function<void()> done = nullptr);
  // How the probe of each backend ended, last time.
  const std::vector<ProbeResult>& results() const { return results_; }

 private:
  void Begin();
  void Enumerate(std::vector<std::string> backends);
  void OnBackend(size_t index, absl::StatusOr<std::string> output);
  void OnEnumerated();
  void ApplyKnownRates(std::vector<DeviceInfo>& devices);
  void MeasureNext();
  void OnMeasured(const std::string& backend, absl::StatusOr<std::string> output);
  std::vector<std::string> Arguments(const std::string& backend, bool measure) const;

  uv_loop_t* const loop_;
  Store& store_;
  const Options options_;
  const Events events_;
  std::vector<ProbeResult> results_;
  size_t outstanding_ = 0;
  bool scanning_ = false;
  std::vector<std::function<void()>> waiting_;  // for the scan that is under way
  std::vector<std::function<void()>> next_;     // for the one after it
  std::vector<DeviceInfo> devices_;
  std::deque<std::string> to_measure_;  // backends
  bool measuring_ = false;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_DISCOVERY_H_
