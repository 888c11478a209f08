// Broker: who keeps the books of the devices, as a session sees it: hetd (DaemonBroker) or a ledger
// in this process (EmbeddedBroker).
//
// Ownership: the session owns it. Threads: all members are thread-safe; a daemon's answer may take
// as long as the client's time limit. Failures: those of protocol/client.h and partition/ledger.h.
#ifndef HET_RUNTIME_BROKER_H_
#define HET_RUNTIME_BROKER_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "partition/arbiter_host.h"
#include "partition/arbiter_seat.h"
#include "partition/ledger.h"
#include "partition/slice.h"
#include "protocol/client.h"
#include "protocol/messages.h"

namespace het::runtime {

class Broker {
 public:
  virtual ~Broker() = default;
  // Every device and what is free of it. `rescan`: look at the machine again first.
  virtual absl::StatusOr<std::vector<protocol::DeviceRow>> ListDevices(bool rescan) = 0;
  // All or none, confirmed; the leases end with this process. `apart`: what must keep them from
  // slices of other users; kCooperative: as the daemon has it.
  virtual absl::StatusOr<std::vector<Lease>> Acquire(absl::Span<const SliceRequest> requests,
                                                     Isolation apart,
                                                     const std::string& tenant) = 0;
  virtual absl::Status Release(const Lease& lease) = 0;
  // This process's seat in the arbiter of a lease; null when the daemon has none to give.
  virtual absl::StatusOr<std::shared_ptr<ArbiterSeat>> Attach(const Lease& lease) = 0;
};

class EmbeddedBroker final : public Broker {
 public:
  // `simulate`: a profile file of simulated devices, or empty.
  static absl::StatusOr<std::unique_ptr<EmbeddedBroker>> Create(std::string simulate);

  absl::StatusOr<std::vector<protocol::DeviceRow>> ListDevices(bool rescan) override;
  absl::StatusOr<std::vector<Lease>> Acquire(absl::Span<const SliceRequest> requests,
                                             Isolation apart, const std::string& tenant) override;
  absl::Status Release(const Lease& lease) override;
  absl::StatusOr<std::shared_ptr<ArbiterSeat>> Attach(const Lease& lease) override;

 private:
  explicit EmbeddedBroker(std::string simulate) : simulate_(std::move(simulate)) {}

  const std::string simulate_;
  absl::Mutex mutex_;
  Ledger ledger_ ABSL_GUARDED_BY(mutex_);
  // An arbiter per piece of silicon that leases of this process share in time, and their indices.
  std::map<std::string, std::unique_ptr<ArbiterHost>> hosts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::pair<ArbiterHost*, uint32_t>> seated_ ABSL_GUARDED_BY(mutex_);
};

class DaemonBroker final : public Broker {
 public:
  // Unavailable when no daemon answers; the message says where it looked.
  static absl::StatusOr<std::unique_ptr<DaemonBroker>> Connect(const std::string& socket);

  absl::StatusOr<std::vector<protocol::DeviceRow>> ListDevices(bool rescan) override;
  absl::StatusOr<std::vector<Lease>> Acquire(absl::Span<const SliceRequest> requests,
                                             Isolation apart, const std::string& tenant) override;
  absl::Status Release(const Lease& lease) override;
  absl::StatusOr<std::shared_ptr<ArbiterSeat>> Attach(const Lease& lease) override;

 private:
  explicit DaemonBroker(std::unique_ptr<protocol::Client> client) : client_(std::move(client)) {}

  const std::unique_ptr<protocol::Client> client_;
};

}  // namespace het::runtime

#endif  // HET_RUNTIME_BROKER_H_
