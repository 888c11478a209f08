// Discovery: looks at the machine through het-probe children and keeps the list of devices up to
// date.
//
// First every backend at once, without measuring: the list is there in a fraction of a second, and
// a backend that hangs is killed after 5 s and listed as degraded. Then, one at a time so that they
// do not disturb each other, the backends with devices that nobody measured yet; the figures are
// kept in the store. hetd loads no driver for any of it.
//
// Then, every few seconds, the backends that have devices which can be lost (those that are no host
// processors): a device that is gone is degraded, one that is back is fine again, without a
// restart. A child that could not be killed is left to its driver, and its backend is not tried
// again until it is gone.
//
// Ownership: the node owns it; it borrows environment and store. Threads: the loop's.
#ifndef HET_DAEMON_DISCOVERY_H_
#define HET_DAEMON_DISCOVERY_H_

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daemon/environment.h"
#include "daemon/inventory.h"
#include "daemon/store.h"
#include "devices/device_info.h"

namespace het::daemon {

class Discovery {
 public:
  struct Options {
    std::string probe;                  // the het-probe binary
    std::vector<std::string> backends;  // empty: all that were built in
    std::string profile;                // of simulated devices; empty: none
    int64_t limit_ms = 5000;            // to enumerate
    int64_t measure_limit_ms = 30'000;
    int64_t check_ms = 3000;  // between two looks at devices that can be lost; 0: none
  };
  struct Events {
    std::function<void(std::vector<DeviceInfo>)> on_devices;  // a new list
    std::function<void()> on_measured;                        // and nothing left to measure
    // Whether somebody else sees when this backend's devices are lost; may be null.
    std::function<bool(const std::string& backend)> watched;
  };

  Discovery(Environment& environment, Store& store, Options options, Events events);

  // Looks at everything. `done` is called when the list is new; a scan that is under way is
  // finished first and then repeated.
  void Scan(std::function<void()> done = nullptr);
  // Looks whether devices were lost or came back, if it is time for that.
  void CheckIfDue();
  // How the probe of each backend ended, last time.
  const std::vector<ProbeResult>& results() const { return results_; }
  // CLOCK_MONOTONIC nanoseconds; 0: there is nothing to look at.
  int64_t NextCheck() const;

 private:
  void Begin();
  void Enumerate(const std::vector<std::string>& backends);
  void OnBackend(const std::string& backend, absl::StatusOr<std::string> output);
  // Backends with devices that can be lost.
  std::vector<std::string> Losable() const;
  void Probe(const std::string& backend, bool measure,
             std::function<void(absl::StatusOr<std::string>)> done);
  void OnEnumerated();
  void ApplyKnownRates(std::vector<DeviceInfo>& devices);
  void MeasureNext();
  void OnMeasured(const std::string& backend, absl::StatusOr<std::string> output);
  std::vector<std::string> Arguments(const std::string& backend, bool measure) const;

  Environment& environment_;
  Store& store_;
  const Options options_;
  const Events events_;
  std::vector<ProbeResult> results_;      // of every backend, the latest
  std::map<std::string, int> abandoned_;  // by backend: children that were given up and still hang
  size_t outstanding_ = 0;
  bool complete_ = false;  // the scan is of every backend
  int64_t last_look_ = 0;  // CLOCK_MONOTONIC nanoseconds
  bool scanning_ = false;
  std::vector<std::function<void()>> waiting_;  // for the scan that is under way
  std::vector<std::function<void()>> next_;     // for the one after it
  std::vector<DeviceInfo> devices_;
  std::deque<std::string> to_measure_;  // backends
  std::set<std::string> attempted_;     // to measure, by key: not again before the next full scan
  bool measuring_ = false;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_DISCOVERY_H_
