#include "devices/simulated/op_table.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace het::simulated {
namespace {

std::string Csv(const std::string& text) {
  const std::string path = testing::TempDir() + "/het_table.csv";
  std::ofstream(path) << text;
  return path;
}

TEST(OpTable, IsLinearBetweenRowsAndBeyondTheLast) {
  const OpTable table = *OpTable::Make({0, 10, 20, 40}, {0, 5, 7, 8});
  EXPECT_DOUBLE_EQ(table.Millis(0), 0);
  EXPECT_DOUBLE_EQ(table.Millis(1), 0.5);
  EXPECT_DOUBLE_EQ(table.Millis(10), 5);
  EXPECT_DOUBLE_EQ(table.Millis(15), 6);
  EXPECT_DOUBLE_EQ(table.Millis(40), 8);
  EXPECT_DOUBLE_EQ(table.Millis(60), 9);
}

TEST(OpTable, HasAFloorBelowTheFirstRow) {
  const OpTable table = *OpTable::Make({4, 8}, {3, 5});
  EXPECT_DOUBLE_EQ(table.Millis(0), 3);
  EXPECT_DOUBLE_EQ(table.Millis(4), 3);
  EXPECT_DOUBLE_EQ(OpTable::Make({1}, {2})->Millis(100), 2) << "one row is a constant";
}

TEST(OpTable, NeverGoesBelowZero) {
  EXPECT_DOUBLE_EQ(OpTable::Make({1, 2}, {5, 1})->Millis(100), 0);
}

TEST(OpTable, RefusesWhatIsNoTable) {
  EXPECT_FALSE(OpTable::Make({}, {}).ok());
  EXPECT_FALSE(OpTable::Make({1, 2}, {1}).ok());
  EXPECT_FALSE(OpTable::Make({-1}, {1}).ok());
  EXPECT_FALSE(OpTable::Make({1}, {-1}).ok());
  const absl::Status falling = OpTable::Make({1, 3, 2}, {1, 1, 1}).status();
  EXPECT_NE(falling.message().find("row 3"), absl::string_view::npos) << falling;
}

TEST(OpTable, ReadsCsvWithAndWithoutHeading) {
  EXPECT_EQ(OpTable::ReadCsv(Csv("batch,ms\n# note\n1,2\n\n3, 4.5\r\n"))->rows(), 2u);
  EXPECT_DOUBLE_EQ(OpTable::ReadCsv(Csv("0,0\n2,1.4"))->Millis(1), 0.7);
}

TEST(OpTable, SaysWhereACsvIsWrong) {
  const std::string path = Csv("batch,ms\n1,2\n3;4\n");
  const absl::Status status = OpTable::ReadCsv(path).status();
  EXPECT_NE(status.message().find(path + ":3"), absl::string_view::npos) << status;
  EXPECT_EQ(OpTable::ReadCsv("/nowhere.csv").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace het::simulated
