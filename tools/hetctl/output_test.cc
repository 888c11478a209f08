#include "tools/hetctl/output.h"

#include <gtest/gtest.h>

namespace het::hetctl {
namespace {

const std::vector<Column> kColumns = {
    {"ID", [](const Json& item) { return item.value("id", ""); }},
    {"SIZE", [](const Json& item) { return item.value("size", ""); }, false, true},
    {"NOTE", [](const Json& item) { return item.value("note", ""); }, true}};

TEST(Table, LinesUpAndLeavesWideColumnsOut) {
  const std::vector<Json> items = {{{"id", "a"}, {"size", "10"}, {"note", "x"}},
                                   {{"id", "long"}, {"size", "7"}}};
  EXPECT_EQ(FormatTable(kColumns, items, false, true), "ID    SIZE\na       10\nlong     7\n");
  EXPECT_EQ(FormatTable(kColumns, items, true, false), "a     10  x\nlong   7  -\n");
}

TEST(Exit, CodesFollowTheKindOfFailure) {
  EXPECT_EQ(ExitCodeFor(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeFor(absl::NotFoundError("")), 4);
  EXPECT_EQ(ExitCodeFor(absl::UnavailableError("")), 69);
  EXPECT_EQ(ExitCodeFor(absl::ResourceExhaustedError("")), 75);
  EXPECT_EQ(ExitCodeFor(absl::PermissionDeniedError("")), 77);
  EXPECT_EQ(ExitCodeFor(absl::InternalError("")), 1);
}

}  // namespace
}  // namespace het::hetctl
