#include "report/allocation.h"

namespace het::report {

absl::string_view StateName(State state) {
  switch (state) {
    case State::kUsed:
      return "Used";
    case State::kHeldIdle:
      return "HeldIdle";
    case State::kFree:
      return "Free";
    case State::kStranded:
      return "Stranded";
    case State::kUnhealthy:
      return "Unhealthy";
    case State::kReserved:
      return "Reserved";
  }
  return "";
}

}  // namespace het::report
