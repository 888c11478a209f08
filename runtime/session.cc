#include "runtime/session.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "devices/registry.h"
#include "runtime/isolation/driver.h"

namespace het::runtime {
namespace {

std::string UserName() {
  char buffer[4096];
  passwd entry;
  passwd* found = nullptr;
  if (getpwuid_r(getuid(), &entry, buffer, sizeof(buffer), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return absl::StrCat("uid ", getuid());
}

// The stages' functions only put work on queues, so few workers serve many stages.
int ExecutorWorkers() { return std::thread::hardware_concurrency() > 1 ? 2 : 1; }

std::string ProfileOf(const DeviceInfo& info) {
  const auto it = info.attributes.find("profile");
  return it == info.attributes.end() ? "" : it->second;
}

}  // namespace

Session::Session(std::unique_ptr<Broker> broker, bool embedded, std::string tenant,
                 std::string isolate)
    : Handle(kKind),
      broker_(std::move(broker)),
      embedded_(embedded),
      tenant_(std::move(tenant)),
      isolate_(std::move(isolate)) {}

absl::StatusOr<Ref<Session>> Session::Open(const SessionOptions& options) {
  HET_RETURN_IF_ERROR(isolation::CheckIsolated(options.isolate));
  const std::string tenant = options.tenant.empty() ? UserName() : options.tenant;
  std::unique_ptr<Broker> broker;
  bool embedded = options.mode == SessionOptions::Mode::kEmbedded;
  if (!embedded) {
    absl::StatusOr<std::unique_ptr<DaemonBroker>> daemon = DaemonBroker::Connect(options.socket);
    if (daemon.ok()) {
      broker = *std::move(daemon);
    } else if (options.mode == SessionOptions::Mode::kFallback &&
               absl::IsUnavailable(daemon.status())) {
      Log().info("no daemon, going on embedded: {}", daemon.status().ToString());
      embedded = true;
    } else {
      return daemon.status();
    }
  }
  if (embedded) {
    HET_ASSIGN_OR_RETURN(broker, EmbeddedBroker::Create(options.simulate));
  }
  Ref<Session> session(new Session(std::move(broker), embedded, tenant, options.isolate));
  HET_RETURN_IF_ERROR(session->List(false));
  return session;
}

absl::Status Session::Refresh() { return List(true); }

absl::Status Session::List(bool rescan) {
  HET_ASSIGN_OR_RETURN(const std::vector<protocol::DeviceRow> rows, broker_->ListDevices(rescan));
  absl::MutexLock lock(&mutex_);
  rows_.clear();
  for (const protocol::DeviceRow& row : rows) rows_.push_back(Keep(row));
  return absl::OkStatus();
}

Session::Row Session::Keep(const protocol::DeviceRow& row) {
  const Json json = ToJson(row.info);
  for (const Shown& known : shown_) {
    if (known.info.uuid == row.info.uuid && ToJson(known.info) == json) {
      return {&known.info, &known.why, row.free};
    }
  }
  const bool both = !row.info.reason.empty() && !row.info.remedy.empty();
  shown_.push_back({row.info, absl::StrCat(row.info.reason, both ? "; " : "", row.info.remedy)});
  return {&shown_.back().info, &shown_.back().why, row.free};
}

size_t Session::device_count() const {
  absl::MutexLock lock(&mutex_);
  return rows_.size();
}

absl::StatusOr<Session::Row> Session::device(size_t index) const {
  absl::MutexLock lock(&mutex_);
  if (index >= rows_.size()) {
    return absl::OutOfRangeError(
        absl::StrCat("asked device ", index, ", there are ", rows_.size()));
  }
  return rows_[index];
}

absl::Status Session::TooLittleIsolation(const Slice& slice, Isolation asked) const {
  absl::MutexLock lock(&mutex_);
  const DeviceInfo* info = nullptr;
  for (const Row& row : rows_) {
    if (row.info->uuid == slice.device) info = row.info;
  }
  std::string what_would =
      "its driver does not divide it, so its slices take turns by het's arbiter";
  if (info != nullptr && !info->cores.empty()) {
    what_would = absl::StrCat("a share of whole cores of its ", info->cores.size(),
                              " is held by the driver");
  } else if (info != nullptr && info->can_sub_divide) {
    what_would = absl::StrCat("a share of whole units of its ", info->compute_units,
                              ", with guaranteed or capped policy, is held by the driver");
  }
  if (asked == Isolation::kHardware) {
    what_would =
        "only the whole of a partition that the vendor's own tool made (a MIG instance) is";
  }
  return absl::FailedPreconditionError(
      absl::StrCat("asked for isolation of at least \"", IsolationName(asked), "\" for ",
                   FormatShare(slice.share), " of ", info == nullptr ? slice.device : info->name,
                   "; that slice would be \"", IsolationName(slice.isolation), "\": ", what_would));
}

absl::StatusOr<std::vector<Ref<LeaseHandle>>> Session::Acquire(
    absl::Span<const SliceRequest> requests, absl::Span<const Isolation> held_by) {
  Isolation strictest = Isolation::kCooperative;
  for (const Isolation one : held_by) strictest = std::min(strictest, one);  // hardware is first
  HET_ASSIGN_OR_RETURN(std::vector<Lease> grants, broker_->Acquire(requests, strictest, tenant_));
  const auto give_back = [&](absl::Status why) {
    for (const Lease& grant : grants) broker_->Release(grant).IgnoreError();
    return why;
  };
  if (grants.size() != requests.size()) {
    return give_back(absl::InternalError(
        absl::StrCat("asked ", requests.size(), " slices, got ", grants.size(), " leases")));
  }
  for (size_t i = 0; i < held_by.size(); ++i) {
    const Slice& slice = grants[i].slice;
    if (slice.isolation <= held_by[i]) continue;
    return give_back(TooLittleIsolation(slice, held_by[i]));
  }
  std::vector<Ref<LeaseHandle>> leases;
  {
    absl::MutexLock lock(&mutex_);
    for (const Lease& grant : grants) {
      const DeviceInfo* info = nullptr;
      for (const Row& row : rows_) {
        if (row.info->uuid == grant.slice.device) info = row.info;
      }
      if (info == nullptr) break;
      leases.push_back(MakeRef<LeaseHandle>(Ref<Session>(this), grant, *info));
    }
    if (leases.size() == grants.size()) {
      for (const auto& lease : leases) leases_.push_back(lease.get());
    }
  }
  if (leases.size() != grants.size()) {
    for (const auto& lease : leases) lease->Disown();
    return give_back(absl::NotFoundError(
        absl::StrCat("device ", requests[leases.size()].device,
                     " appeared after this session listed the devices; refresh it")));
  }
  // Now rather than at the first launch: hetd is there, and work goes on when it is not.
  for (const Ref<LeaseHandle>& lease : leases) HET_RETURN_IF_ERROR(lease->TakeSeat());
  // What is free has changed; a daemon that does not answer now is told by the next Refresh.
  List(false).IgnoreError();
  return leases;
}

void Session::Released(const LeaseHandle& lease) {
  {
    absl::MutexLock lock(&mutex_);
    leases_.erase(std::remove(leases_.begin(), leases_.end(), &lease), leases_.end());
  }
  const absl::Status status = broker_->Release(lease.grant());
  if (!status.ok()) {
    Log().warn("lease {} could not be released, it ends with this process: {}", lease.grant().id,
               status.ToString());
  }
  List(false).IgnoreError();
}

absl::StatusOr<Driver*> Session::DriverFor(const DeviceInfo& device) {
  DriverOptions options;
  const std::string profile = ProfileOf(device);
  if (!profile.empty()) options.settings["profile"] = profile;
  {
    // The driver's own threads may run where the leases of this process may, and nowhere else.
    absl::MutexLock lock(&mutex_);
    std::set<uint32_t> cores;
    for (const LeaseHandle* lease : leases_) {
      if (lease->info().backend != device.backend) continue;
      cores.insert(lease->grant().slice.cores.begin(), lease->grant().slice.cores.end());
    }
    options.cores.assign(cores.begin(), cores.end());
  }
  absl::MutexLock lock(&drivers_mutex_);
  std::unique_ptr<Driver>& driver = drivers_[{device.backend, profile}];
  if (driver == nullptr) {
    HET_ASSIGN_OR_RETURN(driver, isolation::IsIsolated(isolate_, device.backend)
                                     ? isolation::CreateIsolatedDriver(device.backend, options)
                                     : CreateDriver(device.backend, options));
  }
  return driver.get();
}

Executor& Session::executor() {
  absl::MutexLock lock(&mutex_);
  if (executor_ == nullptr) executor_ = std::make_unique<Executor>(ExecutorWorkers());
  return *executor_;
}

}  // namespace het::runtime
