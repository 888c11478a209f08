// Arbiters: hetd's side of the shares that several processes have of one device. There is one
// arbiter per piece of silicon (devices that are the same hardware have one together), made when
// the first process attaches. hetd seats processes, publishes what each lease may, and reaps the
// dead; the launches themselves never come here (partition/arbiter_host.h).
//
// Ownership: borrows the ledger, the book and the clock. Threads: the loop's. Failures: those of
// ArbiterHost.
#ifndef HET_DAEMON_ARBITERS_H_
#define HET_DAEMON_ARBITERS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/json.h"
#include "daemon/lease_book.h"
#include "daemon/process.h"
#include "partition/arbiter_host.h"
#include "partition/ledger.h"
#include "protocol/messages.h"

namespace het::daemon {

class Arbiters {
 public:
  Arbiters(const Ledger& ledger, const LeaseBook& book, const Clock& clock)
      : ledger_(ledger), book_(book), clock_(clock) {}

  // Goes on with the arbiters that a hetd before this one left to the processes of its leases, once
  // the book and the inventory are known. Gives the processes that are seated.
  std::vector<ProcessId> Recover();

  // What Attach answers: the seat's numbers, and the descriptors that go with it.
  struct Seated {
    Json seat;
    std::vector<UniqueFd> descriptors;
  };
  // One seat per process and lease; a process that asks again gets a new one.
  absl::StatusOr<Seated> Attach(const Lease& lease, const ProcessId& process);
  absl::StatusOr<UniqueFd> Region(const Lease& lease, uint32_t region) const;

  // Whether the arbiter takes the slice as it is now in the ledger: a quota below what is used is
  // refused (FailedPrecondition). Nothing to ask when nobody attached.
  absl::Status Change(const Lease& lease);
  // Publishes what the books say: leases that ended, changed, or whose cores did.
  void Sync();
  // Takes every seat of a process that has ended.
  void Reap(const ProcessId& process);
  bool HasSeats(const ProcessId& process) const { return seats_.contains(process); }
  // Some lease has, or had, a process attached.
  bool AnyAttached() const { return !entries_.empty(); }
  bool empty() const { return hosts_.empty(); }
  void Beat();

  protocol::SliceUsage UsageOf(const Lease& lease) const;

 private:
  struct Entry {
    std::string host;    // key of hosts_
    uint32_t index = 0;  // of the lease there
    Slice published;
    std::vector<uint32_t> cores;
  };
  struct SeatRef {
    std::string lease;
    uint32_t slot = 0;
  };

  absl::StatusOr<ArbiterHost*> HostOf(const Slice& slice, std::string& key);
  ArbiterLease TermsOf(const Lease& lease) const;
  // The service manager keeps the pages over hetd's death: hetd may not look into the processes of
  // other users, where they are mapped too.
  void KeepPages(const ArbiterHost& host);

  const Ledger& ledger_;
  const LeaseBook& book_;
  const Clock& clock_;
  std::map<std::string, std::unique_ptr<ArbiterHost>> hosts_;  // by Ledger::PoolOf
  std::map<std::string, Entry, std::less<>> entries_;          // by lease
  std::map<ProcessId, std::vector<SeatRef>> seats_;
  std::set<std::string> kept_;  // names of pages
};

}  // namespace het::daemon

#endif  // HET_DAEMON_ARBITERS_H_
