// Machine: where the devices of this node sit (the tree, read by a het-probe child) and how fast
// bytes get from one to another. Links are measured when somebody first asks for them, a child per
// pair of backends and one at a time, and kept in a file: the next hetd, and the next driver of the
// same version, need not measure again.
//
// hetd can also see that devices came or went: Fingerprint changes with the bus, the device nodes
// and the installed OpenCL drivers, and costs microseconds.
//
// Ownership: the daemon owns it; it borrows the loop. Threads: the loop's.
#ifndef HET_DAEMON_MACHINE_H_
#define HET_DAEMON_MACHINE_H_

#include <uv.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "devices/device_info.h"
#include "devices/topology.h"

namespace het::daemon {

class Machine {
 public:
  struct Options {
    std::string probe;    // the het-probe binary
    std::string file;     // where links are kept; empty: nowhere
    std::string profile;  // of simulated devices
    int64_t read_limit_ms = 5000;
    int64_t measure_limit_ms = 60'000;
  };

  Machine(uv_loop_t* loop, Options options);

  // Reads the tree; `done` is called whether it could be read or not.
  void Read(std::function<void()> done);
  const Topology& topology() const { return topology_; }

  // Measures the links between usable devices that are not known yet; `done` is called when there
  // is nothing left to measure, at once where that is so already.
  void MeasureLinks(const std::vector<DeviceInfo>& devices, std::function<void()> done);

  // One row per ordered pair of usable devices (and "host"):
  // {"from","to","kind","direct","promisedBytesPerSecond","bytesPerSecond","latencySeconds","route"};
  // what is not known is left out.
  std::vector<Json> LinkRows(const std::vector<DeviceInfo>& devices) const;

 private:
  using Pair = std::pair<std::string, std::string>;

  const MeasuredLink* Find(const DeviceInfo* from, const DeviceInfo* to) const;
  void MeasureNext();
  void OnMeasured(const Pair& backends, const std::string& output);
  void Load();
  void Keep() const;

  uv_loop_t* const loop_;
  const Options options_;
  Topology topology_;
  std::map<Pair, MeasuredLink> links_;  // by MeasurementKey of both ("host" for host memory)
  std::vector<DeviceInfo> devices_;     // those of the measuring under way
  std::deque<Pair> to_measure_;         // backends
  std::vector<std::function<void()>> waiting_;
};

// A text that changes when devices may have come or gone. `root`: in front of /sys, /dev and /etc.
std::string Fingerprint(const std::string& root = "");

}  // namespace het::daemon

#endif  // HET_DAEMON_MACHINE_H_
