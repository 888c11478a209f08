#include "daemon/machine.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "daemon/inventory.h"
#include "daemon/prober.h"

namespace het::daemon {
namespace {

constexpr char kHost[] = "host";
constexpr uint64_t kMaxFileBytes = uint64_t{64} << 20;

std::string KeyOf(const DeviceInfo* device) {
  return device == nullptr ? kHost : MeasurementKey(*device);
}

std::string IdOf(const DeviceInfo* device) { return device == nullptr ? kHost : device->uuid; }

bool IsMeasured(const DeviceInfo& device) {
  return device.state == DeviceState::kOk && !device.simulated;
}

const DeviceInfo* ById(const std::vector<DeviceInfo>& devices, const std::string& id) {
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [&id](const DeviceInfo& device) { return device.uuid == id; });
  return found == devices.end() ? nullptr : &*found;
}

void AddNames(const std::string& folder, const char* prefix, std::vector<std::string>& all) {
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name[0] == '.' || !absl::StartsWith(name, prefix)) continue;
    // Which kernel driver has a PCI device decides whether it can be used.
    char driver[512];
    const ssize_t size =
        readlink(absl::StrCat(folder, "/", name, "/driver").c_str(), driver, sizeof(driver));
    all.push_back(
        absl::StrCat(folder, "/", name, " ",
                     std::string(driver, static_cast<size_t>(std::max<ssize_t>(0, size)))));
  }
  closedir(directory);
}

}  // namespace

std::string Fingerprint(const std::string& root) {
  std::vector<std::string> names;
  for (const char* folder : {"/sys/bus/pci/devices", "/sys/class/accel", "/sys/class/drm",
                             "/dev/dri", "/dev/accel", "/etc/OpenCL/vendors"}) {
    AddNames(root + folder, "", names);
  }
  for (const char* prefix : {"nvidia", "kfd"}) AddNames(root + "/dev", prefix, names);
  std::sort(names.begin(), names.end());
  return absl::StrJoin(names, "\n");
}

Machine::Machine(uv_loop_t* loop, Options options) : loop_(loop), options_(std::move(options)) {
  Load();
}

void Machine::Read(std::function<void()> done) {
  StartProbe(loop_, {options_.probe, {"--topology"}, options_.read_limit_ms},
             [this, done = std::move(done)](absl::StatusOr<std::string> output) {
               auto json = output.ok() ? ParseJson(*output) : absl::StatusOr<Json>(output.status());
               auto topology = json.ok() && json->contains("topology")
                                   ? TopologyFromJson((*json)["topology"])
                                   : absl::StatusOr<Topology>(absl::UnavailableError(
                                         json.ok() ? json->value("unavailable", "no topology")
                                                   : json.status().ToString()));
               if (topology.ok()) {
                 topology_ = *std::move(topology);
               } else {
                 Log().warn("where devices sit is not known: {}", topology.status().ToString());
               }
               done();
             });
}

const MeasuredLink* Machine::Find(const DeviceInfo* from, const DeviceInfo* to) const {
  const auto found = links_.find({KeyOf(from), KeyOf(to)});
  return found == links_.end() ? nullptr : &found->second;
}

void Machine::MeasureLinks(const std::vector<DeviceInfo>& devices, std::function<void()> done) {
  waiting_.push_back(std::move(done));
  if (waiting_.size() > 1) return;  // under way
  devices_ = devices;
  std::set<Pair> pairs;
  for (const DeviceInfo& from : devices) {
    if (!IsMeasured(from)) continue;
    if (Find(&from, nullptr) == nullptr) pairs.insert({from.backend, from.backend});
    for (const DeviceInfo& to : devices) {
      if (!IsMeasured(to) || from.uuid == to.uuid || Find(&from, &to) != nullptr) continue;
      pairs.insert({from.backend, to.backend});
    }
  }
  to_measure_.assign(pairs.begin(), pairs.end());
  MeasureNext();
}

void Machine::MeasureNext() {
  if (to_measure_.empty()) {
    for (const auto& done : std::exchange(waiting_, {})) done();
    return;
  }
  const Pair backends = to_measure_.front();
  to_measure_.pop_front();
  std::vector<std::string> arguments = {"--links",
                                        absl::StrCat(backends.first, ",", backends.second)};
  StartProbe(loop_, {options_.probe, std::move(arguments), options_.measure_limit_ms},
             [this, backends](absl::StatusOr<std::string> output) {
               if (output.ok()) {
                 OnMeasured(backends, *output);
               } else {
                 Log().warn("links from {} to {} are not measured: {}", backends.first,
                            backends.second, output.status().ToString());
               }
               MeasureNext();
             });
}

void Machine::OnMeasured(const Pair& backends, const std::string& output) {
  const auto json = ParseJson(output);
  const bool is_list = json.ok() && json->contains("links") && (*json)["links"].is_array();
  if (!is_list) {
    Log().warn("links from {} to {}: {}", backends.first, backends.second, output);
    return;
  }
  for (const Json& entry : (*json)["links"]) {
    auto link = MeasuredLinkFromJson(entry);
    if (!link.ok()) continue;
    const DeviceInfo* from = ById(devices_, link->from);
    const DeviceInfo* to = ById(devices_, link->to);
    if ((from == nullptr && link->from != kHost) || (to == nullptr && link->to != kHost)) continue;
    links_[{KeyOf(from), KeyOf(to)}] = *std::move(link);
  }
  Keep();
}

std::vector<Json> Machine::LinkRows(const std::vector<DeviceInfo>& devices) const {
  std::vector<const DeviceInfo*> ends;
  for (const DeviceInfo& device : devices) {
    if (device.state == DeviceState::kOk) ends.push_back(&device);
  }
  ends.push_back(nullptr);  // the host's memory
  std::vector<Json> rows;
  for (const DeviceInfo* from : ends) {
    for (const DeviceInfo* to : ends) {
      if (from == to) continue;
      Json row = {{"from", IdOf(from)}, {"to", IdOf(to)}};
      const LinkPath path =
          from == nullptr || to == nullptr ? LinkPath{} : PathBetween(topology_, *from, *to);
      row["kind"] = std::string(LinkKindName(path.kind));
      if (!path.direct.empty()) row["direct"] = path.direct;
      if (path.bytes_per_s > 0) row["promisedBytesPerSecond"] = path.bytes_per_s;
      if (const MeasuredLink* link = Find(from, to)) {
        row["bytesPerSecond"] = link->bytes_per_s;
        row["latencySeconds"] = link->latency_s;
        row["route"] = link->route;
      }
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

void Machine::Load() {
  const auto text = ReadFile(options_.file, kMaxFileBytes);
  const auto json = text.ok() ? ParseJson(*text) : absl::StatusOr<Json>(text.status());
  if (!json.ok() || !json->is_array()) return;  // none yet, or no file of ours: measured again
  for (const Json& entry : *json) {
    const auto from = JsonString(entry, "fromKey"), to = JsonString(entry, "toKey");
    auto link = MeasuredLinkFromJson(entry);
    if (link.ok() && from.ok() && to.ok()) links_[{*from, *to}] = *std::move(link);
  }
}

void Machine::Keep() const {
  if (options_.file.empty()) return;
  Json all = Json::array();
  for (const auto& [keys, link] : links_) {
    Json entry = ToJson(link);
    entry["fromKey"] = keys.first;
    entry["toKey"] = keys.second;
    all.push_back(std::move(entry));
  }
  const absl::Status kept = WriteFileAtomically(options_.file, PrintJson(all));
  if (!kept.ok()) Log().warn("cannot keep the measured links: {}", kept.ToString());
}

}  // namespace het::daemon
