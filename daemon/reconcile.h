// Reconcile: which of the stored leases still stand when hetd starts. A pure function of what was
// stored and what is.
#ifndef HET_DAEMON_RECONCILE_H_
#define HET_DAEMON_RECONCILE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "daemon/process.h"
#include "partition/slice.h"

namespace het::daemon {

struct RestartFacts {
  bool same_boot = true;
  int64_t last_boottime = 0;  // of the last commit, in the boot that wrote it
  int64_t now_boottime = 0;
  std::function<bool(const ProcessId&)> is_alive;
};

// Whether the store was written in this boot. Where the kernel tells no boot id, time that ran
// backwards does.
bool IsSameBoot(const std::string& stored_id, int64_t stored_boottime, const std::string& id,
                int64_t boottime);

struct Reconciled {
  struct Ended {
    Lease lease;
    std::string reason;
  };
  std::vector<Lease> kept;  // with their expiry in this boot's time
  std::vector<Ended> ended;
};

// A process's lease ends with the process, and with the boot. One with an expiry keeps what it had
// left when the store was last written, so a reboot lengthens it by the time the machine was down.
// When a tried lease of a transaction ends, all of the transaction does.
Reconciled Reconcile(const std::vector<Lease>& stored, const RestartFacts& facts);

}  // namespace het::daemon

#endif  // HET_DAEMON_RECONCILE_H_
