// Scope: a transient systemd scope with the cgroup limits of a slice of host processors, for
// programs that use them directly. systemd-run makes the scope around itself and becomes the
// program: the process stays the same, and with it the lease.
//
// Pure but for SystemdRun, which looks at the machine. Threads: any.
#ifndef HET_TOOLS_HETCTL_SCOPE_H_
#define HET_TOOLS_HETCTL_SCOPE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "partition/slice.h"

namespace het::hetctl {

// How to reach a service manager that can make scopes for this user: the program's path and
// whether it is the user's own manager. nullopt: systemd does not run here, or not for this user.
struct ServiceManager {
  std::string systemd_run;
  bool user = false;
};
std::optional<ServiceManager> SystemdRun();

// The arguments that go before the program's own. MemoryMax is the slice's memory, swap included.
// A time-shared slice is a quota of its cores' time when capped, else a weight (1 % = 100,
// systemd's default for everything else) or, for best effort, idle priority.
std::vector<std::string> ScopeArguments(const ServiceManager& manager, const Lease& lease);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_SCOPE_H_
