// Reads LLM request traces; see llm_replay.h.
#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json.h"
#include "base/status.h"
#include "scheduler/fleet/llm_replay.h"

namespace het::fleet {
namespace {

constexpr int32_t kMaxTokens = 10'000'000;
constexpr size_t kMaxRequests = 20'000'000;

// Days since 1970-01-01 of a civil date (proleptic Gregorian).
int64_t DaysOf(int year, int month, int day) {
  const int y = month <= 2 ? year - 1 : year;
  const int era = y / 400;
  const int year_of_era = y - era * 400;
  const int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return int64_t{era} * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
         day_of_year;
}

// "2023-11-16 18:15:46.6805900" in seconds.
bool ParseTimestamp(absl::string_view text, double* seconds) {
  const std::vector<absl::string_view> halves = absl::StrSplit(text, absl::ByAnyChar(" T"));
  if (halves.size() != 2) return false;
  const std::vector<absl::string_view> date = absl::StrSplit(halves[0], '-');
  const std::vector<absl::string_view> time = absl::StrSplit(halves[1], ':');
  int year = 0, month = 0, day = 0, hour = 0, minute = 0;
  double second = 0;
  if (date.size() != 3 || time.size() != 3 || !absl::SimpleAtoi(date[0], &year) ||
      !absl::SimpleAtoi(date[1], &month) || !absl::SimpleAtoi(date[2], &day) ||
      !absl::SimpleAtoi(time[0], &hour) || !absl::SimpleAtoi(time[1], &minute) ||
      !absl::SimpleAtod(time[2], &second)) {
    return false;
  }
  if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 ||
      hour > 23 || minute < 0 || minute > 59 || !(second >= 0) || second >= 61) {
    return false;
  }
  *seconds =
      static_cast<double>(DaysOf(year, month, day) * 86'400 + hour * 3600 + minute * 60) + second;
  return true;
}

bool ParseAzure(absl::string_view line, LlmRequest* request) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ',');
  return fields.size() == 3 && ParseTimestamp(fields[0], &request->arrival_s) &&
         absl::SimpleAtoi(fields[1], &request->prompt_tokens) &&
         absl::SimpleAtoi(fields[2], &request->output_tokens);
}

bool ParseMooncake(absl::string_view line, LlmRequest* request) {
  const auto json = ParseJson(line);
  if (!json.ok() || !json->is_object()) return false;
  const auto time = JsonNumber(*json, "timestamp", -1);
  const auto input = JsonUint(*json, "input_length", 0);
  const auto output = JsonUint(*json, "output_length", 0);
  if (!time.ok() || !input.ok() || !output.ok() || !(*time >= 0) || *time > 1e15) return false;
  if (*input > kMaxTokens || *output > kMaxTokens) return false;
  *request = {*time / 1e3, static_cast<int32_t>(*input), static_cast<int32_t>(*output)};
  return true;
}

}  // namespace

absl::StatusOr<std::vector<LlmRequest>> ParseLlmTrace(absl::string_view text,
                                                      absl::string_view file) {
  const bool json = !text.empty() && text.front() == '{';
  std::vector<LlmRequest> requests;
  double first_s = 0, last_s = 0;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty()) continue;
    if (!json && number == 1 && absl::StartsWith(line, "TIMESTAMP,")) continue;
    const auto error = [&](absl::string_view what) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ":", number, ": ", what, "; \"", line.substr(0, 60), "\" is there"));
    };
    LlmRequest request;
    if (!(json ? ParseMooncake(line, &request) : ParseAzure(line, &request))) {
      return error(json
                       ? "{\"timestamp\": ms, \"input_length\": tokens, \"output_length\": tokens} "
                         "expected"
                       : "TIMESTAMP,ContextTokens,GeneratedTokens expected");
    }
    if (request.prompt_tokens < 1 || request.output_tokens < 1 ||
        request.prompt_tokens > kMaxTokens || request.output_tokens > kMaxTokens) {
      return error(absl::StrCat("1 to ", kMaxTokens, " tokens each way expected"));
    }
    if (requests.empty()) first_s = last_s = request.arrival_s;
    if (request.arrival_s < last_s) return error("a time not before the one above expected");
    if (requests.size() >= kMaxRequests) return error("at most 20 million requests expected");
    last_s = request.arrival_s;
    request.arrival_s -= first_s;
    requests.push_back(request);
  }
  if (requests.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": no requests in it"));
  }
  return requests;
}

}  // namespace het::fleet
