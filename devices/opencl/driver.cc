#include "devices/opencl/driver.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/status.h"
#include "devices/opencl/affinity.h"
#include "devices/opencl/device.h"
#include "devices/opencl/errors.h"

namespace het::opencl {
namespace {

// What the first CreateDriver of this process did.
struct Process {
  absl::Mutex mutex;
  const Api* api ABSL_GUARDED_BY(mutex) = nullptr;
  std::vector<uint32_t> cores ABSL_GUARDED_BY(mutex);
  bool bound ABSL_GUARDED_BY(mutex) = false;
};

Process& TheProcess() {
  static Process* const process = new Process;  // never destroyed: driver threads outlive main
  return *process;
}

absl::Status Load(Process& process, const std::vector<uint32_t>& wanted)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(process.mutex) {
  if (!wanted.empty()) {
    const std::string count = absl::StrCat(wanted.size());
    constexpr int kKeepWhatIsSet = 0;
    setenv("POCL_MAX_PTHREAD_COUNT", count.c_str(), kKeepWhatIsSet);
    setenv("LP_NUM_THREADS", count.c_str(), kKeepWhatIsSet);
  }
  absl::StatusOr<const Api*> api = absl::InternalError("not loaded");
  // The drivers make their pools in here.
  HET_RETURN_IF_ERROR(RunOnCores(wanted, [&api] {
    api = LoadApi();
    if (api.ok()) (void)FindDevices(**api, {});
  }));
  HET_RETURN_IF_ERROR(api.status());
  process.api = *api;
  process.bound = !wanted.empty();
  process.cores = wanted.empty() ? AllowedCores() : wanted;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions& options) {
  std::vector<uint32_t> wanted = options.cores;
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());

  Process& process = TheProcess();
  absl::MutexLock lock(&process.mutex);
  if (process.api == nullptr) {
    HET_RETURN_IF_ERROR(Load(process, wanted));
  } else if (!wanted.empty() && wanted != process.cores) {
    return absl::FailedPreconditionError(absl::StrCat(
        "OpenCL drivers were loaded in this process for processors ",
        absl::StrJoin(process.cores, ","), " and their threads stay there; asked ",
        absl::StrJoin(wanted, ","), ". Give the cores to the first CreateDriver of the process"));
  }
  const auto in_place = options.settings.find("in_place");
  auto driver =
      std::make_unique<ClDriver>(*process.api, process.cores, process.bound,
                                 in_place == options.settings.end() || in_place->second != "never");
  HET_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, driver->Enumerate());
  if (devices.empty()) {
    return absl::UnavailableError(
        "libOpenCL.so.1 is here, but no OpenCL driver with a device; install the vendor's ICD "
        "(any CPU: Debian's pocl-opencl-icd)");
  }
  return driver;
}

ClDriver::ClDriver(const Api& api, std::vector<uint32_t> pool_cores, bool bound, bool in_place)
    : Driver("opencl"),
      api_(api),
      pool_cores_(std::move(pool_cores)),
      bound_(bound),
      in_place_(in_place) {}

absl::StatusOr<std::vector<DeviceInfo>> ClDriver::Enumerate() {
  HET_ASSIGN_OR_RETURN(const std::vector<Found> found, FindDevices(api_, pool_cores_));
  std::vector<DeviceInfo> infos;
  for (const Found& one : found) infos.push_back(one.info);
  return infos;
}

absl::StatusOr<Found> ClDriver::Find(const std::string& uuid) {
  HET_ASSIGN_OR_RETURN(std::vector<Found> found, FindDevices(api_, pool_cores_));
  std::vector<std::string> known;
  for (Found& one : found) {
    if (one.info.uuid == uuid) return std::move(one);
    known.push_back(absl::StrCat(one.info.uuid, " (", one.info.name, ")"));
  }
  return absl::NotFoundError(
      absl::StrCat("no OpenCL device ", uuid, "; there are: ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<uint32_t> ClDriver::UnitsFor(const Found& found, const OpenOptions& options) const {
  if (!found.is_cpu || options.cores.empty()) return options.compute_units;
  size_t inside = 0;
  for (uint32_t core : options.cores)
    inside += std::count(pool_cores_.begin(), pool_cores_.end(), core);
  if (inside != options.cores.size()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "asked ", found.info.name, " on processors ", absl::StrJoin(options.cores, ","),
        ", but the driver's threads were made for ", absl::StrJoin(pool_cores_, ","),
        " when it was loaded. Give the cores to CreateDriver (DriverOptions.cores)"));
  }
  if (options.cores.size() == pool_cores_.size()) return options.compute_units;
  // Several devices of one process share the pool's cores: as many compute units as cores were
  // asked for keep the amount, the driver's scheduling chooses among the pool's cores. A driver
  // without sub-devices uses all of them.
  const auto count = static_cast<uint32_t>(options.cores.size());
  const bool divides = found.partitions_by_counts && count < found.info.compute_units;
  Log().info("{} runs on processors {} of the process, asked {}{}", found.info.name,
             absl::StrJoin(pool_cores_, ","), absl::StrJoin(options.cores, ","),
             divides ? "" : "; it has no sub-devices to keep the amount");
  if (options.compute_units == 0 && divides) return count;
  return options.compute_units;
}

absl::StatusOr<std::unique_ptr<Device>> ClDriver::Open(const std::string& uuid,
                                                       const OpenOptions& options) {
  HET_ASSIGN_OR_RETURN(Found found, Find(uuid));
  if (found.info.state != DeviceState::kOk) {
    return absl::FailedPreconditionError(
        absl::StrCat(found.info.name, " cannot be opened: ", found.info.reason));
  }
  HET_ASSIGN_OR_RETURN(const uint32_t units, UnitsFor(found, options));
  const std::vector<uint32_t> thread_cores =
      found.is_cpu && bound_ ? pool_cores_ : std::vector<uint32_t>();
  if (units > found.info.compute_units) {
    return absl::InvalidArgumentError(absl::StrCat("asked ", units, " compute units of ",
                                                   found.info.name, ", which has ",
                                                   found.info.compute_units));
  }
  ClDeviceParts parts;
  parts.api = &api_;
  parts.found = std::move(found);
  parts.thread_cores = thread_cores;
  parts.in_place = in_place_;
  if (units == 0 || units == parts.found.info.compute_units)
    return ClDevice::Open(*this, std::move(parts));

  if (!parts.found.partitions_by_counts) {
    return absl::FailedPreconditionError(
        absl::StrCat("asked ", units, " of ", parts.found.info.compute_units,
                     " compute units, but the driver of ", parts.found.info.name,
                     " has no sub-devices by counts; open all of it"));
  }
  HET_ASSIGN_OR_RETURN(const uint32_t first, TakeUnits(parts.found.info, units));
  parts.first_unit = first;
  parts.units = units;
  parts.give_back = [this, uuid, first, units] { GiveBackUnits(uuid, first, units); };
  return ClDevice::Open(*this, std::move(parts));
}

absl::StatusOr<uint32_t> ClDriver::TakeUnits(const DeviceInfo& info, uint32_t count) {
  absl::MutexLock lock(&mutex_);
  std::vector<bool>& taken = taken_units_[info.uuid];
  taken.resize(info.compute_units, false);
  const auto begin = std::search_n(taken.begin(), taken.end(), count, false);
  if (begin == taken.end()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("asked ", count, " neighbouring compute units of ", info.name, "; ",
                     std::count(taken.begin(), taken.end(), false), " of ", taken.size(),
                     " are free in this process"));
  }
  std::fill_n(begin, count, true);
  return static_cast<uint32_t>(begin - taken.begin());
}

void ClDriver::GiveBackUnits(const std::string& uuid, uint32_t first, uint32_t count) {
  absl::MutexLock lock(&mutex_);
  std::fill_n(taken_units_[uuid].begin() + first, count, false);
}

}  // namespace het::opencl
