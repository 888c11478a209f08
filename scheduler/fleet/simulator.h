// Simulator: a fleet over virtual time. Jobs arrive, wait, run and leave; tenants have quotas, lend
// what they do not use and take it back; devices fail and are repaired.
//
// Order: reserved before on-demand before batch, then by priority, then by arrival. A job that does
// not fit lets others pass (its kind, tenant and class wait together). A job that would not fit the
// empty fleet is impossible: it is reported and never waits.
//
// Quota: a tenant's devices, in milli. Reserved jobs stay within it. On-demand and batch jobs may
// go beyond while there is room; what goes beyond, and all that is batch, is borrowed. A job within
// its tenant's quota that finds no room takes back borrowed devices, on the node where that takes
// the least: batch first, then the lowest priority, then the latest to start. Without quotas
// reserved and on-demand jobs may displace batch jobs. A displaced job waits again and goes on from
// where it was; so does a job whose device failed.
//
// Pure: time is virtual, the seed is the only randomness, equal input gives equal output.
#ifndef HET_SCHEDULER_FLEET_SIMULATOR_H_
#define HET_SCHEDULER_FLEET_SIMULATOR_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/fleet/trace.h"

namespace het::fleet {

struct SimulatorOptions {
  std::string policy = "het";
  uint64_t seed = 42;
  // Arrivals times this: jobs are repeated (at times of other jobs) or left out by lot.
  double load = 1;
  double until_s = std::numeric_limits<double>::infinity();
  // Mean time between failures of one device; 0: none fails.
  double device_mtbf_s = 0;
  double repair_s = 4 * 3600;
  bool preempt = true;
  // By tenant number; empty: no quotas. A tenant beyond the end has none: all it uses is borrowed.
  std::vector<int64_t> quota_milli;
  int samples = 200;  // of the time series
};

// The fleet at one moment.
struct Sample {
  double time_s = 0;
  int64_t capacity_milli = 0, allocated_milli = 0;
  // Expected fragmentation: what the next job of this load could not use of what is free.
  double stranded_milli = 0;
  int64_t waiting = 0, running = 0;
};

struct WaitSummary {
  int64_t count = 0;  // jobs that started
  double mean_s = 0, p50_s = 0, p95_s = 0, p99_s = 0, max_s = 0;
};

struct ClassSummary {
  int64_t arrived = 0, completed = 0, running = 0, waiting = 0, impossible = 0;
  int64_t displaced = 0, failed = 0;  // times, not jobs
  WaitSummary wait;                   // until a job's first start
};

struct TenantSummary {
  int64_t arrived = 0, started = 0;
  double device_hours = 0, borrowed_device_hours = 0;
  double mean_wait_s = 0;
};

// A job's stay on a node: what an allocation report is made of.
struct Stay {
  int job = 0;  // index into Run::jobs
  int node = 0;
  DeviceSet devices = 0;
  double begin_s = 0, end_s = 0;
  bool borrowed = false;
};

// A device that could not be used.
struct Outage {
  int node = 0;
  int device = 0;
  double begin_s = 0, end_s = 0;
};

struct SimulatorResult {
  std::vector<Sample> series;
  ClassSummary by_class[kJobClasses];
  ClassSummary all;
  std::vector<TenantSummary> by_tenant;
  std::vector<std::string> impossible;  // names, the first hundred
  double begin_s = 0, end_s = 0;
  double capacity_device_hours = 0, allocated_device_hours = 0, stranded_device_hours = 0;
  int64_t device_failures = 0;
  int64_t decisions = 0;
  bool interrupted = false;
  // Only where `keep_stays` was asked for.
  std::vector<Job> jobs;
  std::vector<Stay> stays;
  std::vector<Outage> outages;

  double Utilisation() const {
    return capacity_device_hours > 0 ? allocated_device_hours / capacity_device_hours : 0;
  }
};

// InvalidArgument for options out of their range or a fleet without devices. `go_on` (may be empty)
// is asked now and then; false ends the run, which reports what it has.
absl::StatusOr<SimulatorResult> Simulate(const Fleet& fleet, const Jobs& jobs,
                                         const SimulatorOptions& options, bool keep_stays = false,
                                         const std::function<bool()>& go_on = {});

}  // namespace het::fleet

#endif  // HET_SCHEDULER_FLEET_SIMULATOR_H_
