// Client: a blocking connection to hetd.
//
// Ownership: the caller owns it; hetd keeps nothing for a connection, so closing it releases no
// lease. Threads: safe; calls of several threads take turns. Failures: Unavailable when no daemon
// answers (says where it looked and how to start one), DeadlineExceeded when it does not answer in
// time, and the status of each refusal as protocol/errors.h has it. When the connection breaks
// (hetd was restarted) a call connects again and repeats itself once: calls that change something
// carry a request id, so that a repeat cannot act twice.
#ifndef HET_PROTOCOL_CLIENT_H_
#define HET_PROTOCOL_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "partition/shared_pages.h"
#include "protocol/frame.h"
#include "protocol/messages.h"

namespace het::protocol {

// $HET_SOCKET, else $XDG_RUNTIME_DIR/het/het.sock when it exists, else /run/het/het.sock.
std::string DefaultSocketPath();

class Client {
 public:
  // An empty path: the default. `timeout_ms` bounds connecting and each call.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const std::string& socket_path = "",
                                                         int64_t timeout_ms = 10'000);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const std::string& socket_path() const { return path_; }

  absl::StatusOr<DaemonInfo> GetInfo();
  absl::StatusOr<std::vector<DeviceRow>> ListDevices();
  absl::StatusOr<std::vector<SliceRow>> ListSlices();
  absl::StatusOr<std::vector<Lease>> ListLeases();

  // All slices or none. A process lease lives with the process of this client. Without a
  // request_id one is made; without a tenant it is $USER, without a
  // job $SLURM_JOB_ID, $PBS_JOBID, $LSB_JOBID or $JOB_ID.
  absl::StatusOr<std::vector<Lease>> Acquire(AcquireRequest request);
  absl::StatusOr<std::vector<Lease>> Confirm(LeaseChange change);
  absl::Status Cancel(LeaseChange change);
  absl::Status Release(LeaseChange change);
  // A new time to live, from now. Gives the leases with their new generation.
  absl::StatusOr<std::vector<Lease>> Renew(LeaseChange change);

  // What AcquireModel would lease now. Takes nothing and does not wait.
  absl::StatusOr<ModelPlan> PlanModel(const ModelRequest& request);
  // Plans against what is free and leases every stage's slice in one transaction. Waits in line up
  // to request.wait_ms; ResourceExhausted at once for what can never fit.
  absl::StatusOr<ModelReply> AcquireModel(ModelRequest request);

  // Other shares or sizes for leases that are held, all or none; see ResizeRequest.
  absl::StatusOr<std::vector<Lease>> Resize(ResizeRequest request);
  // Named slices, which tenants lease by name; for administrators.
  absl::StatusOr<Slice> CreateSlice(const SliceRequest& slice);
  absl::Status DeleteSlice(const std::string& name);
  // No new leases on a device, or new ones again.
  absl::Status Drain(const std::string& device, bool drain);
  // Looks at the machine again; returns when that is done.
  absl::Status Rescan();

  // Any method, by its full name ("org.varlink.service.GetInfo"). The reply's parameters.
  absl::StatusOr<Json> Call(const std::string& method, const Json& parameters,
                            int64_t extra_timeout_ms = 0);
  // The same; descriptors that came with the reply are added to `descriptors`.
  absl::StatusOr<Json> Call(const std::string& method, const Json& parameters,
                            std::vector<UniqueFd>& descriptors);
  // A call with "more": the parameters of every reply.
  absl::StatusOr<std::vector<Json>> CallMore(const std::string& method, const Json& parameters);

 private:
  Client(std::string path, int64_t timeout_ms);

  // The raw replies to one call, and their descriptors if somebody wants them.
  absl::StatusOr<std::vector<Json>> Exchange(const std::string& method, const Json& parameters,
                                             bool more, int64_t timeout_ms,
                                             std::vector<UniqueFd>* descriptors = nullptr)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::vector<Json>> ExchangeOnce(const std::string& frame, int64_t deadline_ns,
                                                 bool& broken)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Open(int64_t deadline_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Reopen(int64_t deadline_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Close() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Send(const std::string& frame, int64_t deadline_ns, bool& broken)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Json> Receive(int64_t deadline_ns, bool& broken)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Wait(short events, int64_t deadline_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  template <typename Row, typename Parse>
  absl::StatusOr<std::vector<Row>> List(absl::string_view method, const char* field, Parse parse);
  absl::StatusOr<std::vector<Lease>> Change(absl::string_view method, LeaseChange change);

  const std::string path_;
  const int64_t timeout_ms_;
  absl::Mutex mutex_;
  std::vector<UniqueFd> descriptors_ ABSL_GUARDED_BY(mutex_);  // of the exchange that goes on
  int fd_ ABSL_GUARDED_BY(mutex_) = -1;
  FrameReader reader_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace het::protocol

#endif  // HET_PROTOCOL_CLIENT_H_
