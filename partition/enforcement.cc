#include "partition/enforcement.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/units.h"

namespace het {
namespace {

std::string TimeOf(const Slice& slice) {
  const std::string share = FormatShare(slice.share);
  switch (slice.policy) {
    case Policy::kCapped:
      return absl::StrCat("at most ", share, " of the time");
    case Policy::kBestEffort:
      return "the time that others leave";
    case Policy::kGuaranteed:
      break;
  }
  return absl::StrCat("at least ", share, " of the time while it has work");
}

std::string ComputeOf(const Slice& slice, const DeviceInfo& device) {
  if (slice.time_shared) {
    return absl::StrCat(
        "arbiter: ", TimeOf(slice),
        device.cores.empty() ? "" : ", on the cores that no other slice has alone",
        "; holds launches through libhet and hetctl run, not a process that opens the driver by "
        "itself, and not memory bandwidth or package power");
  }
  if (!slice.cores.empty()) {
    return absl::StrCat("processor affinity: cores ", absl::StrJoin(slice.cores, ","),
                        " for itself; memory bandwidth and the last-level cache are shared");
  }
  if (slice.compute_units > 0) {
    return absl::StrCat("sub-device of ", slice.compute_units, " of ", device.compute_units,
                        " compute units; memory bandwidth is shared");
  }
  return "the whole device";
}

}  // namespace

Enforcement EnforcementOf(const Slice& slice, const DeviceInfo& device) {
  return {ComputeOf(slice, device),
          absl::StrCat("reservation of every allocation before the driver is asked, up to ",
                       FormatBytes(slice.memory_bytes),
                       "; holds libhet and hetctl run, not a process that opens the driver by "
                       "itself")};
}

}  // namespace het
