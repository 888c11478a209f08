#include "daemon/reconcile.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace het::daemon {
namespace {

// Why the lease has ended, or empty.
std::string ReasonToEnd(const Lease& lease, const RestartFacts& facts) {
  if (lease.expiry_boottime != 0 && lease.expiry_boottime <= facts.now_boottime) {
    return lease.state == LeaseState::kTried ? "it was not confirmed in time" : "its time is over";
  }
  if (lease.holder == Holder::kManual) return "";
  if (!facts.same_boot) return absl::StrCat("process ", lease.pid, " ended with the last boot");
  if (!facts.is_alive({lease.pid, lease.start_time})) {
    return absl::StrCat("process ", lease.pid, " has ended");
  }
  return "";
}

bool IsUndecided(const Lease& lease) {
  return lease.state == LeaseState::kTried && !lease.transaction.empty();
}

}  // namespace

bool IsSameBoot(const std::string& stored_id, int64_t stored_boottime, const std::string& id,
                int64_t boottime) {
  if (!stored_id.empty() && !id.empty()) return stored_id == id;
  return boottime >= stored_boottime;
}

Reconciled Reconcile(const std::vector<Lease>& stored, const RestartFacts& facts) {
  Reconciled result;
  std::set<std::pair<uid_t, std::string>> broken;  // transactions
  for (Lease lease : stored) {
    if (lease.expiry_boottime != 0 && !facts.same_boot) {
      lease.expiry_boottime += facts.now_boottime - facts.last_boottime;
    }
    std::string reason = ReasonToEnd(lease, facts);
    if (reason.empty()) {
      result.kept.push_back(std::move(lease));
    } else {
      if (IsUndecided(lease)) broken.emplace(lease.uid, lease.transaction);
      result.ended.push_back({std::move(lease), std::move(reason)});
    }
  }
  std::vector<Lease> kept;
  for (Lease& lease : result.kept) {
    if (IsUndecided(lease) && broken.contains({lease.uid, lease.transaction})) {
      result.ended.push_back({std::move(lease), "another lease of its transaction ended"});
    } else {
      kept.push_back(std::move(lease));
    }
  }
  result.kept = std::move(kept);
  return result;
}

}  // namespace het::daemon
