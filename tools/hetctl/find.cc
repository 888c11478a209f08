#include "tools/hetctl/find.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace het::hetctl {

absl::StatusOr<protocol::DeviceRow> FindDevice(protocol::Client& client, const std::string& text) {
  HET_ASSIGN_OR_RETURN(const std::vector<protocol::DeviceRow> rows, client.ListDevices());
  std::vector<const protocol::DeviceRow*> found;
  std::string there;
  for (const protocol::DeviceRow& row : rows) {
    absl::StrAppend(&there, "\n  ", row.info.uuid, "  ", row.info.backend, "  ", row.info.name);
    if (!text.empty() && absl::StartsWith(row.info.uuid, text)) found.push_back(&row);
  }
  if (found.empty()) {
    for (const protocol::DeviceRow& row : rows) {
      if (row.info.backend == text) found.push_back(&row);
    }
  }
  if (found.size() == 1) return *found.front();
  return absl::NotFoundError(absl::StrCat(
      found.empty() ? "no device is" : "more than one device is", " \"", text,
      "\" (an id, its beginning, or a backend); there are", there.empty() ? " none" : there));
}

absl::StatusOr<Lease> FindLease(protocol::Client& client, const std::string& text) {
  HET_ASSIGN_OR_RETURN(const std::vector<Lease> leases, client.ListLeases());
  std::vector<const Lease*> found;
  for (const Lease& lease : leases) {
    if (!text.empty() && absl::StartsWith(lease.id, text)) found.push_back(&lease);
  }
  if (found.size() == 1) return *found.front();
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("no lease \"", text, "\"; see hetctl get leases"));
  }
  return absl::InvalidArgumentError(absl::StrCat("more than one lease begins with \"", text, "\""));
}

}  // namespace het::hetctl
