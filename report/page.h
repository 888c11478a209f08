// Page: a report as one HTML file that needs nothing else: opens offline, light or dark as the
// reader's system is. It shows the fleet's hours by state, each device, each tenant, fragmentation
// and refused requests, and tables with the same numbers. Functions only; any thread.
#ifndef HET_REPORT_PAGE_H_
#define HET_REPORT_PAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "report/allocation.h"

namespace het::report {

// InvalidArgument for a row whose device the report does not have.
absl::StatusOr<std::string> WritePage(const Report& report);

// What the page draws: per device and hour the shares of the six states in 1/10000. Public for
// tests.
absl::StatusOr<Json> PageData(const Report& report);

}  // namespace het::report

#endif  // HET_REPORT_PAGE_H_
