#include "daemon/config.h"

#include <toml++/toml.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/units.h"

namespace het::daemon {
namespace {

absl::Status Bad(const std::string& path, const toml::node& node, absl::string_view message) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ":", node.source().begin.line, ": ", message));
}

absl::StatusOr<std::string> Text(const std::string& path, const toml::table& table, const char* key,
                                 const char* otherwise) {
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    if (otherwise != nullptr) return std::string(otherwise);
    return Bad(path, table, absl::StrCat("a slice needs \"", key, "\""));
  }
  if (const auto text = node->value_exact<std::string>()) return *text;
  if (const auto number = node->value<double>()) return absl::StrCat(*number);
  return Bad(path, *node, absl::StrCat("\"", key, "\" must be a text or a number"));
}

absl::StatusOr<SliceRequest> SliceOf(const std::string& path, const toml::table& table) {
  const std::set<std::string> known = {"name", "device", "share", "memory", "policy", "priority"};
  for (const auto& [key, node] : table) {
    if (!known.contains(std::string(key.str()))) {
      return Bad(path, node,
                 absl::StrCat("a slice has no \"", std::string(key.str()),
                              "\"; it has name, device, share, memory, policy, priority"));
    }
  }
  const auto read = [&](const char* key, const char* otherwise, auto parse,
                        auto& out) -> absl::Status {
    HET_ASSIGN_OR_RETURN(const std::string text, Text(path, table, key, otherwise));
    auto value = parse(text);
    if (!value.ok()) {
      const toml::node* node = table.get(key);
      return Bad(path, node == nullptr ? static_cast<const toml::node&>(table) : *node,
                 absl::StrCat("\"", key, "\": ", value.status().message()));
    }
    out = *std::move(value);
    return absl::OkStatus();
  };
  const auto as_is = [](const std::string& text) { return absl::StatusOr<std::string>(text); };
  SliceRequest slice;
  HET_RETURN_IF_ERROR(read("name", nullptr, as_is, slice.name));
  HET_RETURN_IF_ERROR(read("device", nullptr, as_is, slice.device));
  HET_RETURN_IF_ERROR(read("share", nullptr, ParseShare, slice.share));
  HET_RETURN_IF_ERROR(read("memory", nullptr, ParseBytes, slice.memory_bytes));
  HET_RETURN_IF_ERROR(read("policy", "guaranteed", ParsePolicy, slice.policy));
  HET_RETURN_IF_ERROR(read("priority", "normal", ParsePriority, slice.priority));
  return slice;
}

}  // namespace

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  toml::table root;
  try {
    root = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", error.source().begin.line, ": ", std::string(error.description())));
  }
  Config config;
  for (const auto& [key, node] : root) {
    const toml::array* slices = node.as_array();
    if (key.str() != "slice" || slices == nullptr) {
      return Bad(
          path, node,
          absl::StrCat("hetd knows no \"", std::string(key.str()), "\"; it knows [[slice]]"));
    }
    for (const toml::node& entry : *slices) {
      if (!entry.is_table()) return Bad(path, entry, "must be a table, as in [[slice]]");
      HET_ASSIGN_OR_RETURN(SliceRequest slice, SliceOf(path, *entry.as_table()));
      config.slices.push_back(std::move(slice));
    }
  }
  return config;
}

}  // namespace het::daemon
