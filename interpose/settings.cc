#include "interpose/settings.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace het::interpose {
namespace {

absl::Status Bad(absl::string_view name, absl::string_view value, absl::string_view form) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, "=\"", value, "\" is not understood; it should be ", form));
}

std::string Text(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value == nullptr ? "" : value;
}

}  // namespace

absl::StatusOr<Settings> ParseSettings(const Environment& environment) {
  Settings settings;
  settings.lease = Text(environment, "HET_LEASE");
  settings.socket = Text(environment, "HET_SOCKET");
  settings.seat_socket = Text(environment, "HET_SEAT_SOCKET");
  settings.seat_fds = Text(environment, "HET_SEAT_FDS");
  settings.device = Text(environment, "HET_DEVICE");

  const std::string units = Text(environment, "HET_COMPUTE_UNITS");
  if (!units.empty() &&
      (!absl::SimpleAtoi(units, &settings.compute_units) || settings.compute_units == 0)) {
    return Bad("HET_COMPUTE_UNITS", units, "a number of compute units, 1 or more");
  }
  const std::string range = Text(environment, "HET_SUB_DEVICE");
  if (!range.empty()) {
    const std::vector<absl::string_view> parts = absl::StrSplit(range, '+');
    UnitRange parsed;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &parsed.first) ||
        !absl::SimpleAtoi(parts[1], &parsed.count) || parsed.count == 0) {
      return Bad("HET_SUB_DEVICE", range, "<first unit>+<count>, such as 0+2");
    }
    settings.sub_device = parsed;
  }
  const std::string arbitrate = Text(environment, "HET_ARBITRATE");
  if (!arbitrate.empty() && arbitrate != "0" && arbitrate != "1") {
    return Bad("HET_ARBITRATE", arbitrate, "0 or 1");
  }
  settings.arbitrate = arbitrate != "0";
  const std::string turn = Text(environment, "HET_TURN_US");
  if (!turn.empty() && (!absl::SimpleAtoi(turn, &settings.turn_us) || settings.turn_us == 0 ||
                        settings.turn_us > 1'000'000)) {
    return Bad("HET_TURN_US", turn, "microseconds, 1 to 1000000");
  }
  return settings;
}

}  // namespace het::interpose
