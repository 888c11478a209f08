#include "devices/cuda/driver.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "devices/cuda/nvml.h"
#include "devices/streams/device.h"

namespace het::cuda {

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions&) {
  HET_ASSIGN_OR_RETURN(const Api* const api, LoadApi());
  auto driver = std::make_unique<CudaDriver>(*api);
  HET_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, driver->Enumerate());
  if (devices.empty()) {
    return absl::UnavailableError(
        "libcuda.so.1 is here, but shows no device (CUDA_VISIBLE_DEVICES may hide them)");
  }
  return driver;
}

absl::StatusOr<std::vector<DeviceInfo>> CudaDriver::Enumerate() {
  HET_ASSIGN_OR_RETURN(const std::vector<Found> found, FindDevices(api_));
  std::vector<DeviceInfo> infos;
  for (const Found& one : found) infos.push_back(one.info);
  return infos;
}

absl::StatusOr<Found> CudaDriver::Find(const std::string& uuid) {
  HET_ASSIGN_OR_RETURN(std::vector<Found> found, FindDevices(api_));
  std::vector<std::string> known;
  for (Found& one : found) {
    if (one.info.uuid == uuid) return std::move(one);
    known.push_back(absl::StrCat(one.info.uuid, " (", one.info.name, ")"));
  }
  return absl::NotFoundError(
      absl::StrCat("no CUDA device ", uuid, "; there are: ", absl::StrJoin(known, ", ")));
}

Partition& CudaDriver::PartitionOf(const Found& found) {
  absl::MutexLock lock(&mutex_);
  std::unique_ptr<Partition>& partition = partitions_[found.info.uuid];
  if (partition == nullptr) partition = std::make_unique<Partition>(api_, found);
  return *partition;
}

absl::StatusOr<std::unique_ptr<Device>> CudaDriver::Open(const std::string& uuid,
                                                         const OpenOptions& options) {
  HET_ASSIGN_OR_RETURN(Found found, Find(uuid));
  if (found.info.state != DeviceState::kOk) {
    return absl::FailedPreconditionError(absl::StrCat(
        found.info.name, " cannot be opened: ", found.info.reason, "; ", found.info.remedy));
  }
  if (found.device < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(found.info.name,
                     " is a MIG instance that CUDA does not show to this process: start it with "
                     "CUDA_VISIBLE_DEVICES=MIG-",
                     uuid));
  }
  const uint32_t units = options.compute_units;
  if (units > found.info.compute_units) {
    return absl::InvalidArgumentError(absl::StrCat("asked ", units, " multiprocessors of ",
                                                   found.info.name, ", which has ",
                                                   found.info.compute_units));
  }
  CudaGpu::Part part;
  DeviceInfo info = found.info;
  if (units > 0 && units < found.info.compute_units) {
    HET_ASSIGN_OR_RETURN(part, PartitionOf(found).Take(units, info.compute_units));
  }
  HET_ASSIGN_OR_RETURN(std::unique_ptr<streams::Gpu> gpu,
                       CudaGpu::Open(api_, found, std::move(part)));
  return std::unique_ptr<Device>(
      std::make_unique<streams::StreamDevice>(*this, std::move(info), std::move(gpu)));
}

absl::StatusOr<std::vector<Telemetry>> CudaDriver::Sample() {
  const absl::StatusOr<const Nvml*> nvml = LoadNvml();
  if (!nvml.ok()) return absl::UnimplementedError(nvml.status().message());
  std::vector<Telemetry> samples;
  for (const NvmlEntry& card : NvmlDevices(**nvml)) {
    if (card.instances.empty()) samples.push_back(ReadSensors(**nvml, card));
    for (const NvmlEntry& instance : card.instances) {
      samples.push_back(ReadSensors(**nvml, instance));
    }
  }
  return samples;
}

}  // namespace het::cuda
