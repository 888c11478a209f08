// Monitor: the health of devices while hetd runs. One het-probe child per backend stays alive and
// prints what the sensors say once a second. A child that is silent too long is killed: its driver
// hangs. One that dies had a driver that crashes. Either is reported once, and the child started
// again, later each time; when it speaks again that is reported too, so that a device becomes
// healthy without a restart of anything. A child that ends by itself has no sensors to tell
// of and is left alone.
//
// Ownership: the daemon owns it; it borrows the loop. Threads: the loop's. Stop before the loop is
// closed; it kills the children.
#ifndef HET_DAEMON_MONITOR_H_
#define HET_DAEMON_MONITOR_H_

#include <uv.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "devices/telemetry.h"

namespace het::daemon {

class Monitor {
 public:
  struct Options {
    std::string probe;  // the het-probe binary
    int64_t every_ms = 1000;
    int64_t silence_ms = 5000;
    int64_t first_restart_ms = 1000;  // doubled each time
    int64_t last_restart_ms = 60'000;
  };
  struct Events {
    std::function<void(const std::string& backend, const std::vector<Telemetry>&)> on_sample;
    std::function<void(const std::string& backend, const std::string& why)> on_failure;
    std::function<void(const std::string& backend)> on_return;  // after a failure
  };

  Monitor(uv_loop_t* loop, Options options, Events events)
      : loop_(loop), options_(std::move(options)), events_(std::move(events)) {}
  ~Monitor() { Stop(); }

  // Starts a child for every backend that has none. `failing`: its probe failed just now, so its
  // first line is a return.
  void Watch(const std::string& backend, bool failing);
  void Stop();
  // Whether its sensors told of this backend's devices, and are asked on.
  bool Watches(const std::string& backend) const {
    const auto entry = backends_.find(backend);
    return entry != backends_.end() && entry->second->spoke && !entry->second->silent_for_good;
  }

  // The last sample of every device, by UUID.
  const std::map<std::string, Telemetry>& latest() const { return latest_; }

 private:
  class Child;
  struct Backend {
    Monitor* monitor = nullptr;
    std::string name;
    Child* child = nullptr;  // frees itself when libuv has closed its handles
    uv_timer_t* timer = nullptr;
    int64_t restart_ms = 0;
    bool failing = false;
    bool spoke = false;            // has sensors
    bool silent_for_good = false;  // has none
  };

  void StartChild(Backend& backend);
  void StartLater(Backend& backend);
  void OnLine(Backend& backend, absl::string_view line);
  void OnGone(Backend& backend, const std::string& why);
  void Recovered(Backend& backend);

  uv_loop_t* const loop_;
  const Options options_;
  const Events events_;
  std::map<std::string, std::unique_ptr<Backend>> backends_;
  std::map<std::string, Telemetry> latest_;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_MONITOR_H_
