// Json: nlohmann::json with the two things het adds: parsing with a bound on depth and a Status
// instead of an exception, and typed field access whose errors name the field. Nothing here throws.
#ifndef HET_BASE_JSON_H_
#define HET_BASE_JSON_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace het {

using Json = nlohmann::json;

// InvalidArgument with the byte offset for malformed text or for nesting deeper than `max_depth`.
absl::StatusOr<Json> ParseJson(absl::string_view text, int max_depth = 64);

// dump() that replaces invalid UTF-8 instead of throwing. indent < 0: one line.
std::string PrintJson(const Json& json, int indent = -1);

// Field of an object. Missing (or null) gives `fallback`; a value of another type is
// InvalidArgument naming the field.
absl::StatusOr<std::string> JsonString(const Json& object, absl::string_view field,
                                       absl::string_view fallback = "");
absl::StatusOr<uint64_t> JsonUint(const Json& object, absl::string_view field,
                                  uint64_t fallback = 0);
absl::StatusOr<double> JsonNumber(const Json& object, absl::string_view field, double fallback = 0);
absl::StatusOr<bool> JsonBool(const Json& object, absl::string_view field, bool fallback = false);

}  // namespace het

#endif  // HET_BASE_JSON_H_
