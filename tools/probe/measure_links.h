// MeasureLinks: how fast bytes get from every device of one backend to every device of another (or
// of the same), and to and from plain host memory. The figures are of the way het's own channels
// take: one hop where a side is host memory, else through staging memory in two overlapping hops.
// Some 50 ms a pair.
#ifndef HET_TOOLS_PROBE_MEASURE_LINKS_H_
#define HET_TOOLS_PROBE_MEASURE_LINKS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/driver.h"
#include "devices/topology.h"

namespace het::probe {

// The two may be one driver. Links from devices of `from` to devices of `to`, and between each of
// `from` and "host" where both are one. A device that cannot be opened has none.
absl::StatusOr<std::vector<MeasuredLink>> MeasureLinks(Driver& from, Driver& to);

}  // namespace het::probe

#endif  // HET_TOOLS_PROBE_MEASURE_LINKS_H_
