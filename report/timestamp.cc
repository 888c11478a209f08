#include "report/timestamp.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/units.h"

namespace het::report {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::month;
using std::chrono::months;
using std::chrono::sys_days;
using std::chrono::year;
using std::chrono::year_month_day;

constexpr int64_t kDay = 86'400;
constexpr int64_t kEarliest = -62'135'596'800;  // 0001-01-01
constexpr int64_t kLatest = 253'402'300'799;    // 9999-12-31T23:59:59

int64_t DayNumber(int64_t unix_seconds) {
  return (unix_seconds - (unix_seconds % kDay + kDay) % kDay) / kDay;
}

year_month_day DateOf(int64_t unix_seconds) { return sys_days(days(DayNumber(unix_seconds))); }

absl::Status BadTime(absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text,
      "\" is no time; write 2026-11-25, 2026-11-25T15:00, 2026-11-25T15:00:00Z (all UTC), "
      "@UNIXSECONDS, now, or a time ago such as -24h or -30d"));
}

}  // namespace

std::string FormatTime(int64_t unix_seconds) {
  const int64_t time = std::clamp(unix_seconds, kEarliest, kLatest);
  const year_month_day date = DateOf(time);
  const int64_t second = time - DayNumber(time) * kDay;
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                         static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                         second / 3600, second / 60 % 60, second % 60);
}

absl::StatusOr<int64_t> ParseTime(absl::string_view text, int64_t now) {
  if (text == "now") return now;
  int64_t number = 0;
  if (!text.empty() && text[0] == '@') {
    if (!absl::SimpleAtoi(text.substr(1), &number) || number < kEarliest || number > kLatest) {
      return BadTime(text);
    }
    return number;
  }
  if (!text.empty() && text[0] == '-') {
    const absl::StatusOr<int64_t> ago_ms = ParseDurationMillis(text.substr(1));
    if (!ago_ms.ok()) return BadTime(text);
    return now - *ago_ms / 1000;
  }
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0, used = 0;
  const std::string copy(text);
  const auto ends = [&] { return used > 0 && static_cast<size_t>(used) == copy.size(); };
  const bool matched =
      (std::sscanf(copy.c_str(), "%4d-%2d-%2d%n", &y, &mo, &d, &used) == 3 && ends()) ||
      (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d%n", &y, &mo, &d, &h, &mi, &used) == 5 &&
       ends()) ||
      (std::sscanf(copy.c_str(), "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &y, &mo, &d, &h, &mi, &s, &used) ==
           6 &&
       ends());
  const year_month_day date{year(y), month(static_cast<unsigned>(mo)),
                            day(static_cast<unsigned>(d))};
  if (!matched || !date.ok() || y < 1 || h < 0 || h > 23 || mi < 0 || mi > 59 || s < 0 || s > 59) {
    return BadTime(text);
  }
  return sys_days(date).time_since_epoch().count() * kDay + h * 3600 + mi * 60 + s;
}

int64_t MonthOf(int64_t unix_seconds, int by) {
  year_month_day date = DateOf(unix_seconds);
  date = date.year() / date.month() / day(1);
  date += months(by);
  return sys_days(date).time_since_epoch().count() * kDay;
}

}  // namespace het::report
