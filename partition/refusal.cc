#include "partition/refusal.h"

#include <cmath>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "partition/slice.h"

namespace het {
namespace {

constexpr absl::string_view kShortageUrl = "het/shortage";
constexpr absl::string_view kFieldUrl = "het/field";

Json AmountToJson(const Amount& amount) {
  return {{"sharePercent", ShareToJson(amount.share)}, {"memoryBytes", amount.memory_bytes}};
}

absl::StatusOr<Amount> AmountFromJson(const Json& json, const char* field) {
  Amount amount;
  const auto it = json.find(field);
  if (it == json.end()) return amount;
  HET_ASSIGN_OR_RETURN(const double percent, JsonNumber(*it, "sharePercent"));
  if (!(percent >= 0 && percent <= 1e6)) return InvalidField(field, "has a share out of range");
  amount.share = Share::OfParts(static_cast<uint32_t>(std::lround(percent * 100)));
  HET_ASSIGN_OR_RETURN(amount.memory_bytes, JsonUint(*it, "memoryBytes"));
  return amount;
}

}  // namespace

absl::Status NoCapacity(absl::string_view message, const Shortage& shortage) {
  absl::Status status = absl::ResourceExhaustedError(message);
  status.SetPayload(kShortageUrl, absl::Cord(PrintJson(ToJson(shortage))));
  return status;
}

absl::Status InvalidField(absl::string_view field, absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, ": ", message));
  status.SetPayload(kFieldUrl, absl::Cord(field));
  return status;
}

std::optional<Shortage> ShortageOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kShortageUrl);
  if (!payload) return std::nullopt;
  const absl::StatusOr<Json> json = ParseJson(std::string(*payload));
  if (!json.ok()) return std::nullopt;
  absl::StatusOr<Shortage> shortage = ShortageFromJson(*json);
  if (!shortage.ok()) return std::nullopt;
  return *std::move(shortage);
}

std::string FieldOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kFieldUrl);
  return payload ? std::string(*payload) : "";
}

absl::Status WithFieldPrefix(const absl::Status& status, absl::string_view prefix) {
  const std::string field = FieldOf(status);
  if (field.empty()) return status;
  absl::string_view message = status.message();
  message.remove_prefix(std::min(message.size(), field.size() + 2));
  return InvalidField(absl::StrCat(prefix, ".", field), message);
}

Json ToJson(const Shortage& shortage) {
  Json json = {{"requested", AmountToJson(shortage.requested)},
               {"free", AmountToJson(shortage.free)},
               {"largestFree", AmountToJson(shortage.largest_free)},
               {"neverFits", shortage.never_fits}};
  if (!shortage.device.empty()) json["device"] = shortage.device;
  return json;
}

absl::StatusOr<Shortage> ShortageFromJson(const Json& json) {
  Shortage shortage;
  HET_ASSIGN_OR_RETURN(shortage.device, JsonString(json, "device"));
  HET_ASSIGN_OR_RETURN(shortage.requested, AmountFromJson(json, "requested"));
  HET_ASSIGN_OR_RETURN(shortage.free, AmountFromJson(json, "free"));
  HET_ASSIGN_OR_RETURN(shortage.largest_free, AmountFromJson(json, "largestFree"));
  HET_ASSIGN_OR_RETURN(shortage.never_fits, JsonBool(json, "neverFits"));
  return shortage;
}

}  // namespace het
