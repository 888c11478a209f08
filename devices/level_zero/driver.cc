#include "devices/level_zero/driver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "devices/level_zero/gpu.h"
#include "devices/streams/device.h"

namespace het::level_zero {

absl::StatusOr<std::unique_ptr<Driver>> CreateDriver(const DriverOptions&) {
  HET_ASSIGN_OR_RETURN(const Api* api, LoadApi());
  auto driver = std::make_unique<ZeDriver>(*api);
  HET_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, driver->Enumerate());
  if (devices.empty()) {
    return absl::UnavailableError(
        "the Level Zero driver shows no device (is the user in the group \"render\"? is "
        "ZE_AFFINITY_MASK set?)");
  }
  return driver;
}

absl::StatusOr<std::vector<DeviceInfo>> ZeDriver::Enumerate() {
  HET_ASSIGN_OR_RETURN(const std::vector<Found> found, FindDevices(api_));
  std::vector<DeviceInfo> infos;
  for (const Found& one : found) infos.push_back(one.info);
  return infos;
}

absl::StatusOr<Found> ZeDriver::Find(const std::string& uuid) {
  HET_ASSIGN_OR_RETURN(std::vector<Found> found, FindDevices(api_));
  std::vector<std::string> known;
  for (Found& one : found) {
    if (one.info.uuid == uuid) return std::move(one);
    known.push_back(absl::StrCat(one.info.uuid, " (", one.info.name, ")"));
  }
  return absl::NotFoundError(
      absl::StrCat("no Level Zero device ", uuid, "; there are: ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<std::unique_ptr<Device>> ZeDriver::Open(const std::string& uuid,
                                                       const OpenOptions& options) {
  HET_ASSIGN_OR_RETURN(const Found found, Find(uuid));
  DeviceInfo info = found.info;
  if (info.state != DeviceState::kOk) {
    return absl::FailedPreconditionError(
        absl::StrCat(info.name, " cannot be opened: ", info.reason));
  }
  const uint32_t units = options.compute_units;
  if (units > info.compute_units) {
    return absl::InvalidArgumentError(absl::StrCat("asked ", units, " compute units of ", info.name,
                                                   ", which has ", info.compute_units));
  }
  Handle device = found.device;
  std::function<void()> give_back;
  if (units != 0 && units != info.compute_units) {
    const auto per_tile = static_cast<uint32_t>(
        found.tiles.empty() ? info.compute_units : info.compute_units / found.tiles.size());
    if (units != per_tile) {
      return absl::FailedPreconditionError(
          absl::StrCat("asked ", units, " of ", info.compute_units, " compute units of ", info.name,
                       ", which can be opened whole",
                       info.can_sub_divide ? absl::StrCat(" or by tiles of ", per_tile) : " only"));
    }
    HET_ASSIGN_OR_RETURN(const size_t tile, TakeTile(found));
    device = found.tiles[tile];
    info.compute_units = per_tile;
    info.memory_bytes /= found.tiles.size();
    info.attributes["tile"] = absl::StrCat(tile);
    give_back = [this, uuid, tile] { GiveBackTile(uuid, tile); };
  }
  absl::StatusOr<std::shared_ptr<const Context>> context = ContextOf(found.driver);
  if (!context.ok()) {
    if (give_back) give_back();
    return context.status();
  }
  HET_ASSIGN_OR_RETURN(std::unique_ptr<ZeGpu> gpu, ZeGpu::Open(*std::move(context), found.driver,
                                                               device, std::move(give_back)));
  return std::make_unique<streams::StreamDevice>(*this, std::move(info), std::move(gpu));
}

absl::StatusOr<std::shared_ptr<const Context>> ZeDriver::ContextOf(Handle driver) {
  absl::MutexLock lock(&mutex_);
  std::weak_ptr<const Context>& known = contexts_[driver];
  if (std::shared_ptr<const Context> context = known.lock()) return context;
  HET_ASSIGN_OR_RETURN(std::shared_ptr<const Context> context, Context::Create(api_, driver));
  known = context;
  return context;
}

absl::StatusOr<size_t> ZeDriver::TakeTile(const Found& found) {
  absl::MutexLock lock(&mutex_);
  std::vector<bool>& taken = taken_[found.info.uuid];
  taken.resize(found.tiles.size(), false);
  const auto free = std::find(taken.begin(), taken.end(), false);
  if (free == taken.end()) {
    return absl::ResourceExhaustedError(absl::StrCat("all ", taken.size(), " tiles of ",
                                                     found.info.name, " are open in this process"));
  }
  *free = true;
  return static_cast<size_t>(free - taken.begin());
}

void ZeDriver::GiveBackTile(const std::string& uuid, size_t tile) {
  absl::MutexLock lock(&mutex_);
  taken_[uuid][tile] = false;
}

absl::StatusOr<std::vector<Telemetry>> ZeDriver::Sample() {
  HET_ASSIGN_OR_RETURN(const std::vector<Found> found, FindDevices(api_));
  std::vector<Telemetry> all;
  absl::MutexLock lock(&mutex_);
  for (const Found& one : found) {
    const auto sensors = sensors_.try_emplace(one.info.uuid, api_, one.device).first;
    all.push_back(sensors->second.Sample(one.info.uuid));
  }
  return all;
}

}  // namespace het::level_zero
