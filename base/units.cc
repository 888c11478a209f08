#include "base/units.h"

#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace het {
namespace {

struct Suffix {
  absl::string_view name;
  double factor;
};

// Splits "1.5 GiB" into its number and its suffix; false when there is no number.
bool SplitNumber(absl::string_view text, double* number, absl::string_view* suffix) {
  text = absl::StripAsciiWhitespace(text);
  size_t digits = 0;
  while (digits < text.size() && (absl::ascii_isdigit(text[digits]) || text[digits] == '.'))
    ++digits;
  if (digits == 0 || !absl::SimpleAtod(text.substr(0, digits), number)) return false;
  *suffix = absl::StripAsciiWhitespace(text.substr(digits));
  return true;
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(absl::string_view text) {
  static constexpr std::array<Suffix, 18> kSuffixes = {{{"", 1},
                                                        {"b", 1},
                                                        {"k", 0x1p10},
                                                        {"kib", 0x1p10},
                                                        {"m", 0x1p20},
                                                        {"mib", 0x1p20},
                                                        {"g", 0x1p30},
                                                        {"gib", 0x1p30},
                                                        {"t", 0x1p40},
                                                        {"tib", 0x1p40},
                                                        {"kb", 1e3},
                                                        {"mb", 1e6},
                                                        {"gb", 1e9},
                                                        {"tb", 1e12},
                                                        {"ki", 0x1p10},
                                                        {"mi", 0x1p20},
                                                        {"gi", 0x1p30},
                                                        {"ti", 0x1p40}}};
  double number = 0;
  absl::string_view suffix;
  if (SplitNumber(text, &number, &suffix)) {
    for (const Suffix& known : kSuffixes) {
      if (!absl::EqualsIgnoreCase(suffix, known.name)) continue;
      const double bytes = number * known.factor;
      if (bytes >= 0x1p63) break;
      return static_cast<uint64_t>(std::llround(bytes));
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text,
      "\" is no size; write bytes or a number with KiB, MiB, GiB, TiB, such as 1.5GiB"));
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr std::array<absl::string_view, 6> kNames = {"B",   "KiB", "MiB",
                                                              "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  std::string number = absl::StrFormat("%.*f", value >= 100 ? 0 : value >= 10 ? 1 : 2, value);
  if (number.find('.') != std::string::npos) {
    while (number.back() == '0') number.pop_back();
    if (number.back() == '.') number.pop_back();
  }
  return absl::StrCat(number, " ", kNames[unit]);
}

absl::StatusOr<Share> ParseShare(absl::string_view text) {
  double number = 0;
  absl::string_view suffix;
  if (SplitNumber(text, &number, &suffix) && (suffix.empty() || suffix == "%") && number > 0 &&
      number <= 100) {
    return Share::OfParts(static_cast<uint32_t>(std::lround(number * 100)));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\" is no share; write a percentage above 0 and up to 100, such as 30 or 30%"));
}

std::string FormatShare(Share share) { return absl::StrFormat("%g%%", share.percent()); }

absl::StatusOr<int64_t> ParseDurationMillis(absl::string_view text) {
  static constexpr std::array<Suffix, 6> kSuffixes = {
      {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}}};
  double number = 0;
  absl::string_view suffix;
  if (SplitNumber(text, &number, &suffix)) {
    for (const Suffix& known : kSuffixes) {
      if (suffix == known.name && number * known.factor < 0x1p53) {
        return static_cast<int64_t>(std::llround(number * known.factor));
      }
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\" is no duration; write a number with ms, s, m, h or d, such as 30s"));
}

}  // namespace het
