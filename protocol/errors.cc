#include "protocol/errors.h"

#include <array>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "partition/refusal.h"

namespace het::protocol {
namespace {

struct ErrorName {
  absl::StatusCode code;
  absl::string_view name;
};

constexpr std::array<ErrorName, 14> kErrors = {{
    {absl::StatusCode::kInvalidArgument, "org.het.v1.Invalid"},
    {absl::StatusCode::kAlreadyExists, "org.het.v1.AlreadyExists"},
    {absl::StatusCode::kNotFound, "org.het.v1.NotFound"},
    {absl::StatusCode::kPermissionDenied, "org.het.v1.NotOwner"},
    {absl::StatusCode::kAborted, "org.het.v1.StaleGeneration"},
    {absl::StatusCode::kFailedPrecondition, "org.het.v1.NotUsable"},
    {absl::StatusCode::kUnavailable, "org.het.v1.Unavailable"},
    {absl::StatusCode::kDeadlineExceeded, "org.het.v1.TimedOut"},
    {absl::StatusCode::kResourceExhausted, "org.het.v1.LimitReached"},
    {absl::StatusCode::kUnimplemented, "org.varlink.service.MethodNotFound"},
    {absl::StatusCode::kInternal, "org.het.v1.Internal"},
    // Only read: what another Varlink service may answer.
    {absl::StatusCode::kNotFound, "org.varlink.service.InterfaceNotFound"},
    {absl::StatusCode::kInvalidArgument, "org.varlink.service.InvalidParameter"},
    {absl::StatusCode::kFailedPrecondition, "org.varlink.service.ExpectedMore"},
}};
constexpr absl::string_view kNoCapacity = "org.het.v1.NoCapacity";

std::string NameFor(absl::StatusCode code) {
  for (const ErrorName& error : kErrors) {
    if (error.code == code) return std::string(error.name);
  }
  return "org.het.v1.Internal";
}

}  // namespace

Json ErrorReply(const absl::Status& status) {
  Json parameters = Json::object();
  std::string name = NameFor(status.code());
  if (const std::optional<Shortage> shortage = ShortageOf(status)) {
    name = std::string(kNoCapacity);
    parameters = ToJson(*shortage);
  }
  const std::string field = FieldOf(status);
  if (status.code() == absl::StatusCode::kInvalidArgument) parameters["field"] = field;
  parameters["message"] = std::string(status.message());
  return {{"error", name}, {"parameters", parameters}};
}

absl::Status StatusOfReply(const Json& reply) {
  const auto error = reply.find("error");
  if (error == reply.end()) return absl::OkStatus();
  const std::string name = error->is_string() ? error->get<std::string>() : PrintJson(*error);
  const auto found = reply.find("parameters");
  const Json parameters = found != reply.end() && found->is_object() ? *found : Json::object();
  const absl::StatusOr<std::string> text = JsonString(parameters, "message");
  const std::string message = text.ok() && !text->empty() ? *text : name;
  if (name == kNoCapacity) {
    const absl::StatusOr<Shortage> shortage = ShortageFromJson(parameters);
    return shortage.ok() ? NoCapacity(message, *shortage) : absl::ResourceExhaustedError(message);
  }
  for (const ErrorName& known : kErrors) {
    if (known.name != name) continue;
    const absl::StatusOr<std::string> field = JsonString(parameters, "field");
    if (known.code == absl::StatusCode::kInvalidArgument && field.ok() && !field->empty()) {
      return InvalidField(*field, absl::StripPrefix(message, absl::StrCat(*field, ": ")));
    }
    return absl::Status(known.code, message);
  }
  return absl::UnknownError(absl::StrCat(name, ": ", message));
}

}  // namespace het::protocol
