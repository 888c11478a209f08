// Trace: the records that libhet writes to $HET_TRACE (runtime/trace.h) as a timeline in the trace
// event format, which ui.perfetto.dev and chrome://tracing open. A process is a process there, and
// every stage two rows: what it computes and what is on its way to it.
#ifndef HET_TOOLS_HETCTL_TRACE_H_
#define HET_TOOLS_HETCTL_TRACE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace het::hetctl {

// InvalidArgument names the line that is no record. A last line without its end (the process was
// killed) is left out.
absl::StatusOr<std::string> TimelineOf(absl::string_view records);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_TRACE_H_
