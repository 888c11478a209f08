// Methods: what org.het.v1 can be asked. Each request becomes an operation on the books and an
// answer that is held until Flush, at the end of the turn of the loop, when the operations are on
// disk.
//
// Ownership: borrows the books; the daemon owns it. Threads: the loop's.
#ifndef HET_DAEMON_METHODS_H_
#define HET_DAEMON_METHODS_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "daemon/answers.h"
#include "daemon/arbiters.h"
#include "daemon/lease_book.h"
#include "daemon/statistics.h"
#include "daemon/waiting_line.h"
#include "partition/ledger.h"

namespace het::daemon {

class Methods final : public RequestHandler {
 public:
  // What the daemon does for the methods.
  struct Hooks {
    std::function<absl::Status(const ProcessId&)> watch;  // NotFound: the process has ended
    std::function<void(std::function<void()> done)> rescan;
    std::function<void(std::function<void()> done)> measure_links;
    std::function<Json()> topology;
    std::function<std::vector<Json>()> links;
    std::function<std::vector<Json>()> telemetry;
    // May be missing: no reports, nothing counted.
    std::function<absl::StatusOr<Stream>(const Caller&, const Json&)> report = nullptr;
    std::function<void(const absl::Status&)> refused = nullptr;
    Statistics* statistics = nullptr;
  };

  Methods(Ledger& ledger, LeaseBook& book, Arbiters& arbiters, const Clock& clock, Hooks hooks,
          size_t waiting_per_user = kMaxWaiting);
  // Before the first request.
  void AnswerThrough(Answers* answers) { answers_ = answers; }

  void OnRequest(ConnectionId connection, const Caller& caller, const Json& request) override;
  void OnGone(ConnectionId connection) override;

  // Requests that need to know the devices wait for `devices`, those that plan also for `rates`.
  struct Known {
    bool devices = false;
    bool rates = false;
  };
  void SetKnown(Known known);

  // Makes the books durable, then sends the answers; tries the waiting line when capacity was
  // freed.
  void Flush();
  void AnswerOverdue();
  int64_t NextDeadline() const { return line_.NextDeadline(); }

 private:
  struct Call {
    ConnectionId connection = 0;
    Caller caller;
    std::string method;
    Json parameters;
  };
  using Handler = void (Methods::*)(const Call&);
  struct Entry {
    Handler handler;
    Known needs;
  };
  struct Held {
    Call call;
    Known needs;
  };
  // An answer that leaves with the next Flush. `durable`: not if the books cannot be written.
  struct Pending {
    ConnectionId connection = 0;
    bool durable = false;
    Json message;
    Stream stream;
    std::vector<UniqueFd> descriptors;
  };

  static const std::map<std::string, Entry, std::less<>>& Table();
  bool Knows(const Known& needs) const;

  static bool MaySee(const Caller& caller, const Lease* lease);
  void GetInfo(const Call& call);
  void ListDevices(const Call& call);
  void ListSlices(const Call& call);
  void ListLeases(const Call& call);
  void Acquire(const Call& call);
  void Confirm(const Call& call);
  void Cancel(const Call& call);
  void Release(const Call& call);
  void Renew(const Call& call);
  void Resize(const Call& call);
  void Drain(const Call& call);
  void CreateSlice(const Call& call);
  void DeleteSlice(const Call& call);
  void Attach(const Call& call);
  void AttachRegion(const Call& call);
  void PlanModel(const Call& call);
  void AcquireModel(const Call& call);
  void Rescan(const Call& call);
  void GetTopology(const Call& call);
  void ListLinks(const Call& call);
  void ListTelemetry(const Call& call);
  void Report(const Call& call);
  void GetStatistics(const Call& call);
  void ServiceInfo(const Call& call);
  void ServiceInterface(const Call& call);

  using ChangeFn = absl::StatusOr<std::vector<Lease>> (LeaseBook::*)(const Caller&,
                                                                     const protocol::LeaseChange&);
  void Change(const Call& call, ChangeFn change);
  // The lease that a call names, if it is the caller's.
  absl::StatusOr<Lease> LeaseOfCall(const Call& call) const;
  absl::StatusOr<std::vector<Lease>> ResizeAll(const Caller& caller,
                                               const protocol::ResizeRequest& request);
  absl::Status PrepareHolder(const Caller& caller, const protocol::LeaseTerms& terms);
  // The slices with a device each: hetd chooses those that name none.
  absl::StatusOr<std::vector<SliceRequest>> Placed(const Caller& caller,
                                                   const protocol::AcquireRequest& request) const;
  // The answer that tells of the leases, which are given back when it fits no frame.
  absl::StatusOr<Json> GrantedReply(const Caller& caller, const std::vector<Lease>& leases,
                                    Json parameters);
  // The reply's parameters.
  absl::StatusOr<Json> LeaseModel(const Caller& caller, const protocol::ModelRequest& request);
  // Why a request that could wait has to: it does not fit, or others were here before.
  absl::Status BehindOthers(const protocol::ModelRequest& request) const;
  void TryFirstInLine();

  // Answers a repeat of a request that was answered before. False: it is new.
  bool AnswerRepeat(const Call& call, const std::string& request_id);
  void Done(const Call& call, const std::string& request_id, absl::StatusOr<Json> parameters);
  void AnswerLater(ConnectionId connection, absl::StatusOr<Json> parameters, bool durable = false);
  void AnswerWith(ConnectionId connection, Json parameters, std::vector<UniqueFd> descriptors);
  void StreamLater(ConnectionId connection, Stream stream);
  void Send(Pending pending, const absl::Status& written);

  Ledger& ledger_;
  LeaseBook& book_;
  Arbiters& arbiters_;
  const Clock& clock_;
  const Hooks hooks_;
  Answers* answers_ = nullptr;
  const int64_t started_;
  Known known_;
  std::vector<Held> held_;
  std::vector<Pending> pending_;
  WaitingLine line_;
  uint64_t freed_seen_ = 0;
  uint64_t changes_seen_ = 0;  // of the book
  bool retry_line_ = false;
};

}  // namespace het::daemon

#endif  // HET_DAEMON_METHODS_H_
