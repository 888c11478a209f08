// Node: hetd without its event loop. The books, the methods and the discovery of one machine, put
// together over an Environment (time, processes, children), a store and an Answers: the daemon
// brings the real ones, simulation_test.cc simulated ones in which every run can be replayed.
//
// Whoever drives it hands over requests (handler), processes that ended and signals, calls Tick
// when NextTick or NextExpiry is due, and EndTurn after each round of those: that makes everything
// durable at once (group commit) and only then answers.
//
// Ownership: borrows what it stands on. Threads: one, the loop's.
#ifndef HET_DAEMON_NODE_H_
#define HET_DAEMON_NODE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "daemon/answers.h"
#include "daemon/arbiters.h"
#include "daemon/config.h"
#include "daemon/discovery.h"
#include "daemon/environment.h"
#include "daemon/lease_book.h"
#include "daemon/methods.h"
#include "daemon/statistics.h"
#include "daemon/store.h"
#include "partition/ledger.h"

namespace het::daemon {

// What is laid over the devices that discovery found: where they sit and whether they are well
// (daemon/health.h). The defaults lay nothing over them, for tests.
struct NodeOverlay {
  using Devices = std::vector<DeviceInfo>;
  // Discovery has a new list; then what apply adds to it.
  std::function<void(const Devices&)> on_scanned = [](const Devices&) {};
  std::function<void(Devices&)> apply = [](Devices&) {};
  // Whether somebody else looks after this backend's devices all the time.
  std::function<bool(const std::string& backend)> watches = [](const std::string&) {
    return false;
  };
  std::function<void(const Devices&, std::function<void()>)> measure_links =
      [](const Devices&, const std::function<void()>& done) { done(); };
  std::function<Json()> topology = [] { return Json::object(); };
  std::function<std::vector<Json>(const Devices&)> links = [](const Devices&) {
    return std::vector<Json>();
  };
  std::function<std::vector<Json>(const Devices&)> telemetry = links;
};

class Node {
 public:
  Node(Environment& environment, Store& store, Discovery::Options discovery, Config config,
       NodeOverlay overlay = {});
  Node(const Node&) = delete;

  // Takes over the leases of the store, ends those whose processes are gone, makes that durable,
  // and looks for devices. `answers` before the first request.
  absl::Status Begin(Answers& answers);
  // Goes on with what a hetd before this one left in the memory of the leases' processes.
  void RecoverArbiters();

  RequestHandler& handler() { return methods_; }
  void OnProcessEnded(const ProcessId& process);
  void Scan() { discovery_.Scan(); }
  Discovery& discovery() { return discovery_; }
  // The overlay would add something else now.
  void OverlayChanged();
  // Does everything whose time has come.
  void Tick();
  void EndTurn();

  // When Tick is to be called, in nanoseconds; 0: not for this. Leases end by CLOCK_BOOTTIME.
  int64_t NextExpiry() const { return book_.NextExpiry(); }
  // CLOCK_MONOTONIC.
  int64_t NextTick() const;

  const Ledger& ledger() const { return ledger_; }
  const LeaseBook& book() const { return book_; }
  const Arbiters& arbiters() const { return arbiters_; }
  Statistics& statistics() { return statistics_; }

  // Who keeps the history of usage: answers Report, and hears of requests that were refused.
  // Without one there are no reports.
  struct Observer {
    std::function<absl::StatusOr<Stream>(const Caller&, const Json&)> report;
    std::function<void(const absl::Status&)> refused;
  };
  void ObserveWith(Observer observer) { observer_ = std::move(observer); }

 private:
  void SetDevices(std::vector<DeviceInfo> devices);
  // Leaves removed devices out that nobody holds a part of.
  void Unlist(std::vector<DeviceInfo>& devices) const;
  // Cuts the slices of hetd.toml that are not there yet.
  void CutNamedSlices();

  Environment& environment_;
  const Clock& clock_;
  const Config config_;
  const NodeOverlay overlay_;
  Ledger ledger_;
  LeaseBook book_;
  Arbiters arbiters_;
  Statistics statistics_;
  Observer observer_;
  Methods methods_;
  Discovery discovery_;
  std::vector<DeviceInfo> found_;  // what discovery said last
  Methods::Known known_;
  int64_t next_store_retry_ = 0;  // CLOCK_MONOTONIC; 0: the store is well
  int64_t next_beat_ = 0;         // 0: no process is attached
  uint64_t changes_seen_ = 0;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_NODE_H_
