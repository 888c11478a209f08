#include "runtime/broker.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/uuid.h"
#include "protocol/attach.h"
#include "runtime/discovery.h"

namespace het::runtime {
namespace {

constexpr int kDiscoveryMs = 15'000;
constexpr int kPollMs = 20;

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedBroker>> EmbeddedBroker::Create(std::string simulate) {
  std::unique_ptr<EmbeddedBroker> broker(new EmbeddedBroker(std::move(simulate)));
  HET_RETURN_IF_ERROR(broker->ListDevices(true).status());
  return broker;
}

absl::StatusOr<std::vector<protocol::DeviceRow>> EmbeddedBroker::ListDevices(bool rescan) {
  std::vector<DeviceInfo> found;
  if (rescan) {
    HET_ASSIGN_OR_RETURN(found, DiscoverDevices(simulate_));
  }
  absl::MutexLock lock(&mutex_);
  if (rescan) ledger_.SetInventory(std::move(found));
  std::vector<protocol::DeviceRow> rows;
  for (const DeviceInfo& info : ledger_.devices()) rows.push_back({info, ledger_.FreeOf(info)});
  return rows;
}

absl::StatusOr<std::vector<Lease>> EmbeddedBroker::Acquire(absl::Span<const SliceRequest> requests,
                                                           Isolation, const std::string& tenant) {
  for (const SliceRequest& request : requests) {
    if (request.name.empty()) continue;
    return absl::NotFoundError(absl::StrCat("there is no slice \"", request.name,
                                            "\": an embedded session has no named slices, hetd "
                                            "keeps them"));
  }
  absl::MutexLock lock(&mutex_);
  HET_ASSIGN_OR_RETURN(const std::vector<Slice> slices, ledger_.TryAcquire(requests));
  std::vector<Lease> leases;
  for (const Slice& slice : slices) {
    Lease lease;
    lease.id = NewUuid();
    lease.tenant = tenant;
    lease.uid = getuid();
    lease.pid = getpid();
    lease.slice = slice;
    lease.state = LeaseState::kConfirmed;
    lease.generation = 1;
    leases.push_back(std::move(lease));
  }
  return leases;
}

absl::Status EmbeddedBroker::Release(const Lease& lease) {
  absl::MutexLock lock(&mutex_);
  const auto seated = seated_.find(lease.id);
  if (seated != seated_.end()) {
    HET_RETURN_IF_ERROR(seated->second.first->RemoveLease(seated->second.second));
    seated_.erase(seated);
  }
  return ledger_.Release(lease.slice.id);
}

// What hetd does for many processes (daemon/arbiters.h), for the leases of this one.
absl::StatusOr<std::shared_ptr<ArbiterSeat>> EmbeddedBroker::Attach(const Lease& lease) {
  if (!lease.slice.time_shared) return std::shared_ptr<ArbiterSeat>();
  absl::MutexLock lock(&mutex_);
  std::unique_ptr<ArbiterHost>& host = hosts_[ledger_.PoolOf(lease.slice.device)];
  if (host == nullptr) {
    ArbiterOptions options;
    if (!lease.slice.cores.empty()) options.depth = 1;
    HET_ASSIGN_OR_RETURN(host, ArbiterHost::Create(lease.slice.device, options));
  }
  ArbiterLease terms;
  terms.weight = lease.slice.share;
  terms.policy = lease.slice.policy;
  terms.memory_quota = lease.slice.memory_bytes;
  terms.uid = lease.uid;
  HET_ASSIGN_OR_RETURN(const uint32_t index, host->AddLease(terms));
  seated_[lease.id] = {host.get(), index};
  HET_ASSIGN_OR_RETURN(SeatGrant grant, host->Seat(index, getpid(), 0));
  HET_ASSIGN_OR_RETURN(std::unique_ptr<ArbiterSeat> seat, ArbiterSeat::Join(std::move(grant)));
  return std::shared_ptr<ArbiterSeat>(std::move(seat));
}

absl::StatusOr<std::unique_ptr<DaemonBroker>> DaemonBroker::Connect(const std::string& socket) {
  HET_ASSIGN_OR_RETURN(std::unique_ptr<protocol::Client> client, protocol::Client::Connect(socket));
  // A daemon that was just started is still looking at the machine: its first list would be empty.
  for (int waited_ms = 0; waited_ms < kDiscoveryMs; waited_ms += kPollMs) {
    HET_ASSIGN_OR_RETURN(const protocol::DaemonInfo info, client->GetInfo());
    if (!info.discovering) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
  }
  return std::unique_ptr<DaemonBroker>(new DaemonBroker(std::move(client)));
}

absl::StatusOr<std::vector<protocol::DeviceRow>> DaemonBroker::ListDevices(bool rescan) {
  if (rescan) HET_RETURN_IF_ERROR(client_->Rescan());
  return client_->ListDevices();
}

absl::StatusOr<std::vector<Lease>> DaemonBroker::Acquire(absl::Span<const SliceRequest> requests,
                                                         Isolation apart,
                                                         const std::string& tenant) {
  protocol::AcquireRequest request;
  request.terms.tenant = tenant;
  request.terms.holder = Holder::kProcess;
  request.terms.confirm = true;
  if (apart != Isolation::kCooperative) request.terms.isolation_at_least = apart;
  request.slices.assign(requests.begin(), requests.end());
  return client_->Acquire(std::move(request));
}

absl::Status DaemonBroker::Release(const Lease& lease) {
  protocol::LeaseChange change;
  change.leases.push_back({lease.id, lease.generation});
  return client_->Release(std::move(change));
}

absl::StatusOr<std::shared_ptr<ArbiterSeat>> DaemonBroker::Attach(const Lease& lease) {
  absl::StatusOr<protocol::Attachment> attachment = protocol::Attach(*client_, lease.id);
  // A daemon of the version before has no arbiter.
  if (absl::IsUnimplemented(attachment.status())) return std::shared_ptr<ArbiterSeat>();
  HET_RETURN_IF_ERROR(attachment.status());
  HET_ASSIGN_OR_RETURN(std::unique_ptr<ArbiterSeat> seat,
                       ArbiterSeat::Join(std::move(attachment->grant)));
  return std::shared_ptr<ArbiterSeat>(std::move(seat));
}

}  // namespace het::runtime
