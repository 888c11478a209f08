// Refusal: why a request for slices was refused, in numbers, carried inside an absl::Status so that
// it survives every layer up to the protocol error. The status message says the same in words.
// Functions only; no state, any thread.
#ifndef HET_PARTITION_REFUSAL_H_
#define HET_PARTITION_REFUSAL_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json.h"
#include "base/units.h"

namespace het {

// Compute and memory of one device.
struct Amount {
  Share share;
  uint64_t memory_bytes = 0;
  friend bool operator==(const Amount&, const Amount&) = default;
};

struct Shortage {
  std::string device;  // UUID; empty when no single device is to blame (a model over all devices)
  Amount requested;    // all slices of the request on that device together
  Amount free;
  Amount largest_free;      // the largest single slice that fits now
  bool never_fits = false;  // not even when nothing else is leased
};

// ResourceExhausted that carries `shortage`.
absl::Status NoCapacity(absl::string_view message, const Shortage& shortage);
// InvalidArgument `field: message` that carries the field's name ("slices[1].sharePercent").
absl::Status InvalidField(absl::string_view field, absl::string_view message);

std::optional<Shortage> ShortageOf(const absl::Status& status);
// Empty when the status names none.
std::string FieldOf(const absl::Status& status);
// The same status with "prefix." before the field it names ("slices[1]"); others are unchanged.
absl::Status WithFieldPrefix(const absl::Status& status, absl::string_view prefix);

// {"device","requested":{"sharePercent","memoryBytes"},"free":{..},"largestFree":{..},"neverFits"}
Json ToJson(const Shortage& shortage);
absl::StatusOr<Shortage> ShortageFromJson(const Json& json);

}  // namespace het

#endif  // HET_PARTITION_REFUSAL_H_
