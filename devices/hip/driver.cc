#include "devices/hip/driver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "devices/hip/sensors.h"
#include "devices/streams/device.h"

namespace het::hip {
namespace {

constexpr uint32_t kPair = 2;  // RDNA cards take masks of whole work-group processors only

}  // namespace

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions&) {
  HET_ASSIGN_OR_RETURN(const Api* const api, LoadApi());
  auto driver = std::make_unique<HipDriver>(*api);
  HET_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, driver->Enumerate());
  if (devices.empty()) {
    return absl::UnavailableError(
        absl::StrCat(api->library,
                     " is here, but shows no device (is the amdgpu driver loaded, may you read "
                     "/dev/kfd, does HIP_VISIBLE_DEVICES hide it?)"));
  }
  return driver;
}

absl::StatusOr<std::vector<DeviceInfo>> HipDriver::Enumerate() {
  HET_ASSIGN_OR_RETURN(const std::vector<Found> found, FindDevices(api_));
  std::vector<DeviceInfo> infos;
  for (const Found& one : found) infos.push_back(one.info);
  return infos;
}

absl::StatusOr<Found> HipDriver::Find(const std::string& uuid) {
  HET_ASSIGN_OR_RETURN(std::vector<Found> found, FindDevices(api_));
  std::vector<std::string> known;
  for (Found& one : found) {
    if (one.info.uuid == uuid) return std::move(one);
    known.push_back(absl::StrCat(one.info.uuid, " (", one.info.name, ")"));
  }
  return absl::NotFoundError(
      absl::StrCat("no HIP device ", uuid, "; there are: ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<HipGpu::Part> HipDriver::Take(const DeviceInfo& info, uint32_t units,
                                             uint32_t& taken) {
  if (api_.hipExtStreamCreateWithCUMask == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("asked ", units, " of ", info.compute_units, " compute units of ", info.name,
                     ", but ", api_.library, " has no masks of compute units; open all of it"));
  }
  const uint32_t count = std::max(1u, units / kPair);
  absl::MutexLock lock(&mutex_);
  std::vector<bool>& used = used_pairs_[info.uuid];
  used.resize(info.compute_units / kPair, false);
  const auto begin = std::search_n(used.begin(), used.end(), count, false);
  if (begin == used.end()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("asked ", units, " neighbouring compute units of ", info.name, "; ",
                     kPair * std::count(used.begin(), used.end(), false), " of ",
                     kPair * used.size(), " are free in this process"));
  }
  std::fill_n(begin, count, true);
  const auto first = static_cast<uint32_t>(begin - used.begin());
  HipGpu::Part part;
  part.mask.resize((info.compute_units + 31) / 32);
  for (uint32_t unit = first * kPair; unit < (first + count) * kPair; ++unit) {
    part.mask[unit / 32] |= 1u << (unit % 32);
  }
  part.give_back = [this, uuid = info.uuid, first, count] {
    absl::MutexLock inner(&mutex_);
    std::fill_n(used_pairs_[uuid].begin() + first, count, false);
  };
  taken = count * kPair;
  return part;
}

absl::StatusOr<std::unique_ptr<Device>> HipDriver::Open(const std::string& uuid,
                                                        const OpenOptions& options) {
  HET_ASSIGN_OR_RETURN(Found found, Find(uuid));
  if (found.info.state != DeviceState::kOk) {
    return absl::FailedPreconditionError(absl::StrCat(
        found.info.name, " cannot be opened: ", found.info.reason, "; ", found.info.remedy));
  }
  const uint32_t units = options.compute_units;
  if (units > found.info.compute_units) {
    return absl::InvalidArgumentError(absl::StrCat("asked ", units, " compute units of ",
                                                   found.info.name, ", which has ",
                                                   found.info.compute_units));
  }
  HipGpu::Part part;
  DeviceInfo info = found.info;
  if (units > 0 && units < found.info.compute_units) {
    HET_ASSIGN_OR_RETURN(part, Take(found.info, units, info.compute_units));
  }
  HET_ASSIGN_OR_RETURN(std::unique_ptr<streams::Gpu> gpu,
                       HipGpu::Open(api_, found, std::move(part)));
  return std::unique_ptr<Device>(
      std::make_unique<streams::StreamDevice>(*this, std::move(info), std::move(gpu)));
}

absl::StatusOr<std::vector<Telemetry>> HipDriver::Sample() {
  HET_ASSIGN_OR_RETURN(const std::vector<Found> found, FindDevices(api_));
  std::vector<Telemetry> samples;
  for (const Found& one : found) {
    const auto pci = one.info.attributes.find("pci");
    if (pci == one.info.attributes.end()) continue;
    samples.push_back(ReadSensors(absl::StrCat("/sys/bus/pci/devices/", pci->second)));
    samples.back().uuid = one.info.uuid;
  }
  return samples;
}

}  // namespace het::hip
