// A report as a file: its content and the sidecar that describes it.
#ifndef HET_TOOLS_HETCTL_REPORT_FILE_H_
#define HET_TOOLS_HETCTL_REPORT_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "report/allocation.h"

namespace het::hetctl {

struct ReportFile {
  std::string content;
  std::string sidecar;  // JSON
  size_t rows = 0;
};

// `format`: "native" or "focus-1.3", of tables; `encoding`: "csv", "jsonl" or "html".
absl::StatusOr<ReportFile> MakeReportFile(const report::Report& report, absl::string_view format,
                                          absl::string_view encoding);
// The content to `path`, the sidecar to `path`.json, each whole or not at all.
absl::Status WriteReportFile(const ReportFile& file, const std::string& path);
// By the ending of a path: "csv", "jsonl" or "html". InvalidArgument for another.
absl::StatusOr<std::string> ReportEncodingOf(absl::string_view path);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_REPORT_FILE_H_
