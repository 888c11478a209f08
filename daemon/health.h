// Health: what is laid over the devices that discovery found: where they sit (Machine), and whether
// they are well now (Monitor). It also looks at the bus every two seconds and has discovery look
// again when something was plugged in or pulled out, when a card appears in or vanishes from a
// driver's list, and when a driver that hung or crashed answers again.
//
// Ownership: the daemon owns it; it borrows loop and discovery. Threads: the loop's.
#ifndef HET_DAEMON_HEALTH_H_
#define HET_DAEMON_HEALTH_H_

#include <uv.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/discovery.h"
#include "daemon/machine.h"
#include "daemon/monitor.h"

namespace het::daemon {

class Health {
 public:
  struct Options {
    Monitor::Options monitor;
    Machine::Options machine;
    uint64_t bus_ms = 2000;
    std::string bus_root;  // in front of /sys, /dev and /etc
  };

  // `on_change`: Apply would give something else now.
  Health(uv_loop_t* loop, Options options, Discovery& discovery, std::function<void()> on_change);

  void Start();
  void Stop();

  // Discovery has a new list.
  void OnScanned(const std::vector<DeviceInfo>& devices);
  // Sets places, and the state of devices that are not well.
  void Apply(std::vector<DeviceInfo>& devices) const;

  // Whether this backend's devices are looked after all the time, by their sensors.
  bool Watches(const std::string& backend) const { return monitor_.Watches(backend); }

  Machine& machine() { return machine_; }
  const Machine& machine() const { return machine_; }
  // What its sensors said last that this device takes; nullopt: it has none.
  std::optional<double> PowerWatts(const std::string& uuid) const;
  // What the sensors said last of these devices, as JSON rows.
  std::vector<Json> TelemetryRows(const std::vector<DeviceInfo>& devices) const;

 private:
  void OnSample(const std::string& backend, const std::vector<Telemetry>& samples);
  void OnFailure(const std::string& backend, const std::string& why);
  void OnReturn(const std::string& backend);
  void LookAtBus();

  const Options options_;
  Discovery& discovery_;
  const std::function<void()> on_change_;
  Machine machine_;
  Monitor monitor_;
  uv_timer_t bus_timer_;
  std::string fingerprint_;
  std::map<std::string, std::set<std::string>> known_;  // UUIDs of the last scan, by backend
  // UUIDs that a backend's sensors told of when a scan was asked for: not asked for again.
  std::map<std::string, std::set<std::string>> asked_;
  std::map<std::string, std::string> faults_;    // by UUID
  std::map<std::string, std::string> failures_;  // by backend
  bool stopped_ = false;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_HEALTH_H_
