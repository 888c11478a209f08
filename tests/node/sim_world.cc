#include "tests/node/sim_world.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/uuid.h"

namespace het::daemon {
namespace {

constexpr int64_t kProbeNanos = 30'000'000;

}  // namespace

SimWorld::SimWorld() : present_(kDevices, true) {}

ProcessId SimWorld::NewProcess() {
  const ProcessId process = {next_pid_++, static_cast<uint64_t>(clock_.MonotonicNanos())};
  alive_.insert(process);
  return process;
}

void SimWorld::End(const ProcessId& process) {
  alive_.erase(process);
  if (watched_.erase(process) > 0 && !hide_deaths_) ended_.push_back(process);
}

void SimWorld::Reboot() {
  alive_.clear();
  clock_.Reboot();
  ++boots_;
  stuck_.clear();
}

void SimWorld::ForgetNode() {
  watched_.clear();
  ended_.clear();
  probes_.clear();
  stuck_.clear();
  open_.clear();
  answers_.clear();
}

int64_t SimWorld::NextProbe() const {
  int64_t next = 0;
  for (const Probe& probe : probes_) {
    if (next == 0 || probe.due < next) next = probe.due;
  }
  return next;
}

std::vector<ProcessId> SimWorld::Deliver() {
  while (true) {
    const auto due = std::find_if(probes_.begin(), probes_.end(), [this](const Probe& probe) {
      return probe.due <= clock_.MonotonicNanos();
    });
    if (due == probes_.end()) break;
    const Probe probe = std::move(*due);
    probes_.erase(due);
    if (probe.hangs) {
      probe.done(absl::DeadlineExceededError(
          absl::StrCat("the probe did not answer in ", probe.limit_ms, " ms and was killed")));
      if (!probe.killable) {
        stuck_.push_back(probe.gone);
      } else if (probe.gone) {
        probe.gone();
      }
    } else {
      if (probe.gone) probe.gone();
      probe.done(Devices(probe.measures));
    }
  }
  std::vector<ProcessId> ended(ended_.begin(), ended_.end());
  ended_.clear();
  return ended;
}

void SimWorld::SetHanging(bool hanging, bool killable) {
  hanging_ = hanging;
  killable_ = killable;
  if (hanging) return;
  for (const auto& gone : std::exchange(stuck_, {})) gone();
}

std::string SimWorld::Devices(bool measured) const {
  Json devices = Json::array();
  for (size_t i = 0; i < kDevices; ++i) {
    if (!present_[i]) continue;
    const double rate = measured ? 1e11 : 0;
    devices.push_back({{"id", absl::StrCat("gpu-", i)},
                       {"name", "simulated"},
                       {"vendor", "Acme"},
                       {"backend", "sim"},
                       {"kind", "gpu"},
                       {"memoryBytes", kDeviceBytes},
                       {"computeUnits", 8},
                       {"memoryBytesPerSecond", rate},
                       {"flopsPerSecond", rate}});
  }
  return PrintJson({{"backend", "sim"}, {"devices", devices}});
}

std::string SimWorld::NewId() { return UuidFromName(absl::StrCat("sim/", ++ids_)); }

absl::Status SimWorld::Watch(const ProcessId& process) {
  if (!alive_.contains(process)) {
    return absl::NotFoundError(absl::StrCat("process ", process.pid, " has ended"));
  }
  watched_.insert(process);
  return absl::OkStatus();
}

void SimWorld::ForgetUnless(const std::function<bool(const ProcessId&)>& keep) {
  std::erase_if(watched_, [&](const ProcessId& process) { return !keep(process); });
}

void SimWorld::StartProbe(const ProbeCommand& command, OnProbed done, std::function<void()> gone) {
  ++probes_started_;
  Probe probe;
  probe.measures = command.arguments.back() == "--measure";
  probe.hangs = hanging_;
  probe.killable = killable_;
  probe.limit_ms = command.limit_ms;
  probe.due = clock_.MonotonicNanos() + (probe.hangs ? command.limit_ms * 1'000'000 : kProbeNanos);
  probe.done = std::move(done);
  probe.gone = std::move(gone);
  probes_.push_back(std::move(probe));
}

void SimWorld::Answer(ConnectionId connection, const Json& message,
                      std::vector<UniqueFd> /*descriptors*/) {
  if (open_.contains(connection)) answers_.push_back({connection, message, {message}});
}

void SimWorld::AnswerInPages(ConnectionId connection, Stream stream) {
  if (!open_.contains(connection)) return;
  Answered answered = {connection, {}, {}};
  bool more = true;
  while (more) {
    Page page = stream();
    more = page.continues;
    answered.messages.push_back({{"parameters", std::move(page.parameters)}});
  }
  Json rows = Json::array();
  std::string field;
  for (const Json& message : answered.messages) {
    for (const auto& [name, list] : message["parameters"].items()) {
      field = name;
      for (const Json& row : list) rows.push_back(row);
    }
  }
  answered.message = {{"parameters", {{field, std::move(rows)}}}};
  answers_.push_back(std::move(answered));
}

}  // namespace het::daemon
