// Attach: how an interposed program gets its seat. Called once per process, before the first call
// reaches a driver.
//
// Without a lease in the settings there is no seat (null) and the program is left alone. With one,
// an error means that the program must not get a device: there is no unlimited fallback.
#ifndef HET_INTERPOSE_ATTACH_H_
#define HET_INTERPOSE_ATTACH_H_

#include <memory>

#include "absl/status/statusor.h"
#include "interpose/seat.h"
#include "interpose/settings.h"

namespace het::interpose {

absl::StatusOr<std::unique_ptr<Seat>> Attach(const Settings& settings);

}  // namespace het::interpose

#endif  // HET_INTERPOSE_ATTACH_H_
