#include "base/json.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace het {
namespace {

// Keeps no values: finds the first error and its position, and the depth, before anything is built.
class Checker : public nlohmann::json_sax<Json> {
 public:
  explicit Checker(int max_depth) : max_depth_(max_depth) {}
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool key(string_t&) override { return true; }
  bool start_object(std::size_t) override { return Enter(); }
  bool start_array(std::size_t) override { return Enter(); }
  bool end_object() override { return Leave(); }
  bool end_array() override { return Leave(); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    error_ = absl::StrCat("malformed JSON at byte ", position);
    return false;
  }
  const std::string& error() const { return error_; }

 private:
  bool Enter() {
    if (++depth_ <= max_depth_) return true;
    error_ = absl::StrCat("JSON nested deeper than ", max_depth_);
    return false;
  }
  bool Leave() {
    --depth_;
    return true;
  }
  const int max_depth_;
  int depth_ = 0;
  std::string error_;
};

// The field's value, or null when it is missing, null, or `object` is no object.
const Json* Find(const Json& object, absl::string_view field) {
  if (!object.is_object()) return nullptr;
  auto it = object.find(std::string(field));
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

absl::Status WrongType(absl::string_view field, absl::string_view wanted, const Json& value) {
  return absl::InvalidArgumentError(
      absl::StrCat("field \"", field, "\" must be ", wanted, ", is ", value.type_name()));
}

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, int max_depth) {
  Checker checker(max_depth);
  if (!Json::sax_parse(text.begin(), text.end(), &checker))
    return absl::InvalidArgumentError(checker.error());
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

std::string PrintJson(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<std::string> JsonString(const Json& object, absl::string_view field,
                                       absl::string_view fallback) {
  const Json* value = Find(object, field);
  if (!value) return std::string(fallback);
  if (!value->is_string()) return WrongType(field, "a string", *value);
  return value->get<std::string>();
}

absl::StatusOr<uint64_t> JsonUint(const Json& object, absl::string_view field, uint64_t fallback) {
  const Json* value = Find(object, field);
  if (!value) return fallback;
  if (value->is_number_unsigned()) return value->get<uint64_t>();
  if (value->is_number_float() && value->get<double>() >= 0 && value->get<double>() < 0x1p53 &&
      std::floor(value->get<double>()) == value->get<double>()) {
    return static_cast<uint64_t>(value->get<double>());
  }
  return WrongType(field, "a whole number of at least 0", *value);
}

absl::StatusOr<double> JsonNumber(const Json& object, absl::string_view field, double fallback) {
  const Json* value = Find(object, field);
  if (!value) return fallback;
  if (!value->is_number()) return WrongType(field, "a number", *value);
  return value->get<double>();
}

absl::StatusOr<bool> JsonBool(const Json& object, absl::string_view field, bool fallback) {
  const Json* value = Find(object, field);
  if (!value) return fallback;
  if (!value->is_boolean()) return WrongType(field, "true or false", *value);
  return value->get<bool>();
}

}  // namespace het
