// DeviceTenants: processes that share one real device through libhet and hetd, for bench/share.
// Every tenant is a forked process that leases its slice from the daemon and keeps `depth` launches
// of a kernel of one length wanted, as any engine does.
//
// Two books, neither of them the arbiter's. busy: what the device's own clock says the tenant's
// queue kept it busy (het_queue_busy_ns). work: launches completed, times the length of one when
// the same kernel has the device to itself, so that what a tenant loses by running in turns (cold
// caches, sleeping threads) shows. Both count in the window in which the launch completed.
//
// Requires that no thread runs in the caller (tenants are forked). Failures name the daemon or the
// device; tenants that fail are reported with what they said.
#ifndef HET_BENCH_SHARING_DEVICE_TENANTS_H_
#define HET_BENCH_SHARING_DEVICE_TENANTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "het/het.hpp"

namespace het::bench {

struct DeviceTenant {
  uint32_t share = 5000;  // 1/10000
  het_policy policy = HET_GUARANTEED;
  het_priority priority = HET_PRIORITY_NORMAL;
  double kernel_us = 220;
  uint32_t depth = 4;
  bool sync = false;  // waits for every launch
};

struct DeviceRun {
  std::string device;                     // name and UUID, for people
  std::vector<double> kernel_us;          // of each tenant, measured alone
  std::vector<std::vector<double>> busy;  // [tenant][window] nanoseconds
  std::vector<std::vector<double>> work;
};

// `device`: a UUID, or a backend's name for its first device. `seconds` windows of one second after
// one of warm-up.
absl::StatusOr<DeviceRun> RunOnDevice(const std::string& socket, const std::string& device,
                                      const std::vector<DeviceTenant>& tenants, int seconds);

}  // namespace het::bench

#endif  // HET_BENCH_SHARING_DEVICE_TENANTS_H_
