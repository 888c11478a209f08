#include "tools/hetctl/output.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/units.h"

namespace het::hetctl {
namespace {

std::string Scalar(const std::string& key, const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_unsigned() && key.size() >= 5 &&
      key.compare(key.size() - 5, 5, "Bytes") == 0) {
    return absl::StrCat(FormatBytes(value.get<uint64_t>()), " (", value.get<uint64_t>(), ")");
  }
  return PrintJson(value);
}

// "memoryBytes" -> "Memory bytes".
std::string Heading(const std::string& key) {
  std::string text;
  for (char c : key) {
    if (text.empty()) {
      text += absl::ascii_toupper(static_cast<unsigned char>(c));
    } else if (absl::ascii_isupper(static_cast<unsigned char>(c))) {
      text += ' ';
      text += absl::ascii_tolower(static_cast<unsigned char>(c));
    } else {
      text += c;
    }
  }
  return text;
}

void PrintFields(const Json& object, int indent) {
  size_t width = 0;
  for (const auto& [key, value] : object.items()) width = std::max(width, key.size() + 4);
  for (const auto& [key, value] : object.items()) {
    const std::string label = Heading(key) + ":";
    if (value.is_object() && !value.empty()) {
      std::printf("%*s%s\n", indent, "", label.c_str());
      PrintFields(value, indent + 2);
    } else if (value.is_array() && !value.empty() && value.front().is_object()) {
      std::printf("%*s%s\n", indent, "", label.c_str());
      for (const Json& entry : value)
        std::printf("%*s- %s\n", indent + 2, "", PrintJson(entry).c_str());
    } else if (value.is_array()) {
      std::vector<std::string> parts;
      for (const Json& entry : value) parts.push_back(Scalar(key, entry));
      std::printf("%*s%-*s %s\n", indent, "", static_cast<int>(width), label.c_str(),
                  absl::StrJoin(parts, ", ").c_str());
    } else {
      std::printf("%*s%-*s %s\n", indent, "", static_cast<int>(width), label.c_str(),
                  Scalar(key, value).c_str());
    }
  }
}

}  // namespace

ExitCode ExitCodeFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kUnavailable:
      return kExitUnreachable;
    case absl::StatusCode::kResourceExhausted:
      return kExitNoCapacity;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kExitDenied;
    default:
      return kExitError;
  }
}

std::string FormatTable(const std::vector<Column>& columns, const std::vector<Json>& items,
                        bool wide, bool headers) {
  std::vector<const Column*> shown;
  for (const Column& column : columns) {
    if (wide || !column.wide) shown.push_back(&column);
  }
  std::vector<std::vector<std::string>> rows;
  if (headers) {
    rows.emplace_back();
    for (const Column* column : shown) rows.back().push_back(column->heading);
  }
  for (const Json& item : items) {
    rows.emplace_back();
    for (const Column* column : shown) {
      std::string cell = column->cell(item);
      rows.back().push_back(cell.empty() ? "-" : std::move(cell));
    }
  }
  std::vector<size_t> width(shown.size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(width[i] - row[i].size(), ' ');
      absl::StrAppend(&line, i == 0 ? "" : "  ", shown[i]->right ? padding : "", row[i],
                      shown[i]->right ? "" : padding);
    }
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

void PrintList(const std::vector<Column>& columns, const std::vector<Json>& items, Format format,
               bool headers) {
  switch (format) {
    case Format::kJson:
      std::printf("%s\n", PrintJson(Json{{"apiVersion", "het/v1"}, {"items", items}}, 2).c_str());
      return;
    case Format::kJsonLines:
      for (const Json& item : items) std::printf("%s\n", PrintJson(item).c_str());
      return;
    case Format::kName:
      for (const Json& item : items) std::printf("%s\n", item.value("id", "").c_str());
      return;
    case Format::kTable:
    case Format::kWide:
      if (items.empty()) {
        std::fprintf(stderr, "none\n");
        return;
      }
      std::fputs(FormatTable(columns, items, format == Format::kWide, headers).c_str(), stdout);
  }
}

void PrintObject(const Json& object, Format format) {
  if (format == Format::kJson || format == Format::kJsonLines) {
    Json with_version = {{"apiVersion", "het/v1"}};
    with_version.update(object);
    std::printf("%s\n", PrintJson(with_version, format == Format::kJson ? 2 : -1).c_str());
  } else if (format == Format::kName) {
    std::printf("%s\n", object.value("id", "").c_str());
  } else {
    PrintFields(object, 0);
  }
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "hetctl: %s\n", std::string(status.message()).c_str());
  return ExitCodeFor(status);
}

}  // namespace het::hetctl
