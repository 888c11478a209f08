// Output: what hetctl prints. Data goes to stdout as an aligned table, JSON or names; everything
// else to stderr.
#ifndef HET_TOOLS_HETCTL_OUTPUT_H_
#define HET_TOOLS_HETCTL_OUTPUT_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/json.h"

namespace het::hetctl {

// Exit codes of every het tool.
enum ExitCode {
  kExitOk = 0,
  kExitError = 1,
  kExitUsage = 2,
  kExitNotFound = 4,
  kExitUnreachable = 69,  // no daemon answers
  kExitNoCapacity = 75,
  kExitDenied = 77,
};

// What a failure means for the caller's script.
ExitCode ExitCodeFor(const absl::Status& status);

enum class Format { kTable, kWide, kJson, kJsonLines, kName };

// One column of a table: its heading and how to print an item of the list. `wide` columns only show
// in -o wide.
struct Column {
  std::string heading;
  std::function<std::string(const Json& item)> cell;
  bool wide = false;
  bool right = false;  // numbers line up at the right
};

// Aligned columns, two spaces apart, no trailing blanks.
std::string FormatTable(const std::vector<Column>& columns, const std::vector<Json>& items,
                        bool wide, bool headers);

// Prints a list in `format`: JSON is {"apiVersion":"het/v1","items":[...]}, names are the "id"
// fields.
void PrintList(const std::vector<Column>& columns, const std::vector<Json>& items, Format format,
               bool headers);

// Prints one object: JSON with "apiVersion", or "Heading:  value" lines with nested objects
// indented.
void PrintObject(const Json& object, Format format);

// "hetctl: message" on stderr; returns the exit code for it.
int Fail(const absl::Status& status);

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_OUTPUT_H_
