// FetchReport: the allocation report of a time, as hetd keeps it.
//
// Failures: those of the client; Internal when hetd answers something else.
#ifndef HET_TOOLS_HETCTL_FETCH_REPORT_H_
#define HET_TOOLS_HETCTL_FETCH_REPORT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "protocol/client.h"
#include "report/allocation.h"

namespace het::hetctl {

// [from, to) in Unix seconds.
absl::StatusOr<report::Report> FetchReport(protocol::Client& client, int64_t from, int64_t to);
// Out of the replies' parameters. Public for tests.
absl::StatusOr<report::Report> ReportFromPages(const std::vector<Json>& pages);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_FETCH_REPORT_H_
