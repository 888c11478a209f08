#include "tools/hetctl/report_file.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "report/page.h"
#include "report/table.h"

namespace het::hetctl {

absl::StatusOr<ReportFile> MakeReportFile(const report::Report& report, absl::string_view format,
                                          absl::string_view encoding) {
  ReportFile file;
  const bool page = encoding == "html";
  if (page) {
    HET_ASSIGN_OR_RETURN(file.content, report::WritePage(report));
  } else {
    HET_ASSIGN_OR_RETURN(const report::Format columns, report::ParseFormat(format));
    HET_ASSIGN_OR_RETURN(file.content,
                         report::WriteTable(report, columns,
                                            encoding == "csv" ? report::Encoding::kCsv
                                                              : report::Encoding::kJsonLines));
  }
  file.rows = report.rows.size() * (!page && format == "focus-1.3" ? 2 : 1);
  file.sidecar =
      PrintJson(report::Sidecar(report, page ? "page" : format, encoding, file.rows, file.content),
                2) +
      "\n";
  return file;
}

absl::Status WriteReportFile(const ReportFile& file, const std::string& path) {
  HET_RETURN_IF_ERROR(WriteFileAtomically(path, file.content));
  return WriteFileAtomically(path + ".json", file.sidecar);
}

absl::StatusOr<std::string> ReportEncodingOf(absl::string_view path) {
  for (const absl::string_view encoding : {"csv", "jsonl", "html"}) {
    if (absl::EndsWith(path, absl::StrCat(".", encoding))) return std::string(encoding);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a report is a .csv, .jsonl or .html file, \"", path, "\" is none"));
}

}  // namespace het::hetctl
