// UsageMeter: looks once a second at what every lease holds (the ledger) and does (the arbiters'
// pages), and keeps where the hours of the devices went. Devices that are one piece of silicon are
// one device here. It also answers Report.
//
// An hour belongs to the wall clock, the time in it to CLOCK_MONOTONIC: a clock that jumps can move
// samples to another hour, never make time. An hour that is closed stays closed: samples of a clock
// that jumped back into one are dropped.
//
// Ownership: borrows everything, the store may be null (then there are no reports). Threads: the
// loop's.
#ifndef HET_DAEMON_USAGE_METER_H_
#define HET_DAEMON_USAGE_METER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/answers.h"
#include "daemon/arbiters.h"
#include "daemon/lease_book.h"
#include "daemon/process.h"
#include "daemon/usage_store.h"
#include "partition/ledger.h"
#include "report/rollup.h"

namespace het::daemon {

class UsageMeter {
 public:
  struct Parts {
    const Ledger& ledger;
    const LeaseBook& book;
    std::function<protocol::SliceUsage(const Lease&)> usage_of;
    // A process is, or was, attached to some lease: what leases do may change between two looks.
    std::function<bool()> any_attached;
    const Clock& clock;
    UsageStore* store;
    std::string node;
    // The text of /proc/stat, for slices that have processors alone: nobody else times them.
    std::function<std::string()> processor_times;
    // What the device's sensors say it takes now; nullopt: it has none.
    std::function<std::optional<double>(const std::string& device)> power_watts;
  };
  explicit UsageMeter(Parts parts) : parts_(std::move(parts)) {}

  // Goes on with the hour that a hetd before this one was sampling.
  void Restore();
  // A sample. To be called each second.
  void Tick();
  // A request that was refused; counts those that lack capacity on a device.
  void Refused(const absl::Status& status);
  // Writes what is in memory, also each minute by itself.
  void Save();

  // Report {"from","to"} (Unix seconds, [from, to)): pages of {"devices":[[number,{..}]],
  // "rows":[[..]]} in the order that docs/protocol.md gives, the first with "node" and "openHour".
  // Who is no administrator sees the rows of their own leases and those that nobody holds.
  absl::StatusOr<Stream> Report(const Caller& caller, const Json& parameters);

 private:
  struct Seen {
    uint64_t used_ns = 0;
    uint64_t wait_ns = 0;
  };
  struct Pool {
    report::Device device;
    report::DeviceSample sample;
    size_t cores = 0;
    uint64_t free_work = 0;  // of the device of the pool that can give the most
    bool own_name = false;
    std::optional<double> watts;
    uint64_t same_mj = 0;  // taken while nothing changed, not added up yet
  };
  struct OpenDevice {
    report::Device device;
    report::DeviceHour hour;
  };

  // By Ledger::PoolOf.
  std::map<std::string, Pool> Pools() const;
  void AddHolders(std::map<std::string, Pool>& pools, int64_t ms);
  report::HolderSample HolderOf(const Lease& lease, const DeviceInfo& device, const Pool& pool,
                                std::map<std::string, Seen>& seen);
  static uint64_t EnergyMj(const Pool& pool, int64_t ms);
  void ReadProcessors();
  // Nothing that a sample is made of has changed since the last one.
  bool SameAsBefore(const std::map<std::string, Pool>& pools) const;
  // Adds up the samples that were the same as the last one.
  void Settle();
  void EnterHour(int64_t hour);
  void CloseHour();
  std::vector<report::Row> OpenRows(std::vector<report::Device>& devices) const;

  const Parts parts_;
  int64_t hour_ = report::kUnknown;  // that is being sampled
  bool closed_ = false;              // and was closed before: nothing is counted
  int64_t last_ns_ = 0;              // of the sample before; 0: none
  int ticks_unsaved_ = 0;
  std::map<std::string, Pool> last_;           // what was sampled last
  uint64_t changes_ = 0;                       // of the book, then
  int64_t same_ms_ = 0;                        // since then, with nothing changed: not added up yet
  bool any_alone_ = false;                     // a lease has processors of its own
  std::map<std::string, OpenDevice> open_;     // by id
  std::map<std::string, Seen> seen_;           // by lease
  std::map<std::string, uint32_t> denied_;     // by device, since the last sample
  std::map<uint32_t, uint64_t> processor_ns_;  // busy since boot
  std::map<uint32_t, uint64_t> processor_delta_;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_USAGE_METER_H_
