#include "devices/cpu/cpu_driver.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "devices/cpu/cpu_device.h"
#include "devices/cpu/host_sensors.h"
#include "devices/cpu/host_topology.h"

namespace het::cpu {
namespace {

class CpuDriver final : public Driver {
 public:
  explicit CpuDriver(DeviceInfo info)
      : Driver("cpu"), info_(std::move(info)), sensors_(info_.cores) {}

  absl::StatusOr<std::vector<DeviceInfo>> Enumerate() override {
    return std::vector<DeviceInfo>{info_};
  }

  absl::StatusOr<std::unique_ptr<Device>> Open(const std::string& uuid,
                                               const OpenOptions& options) override {
    if (uuid != info_.uuid) {
      return absl::NotFoundError(absl::StrCat("no cpu device \"", uuid,
                                              "\"; there is: ", info_.uuid, " (", info_.name, ")"));
    }
    DeviceInfo slice = info_;
    HET_ASSIGN_OR_RETURN(slice.cores, CoresOf(options));
    slice.compute_units = static_cast<uint32_t>(slice.cores.size());
    return std::make_unique<CpuDevice>(*this, std::move(slice));
  }

  absl::StatusOr<std::vector<Telemetry>> Sample() override {
    absl::MutexLock lock(&mutex_);
    return std::vector<Telemetry>{sensors_.Sample(info_.uuid)};
  }

 private:
  absl::StatusOr<std::vector<uint32_t>> CoresOf(const OpenOptions& options) const {
    std::vector<uint32_t> cores = options.cores.empty() ? info_.cores : options.cores;
    std::sort(cores.begin(), cores.end());
    if (std::adjacent_find(cores.begin(), cores.end()) != cores.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "asked for processors ", absl::StrJoin(options.cores, ","), ": one is there twice"));
    }
    if (!std::includes(info_.cores.begin(), info_.cores.end(), cores.begin(), cores.end())) {
      return absl::InvalidArgumentError(
          absl::StrCat("asked for processors ", absl::StrJoin(options.cores, ","), " of ",
                       info_.name, "; this process may use ", absl::StrJoin(info_.cores, ",")));
    }
    if (options.compute_units > cores.size()) {
      return absl::InvalidArgumentError(absl::StrCat("asked for ", options.compute_units,
                                                     " processors of ", info_.name, ", there are ",
                                                     cores.size()));
    }
    if (options.compute_units > 0) cores.resize(options.compute_units);
    return cores;
  }

  const DeviceInfo info_;
  absl::Mutex mutex_;
  HostSensors sensors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions& options) {
  HET_ASSIGN_OR_RETURN(HostTopology host, ReadHostTopology({.only = options.cores}));
  DeviceInfo info;
  info.uuid = host.uuid;
  info.vendor = host.vendor;
  info.name = host.model;
  info.backend = "cpu";
  info.kind = DeviceKind::kCpu;
  info.memory_bytes = host.memory_bytes;
  info.compute_units = static_cast<uint32_t>(host.cores.size());
  info.numa_node = host.numa_node;
  info.cores = std::move(host.cores);
  info.can_sub_divide = true;
  info.attributes = std::move(host.attributes);
  return std::make_unique<CpuDriver>(std::move(info));
}

}  // namespace het::cpu
