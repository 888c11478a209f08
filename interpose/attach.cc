#include "interpose/attach.h"

namespace het::interpose {

absl::StatusOr<std::unique_ptr<Seat>> Attach(const Settings& settings) {
  if (!settings.in_slice()) return std::unique_ptr<Seat>();
  return absl::UnavailableError("the arbiter's seat is not there yet");
}

}  // namespace het::interpose
