// Timestamps of reports: UTC, ISO 8601, whole seconds ("2026-11-25T15:00:00Z"). Functions only; any
// thread, no time zone of the process matters.
#ifndef HET_REPORT_TIMESTAMP_H_
#define HET_REPORT_TIMESTAMP_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace het::report {

// Unix seconds of the years 1 to 9999; others are clamped.
std::string FormatTime(int64_t unix_seconds);
// "2026-11-25", "2026-11-25T15:00", "2026-11-25T15:00:00Z", Unix seconds ("@1764082800"), "now", or
// a time before `now` ("-24h", "-30d"). InvalidArgument says what is accepted.
absl::StatusOr<int64_t> ParseTime(absl::string_view text, int64_t now);
// Start of the calendar month that holds the time, moved by `months`.
int64_t MonthOf(int64_t unix_seconds, int months = 0);
inline int64_t HourOf(int64_t unix_seconds) {
  const int64_t rest = unix_seconds % 3600;
  return unix_seconds - (rest < 0 ? rest + 3600 : rest);
}

}  // namespace het::report

#endif  // HET_REPORT_TIMESTAMP_H_
