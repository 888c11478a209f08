// Table: a report as CSV (RFC 4180) or JSON lines, in het's own columns or in those of the
// FOCUS 1.3 specification of cost and usage data (focus.finops.org), and the sidecar that says what
// is in the file. Every number is written from integers, so that the same report is the same bytes.
//
// FOCUS has one unit per line, so a row becomes two there: GPU-Hours and GiB-Hours. Without a price
// list there are no cost columns. Functions only; any thread.
#ifndef HET_REPORT_TABLE_H_
#define HET_REPORT_TABLE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json.h"
#include "report/allocation.h"

namespace het::report {

enum class Format { kNative, kFocus13 };
enum class Encoding { kCsv, kJsonLines };

absl::StatusOr<Format> ParseFormat(absl::string_view text);  // "native", "focus-1.3"
absl::string_view FormatName(Format format);

std::vector<std::string> ColumnNames(Format format);

// The whole table; CSV begins with the names of the columns. InvalidArgument for a row whose device
// the report does not have.
absl::StatusOr<std::string> WriteTable(const Report& report, Format format, Encoding encoding);

// {"schema","schemaVersion","format","encoding","generator","node","from","to","openHour","rows",
// "bytes","sha256",..} of a file with this content; `encoding` is "csv", "jsonl" or "html".
Json Sidecar(const Report& report, absl::string_view format, absl::string_view encoding,
             size_t rows, absl::string_view content);

}  // namespace het::report

#endif  // HET_REPORT_TABLE_H_
