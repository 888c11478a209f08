// Watch: what a driver's sensors say, line by line, for as long as somebody reads. hetd keeps one
// such child per backend; a line that does not come is how it learns that a driver hangs.
#ifndef HET_TOOLS_PROBE_WATCH_H_
#define HET_TOOLS_PROBE_WATCH_H_

#include <functional>
#include <string>

#include "base/json.h"
#include "devices/driver.h"

namespace het::probe {

// {"backend":NAME,"telemetry":[..]}, or {"backend":NAME,"unavailable":"why"}.
Json SampleLine(const std::string& backend, Driver& driver);

// Prints a line every `every_ms` until `print` gives false (nobody reads), or once when there are
// no sensors. False: nothing could be printed.
bool Watch(const std::string& backend, Driver& driver, int every_ms,
           const std::function<bool(const Json&)>& print);

}  // namespace het::probe

#endif  // HET_TOOLS_PROBE_WATCH_H_
