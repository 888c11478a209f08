#include "runtime/isolation/driver.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/status.h"
#include "devices/registry.h"
#include "runtime/discovery.h"
#include "runtime/isolation/device.h"

namespace het::runtime::isolation {

absl::StatusOr<std::shared_ptr<Connection>> IsolatedDriver::Worker() {
  absl::MutexLock lock(&mutex_);
  if (connection_ != nullptr && connection_->status().ok()) return connection_;
  std::vector<std::string> arguments = {"--backend", name()};
  for (const auto& [key, value] : options_.settings) {
    arguments.insert(arguments.end(), {"--setting", absl::StrCat(key, "=", value)});
  }
  if (!options_.cores.empty()) {
    arguments.insert(arguments.end(), {"--cores", absl::StrJoin(options_.cores, ",")});
  }
  HET_ASSIGN_OR_RETURN(connection_,
                       Connection::Start(worker_, std::move(arguments),
                                         absl::StrCat("the worker of backend ", name())));
  return connection_;
}

pid_t IsolatedDriver::worker_pid() const {
  absl::MutexLock lock(&mutex_);
  return connection_ == nullptr || !connection_->status().ok() ? 0 : connection_->pid();
}

absl::StatusOr<std::vector<DeviceInfo>> IsolatedDriver::Enumerate() {
  HET_ASSIGN_OR_RETURN(const std::shared_ptr<Connection> worker, Worker());
  HET_ASSIGN_OR_RETURN(const std::string answer, worker->Call(Verb::kEnumerate, ""));
  HET_ASSIGN_OR_RETURN(const Json list, ParseJson(Unpacker(answer).Text()));
  std::vector<DeviceInfo> devices;
  for (const Json& entry : list) {
    HET_ASSIGN_OR_RETURN(DeviceInfo device, DeviceInfoFromJson(entry));
    devices.push_back(std::move(device));
  }
  return devices;
}

absl::StatusOr<std::unique_ptr<Device>> IsolatedDriver::Open(const std::string& uuid,
                                                             const OpenOptions& options) {
  HET_ASSIGN_OR_RETURN(const std::shared_ptr<Connection> worker, Worker());
  Packer packer;
  packer.Text(uuid).Put(options.compute_units).Put(static_cast<uint32_t>(options.cores.size()));
  for (const uint32_t core : options.cores) packer.Put(core);
  HET_ASSIGN_OR_RETURN(const std::string answer, worker->Call(Verb::kOpen, packer.Take()));
  Unpacker in(answer);
  const auto id = in.Get<uint64_t>();
  const auto capabilities = in.Get<uint32_t>();
  HET_ASSIGN_OR_RETURN(const Json json, ParseJson(in.Text()));
  HET_ASSIGN_OR_RETURN(DeviceInfo info, DeviceInfoFromJson(json));
  info.attributes["isolation"] = "process";
  return std::make_unique<IsolatedDevice>(*this, std::move(info), capabilities & kRunsPortable, id,
                                          worker);
}

absl::StatusOr<std::unique_ptr<Driver>> CreateIsolatedDriver(const std::string& backend,
                                                             const DriverOptions& options) {
  const std::string worker = FindWorker();
  if (worker.empty()) {
    return absl::UnavailableError(
        "het-worker is not where het-probe is looked for ($HET_PROBE_DIR, ../bin, PATH): a driver "
        "cannot be isolated without it");
  }
  auto driver = std::make_unique<IsolatedDriver>(backend, options, worker);
  HET_RETURN_IF_ERROR(driver->Enumerate().status());
  return driver;
}

bool IsIsolated(absl::string_view chosen, absl::string_view backend) {
  for (absl::string_view name : absl::StrSplit(chosen, ',')) {
    if (name == backend || name == "all") return true;
  }
  return false;
}

std::string IsolatedByEnvironment() {
  const char* chosen = std::getenv("HET_ISOLATE");
  return chosen == nullptr ? "" : chosen;
}

absl::Status CheckIsolated(absl::string_view chosen) {
  const std::vector<std::string> known = BackendNames();
  for (absl::string_view name : absl::StrSplit(chosen, ',', absl::SkipEmpty())) {
    if (name == "all" || std::find(known.begin(), known.end(), name) != known.end()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "asked to isolate \"", name, "\"; there are: all, ", absl::StrJoin(known, ", ")));
  }
  return absl::OkStatus();
}

}  // namespace het::runtime::isolation
