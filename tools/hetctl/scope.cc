#include "tools/hetctl/scope.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/units.h"

namespace het::hetctl {

std::optional<ServiceManager> SystemdRun() {
  namespace fs = std::filesystem;
  std::error_code error;
  // What sd_booted(3) looks at.
  if (!fs::is_directory("/run/systemd/system", error)) return std::nullopt;
  ServiceManager manager;
  manager.user = geteuid() != 0;
  if (manager.user) {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    if (runtime == nullptr || !fs::exists(fs::path(runtime) / "systemd" / "private", error)) {
      return std::nullopt;
    }
  }
  const char* path = std::getenv("PATH");
  for (absl::string_view folder : absl::StrSplit(path == nullptr ? "/usr/bin" : path, ':')) {
    manager.systemd_run = absl::StrCat(folder, "/systemd-run");
    if (access(manager.systemd_run.c_str(), X_OK) == 0) return manager;
  }
  return std::nullopt;
}

std::vector<std::string> ScopeArguments(const ServiceManager& manager, const Lease& lease) {
  const Slice& slice = lease.slice;
  std::vector<std::string> arguments = {manager.systemd_run,
                                        "--scope",
                                        "--quiet",
                                        "--collect",
                                        absl::StrCat("--unit=het-", lease.id, ".scope"),
                                        absl::StrCat("--description=het lease ", lease.id)};
  if (manager.user) arguments.push_back("--user");
  const auto set = [&](absl::string_view property, const auto& value) {
    arguments.push_back(absl::StrCat("--property=", property, "=", value));
  };
  set("MemoryMax", slice.memory_bytes);
  set("MemorySwapMax", 0);
  if (!slice.cores.empty()) set("AllowedCPUs", absl::StrJoin(slice.cores, ","));
  if (slice.time_shared) {
    const uint64_t parts = slice.share.parts();
    switch (slice.policy) {
      case Policy::kCapped:
        // Percent of one processor.
        set("CPUQuota", absl::StrCat(std::max<uint64_t>(1, parts * slice.cores.size() / 100), "%"));
        break;
      case Policy::kGuaranteed:
        set("CPUWeight", std::clamp<uint64_t>(parts, 1, 10000));
        break;
      case Policy::kBestEffort:
        set("CPUWeight", "idle");
        break;
    }
  }
  arguments.push_back("--");
  return arguments;
}

}  // namespace het::hetctl
