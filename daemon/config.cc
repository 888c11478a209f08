#include "daemon/config.h"

#include <toml++/toml.h>

#include <functional>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/units.h"

namespace het::daemon {
namespace {

absl::Status Bad(const std::string& path, const toml::node& node, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(path, ":", node.source().begin.line, ":",
                                                 node.source().begin.column, ": ", message));
}

absl::StatusOr<std::string> Text(const std::string& path, const toml::table& table, const char* key,
                                 const char* otherwise) {
  const toml::node* node = table.get(key);
  if (node == nullptr) {
    if (otherwise != nullptr) return std::string(otherwise);
    return Bad(path, table, absl::StrCat("a slice needs \"", key, "\""));
  }
  if (const auto text = node->value_exact<std::string>()) return *text;
  if (const auto number = node->value_exact<int64_t>()) return absl::StrCat(*number);
  if (const auto number = node->value_exact<double>()) return absl::StrCat(*number);
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

absl::Status ReadSlices(const std::string& path, const toml::node& node, Config& config) {
  const toml::array* slices = node.as_array();
  if (slices == nullptr) return Bad(path, node, "must be a list of tables, as in [[slice]]");
  for (const toml::node& entry : *slices) {
    if (!entry.is_table()) return Bad(path, entry, "must be a table, as in [[slice]]");
    HET_ASSIGN_OR_RETURN(SliceRequest slice, SliceOf(path, *entry.as_table()));
    config.slices.push_back(std::move(slice));
  }
  return absl::OkStatus();
}

// What a key's text sets.
using Keys = std::map<std::string, std::function<absl::Status(const std::string&)>>;

absl::Status ReadSection(const std::string& path, const toml::node& node, const std::string& name,
                         const Keys& keys) {
  const toml::table* table = node.as_table();
  if (table == nullptr) return Bad(path, node, absl::StrCat("must be a table, as in [", name, "]"));
  for (const auto& [key, value] : *table) {
    const std::string own(key.str());
    const auto known = keys.find(own);
    if (known == keys.end()) {
      return Bad(path, value,
                 absl::StrCat("[", name, "] has no \"", own, "\"; it has ",
                              absl::StrJoin(keys, ", ", [](std::string* out, const auto& entry) {
                                out->append(entry.first);
                              })));
    }
    HET_ASSIGN_OR_RETURN(const std::string text, Text(path, *table, own.c_str(), nullptr));
    const absl::Status set = known->second(text);
    if (!set.ok()) return Bad(path, value, absl::StrCat("\"", own, "\": ", set.message()));
  }
  return absl::OkStatus();
}

// A whole number from `least` to a million.
template <typename Number>
std::function<absl::Status(const std::string&)> Count(Number& out, uint64_t least) {
  return [&out, least](const std::string& text) -> absl::Status {
    constexpr uint64_t kMost = 1'000'000;
    uint64_t number = 0;
    if (!absl::SimpleAtoi(text, &number) || number < least || number > kMost) {
      return absl::InvalidArgumentError(
          absl::StrCat("is ", text, ", must be a whole number from ", least, " to ", kMost));
    }
    out = static_cast<Number>(number);
    return absl::OkStatus();
  };
}

Keys LimitKeys(Config& config) {
  return {{"connections", Count(config.limits.server.connections, 1)},
          {"connections_per_user", Count(config.limits.server.connections_per_user, 1)},
          {"leases_per_user", Count(config.limits.leases_per_user, 0)},
          {"waiting_per_user", Count(config.limits.waiting_per_user, 0)},
          {"requests_per_second_per_user",
           Count(config.limits.server.requests_per_second_per_user, 1)}};
}

Keys SecurityKeys(Config& config) {
  return {{"isolation", [&config](const std::string& text) -> absl::Status {
             HET_ASSIGN_OR_RETURN(config.isolation_at_least, ParseIsolation(text));
             return absl::OkStatus();
           }}};
}

Keys HealthKeys(Config& config) {
  return {{"interval", [&config](const std::string& text) -> absl::Status {
             HET_ASSIGN_OR_RETURN(config.health_interval_ms, ParseDurationMillis(text));
             return absl::OkStatus();
           }}};
}

}  // namespace

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  toml::table root;
  try {
    root = toml::parse_file(path);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.source().begin.line, ":",
                                                   error.source().begin.column, ": ",
                                                   std::string(error.description())));
  }
  Config config;
  for (const auto& [key, node] : root) {
    const std::string name(key.str());
    if (name == "slice") {
      HET_RETURN_IF_ERROR(ReadSlices(path, node, config));
    } else if (name == "limits") {
      HET_RETURN_IF_ERROR(ReadSection(path, node, name, LimitKeys(config)));
    } else if (name == "security") {
      HET_RETURN_IF_ERROR(ReadSection(path, node, name, SecurityKeys(config)));
    } else if (name == "health") {
      HET_RETURN_IF_ERROR(ReadSection(path, node, name, HealthKeys(config)));
    } else {
      return Bad(path, node,
                 absl::StrCat("hetd knows no \"", name,
                              "\"; it knows [[slice]], [limits], [security] and [health]"));
    }
  }
  return config;
}

}  // namespace het::daemon
