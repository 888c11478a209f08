// The layer's two lists against the dispatch table of the installed OpenCL headers.
#include "interpose/opencl/entry_points.h"

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace het::interpose {
namespace {

using ::testing::ContainerEq;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string ReadHeader(const std::string& name) {
  std::ifstream file(std::string(HET_OPENCL_INCLUDE_DIR) + "/CL/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The members of struct _cl_icd_dispatch: "cl_api_NAME NAME;", possibly over two lines.
std::set<std::string> DispatchTable() {
  const std::string header = ReadHeader("cl_icd.h");
  const size_t begin = header.find("typedef struct _cl_icd_dispatch {");
  const size_t end = header.find("} cl_icd_dispatch;");
  std::set<std::string> names;
  if (begin == std::string::npos || end == std::string::npos) return names;
  std::stringstream words(header.substr(begin, end - begin));
  std::string type, word;
  while (words >> word) {
    if (absl::StartsWith(type, "cl_api_") && word == type.substr(7) + ";") {
      names.insert(word.substr(0, word.size() - 1));
    }
    type = word;
  }
  return names;
}

// The functions that CL/cl.h declares: "clNAME(" at the start of a line or after CL_API_CALL.
std::set<std::string> CoreFunctions() {
  std::set<std::string> names;
  std::stringstream lines(ReadHeader("cl.h"));
  std::string line, before;
  while (std::getline(lines, line)) {
    const size_t paren = line.find('(');
    if (absl::StartsWith(line, "cl") && paren != std::string::npos &&
        absl::StrContains(before, "CL_API_CALL")) {
      names.insert(line.substr(0, paren));
    }
    before = line;
  }
  return names;
}

std::map<std::string, int> Covered() {
  std::map<std::string, int> times;
#define HET_COUNT_HOOKED(name) ++times[#name];
  HET_LAYER_HOOKED(HET_COUNT_HOOKED)
#undef HET_COUNT_HOOKED
#define HET_COUNT_PASSED(name, reason) ++times[#name];
  HET_LAYER_PASSED(HET_COUNT_PASSED)
#undef HET_COUNT_PASSED
  return times;
}

TEST(EntryPoints, EveryFunctionOfTheDispatchTableIsInOneList) {
  std::set<std::string> covered;
  for (const auto& [name, times] : Covered()) {
    EXPECT_EQ(times, 1) << name << " stands in the lists more than once";
    covered.insert(name);
  }
  // The installed header has OpenCL 3.0's 149 entries; fewer means that it was not understood.
  const std::set<std::string> table = DispatchTable();
  EXPECT_THAT(table, SizeIs(::testing::Ge(149u)));
  EXPECT_THAT(covered, ContainerEq(table));
}

TEST(EntryPoints, EveryFunctionOfOpenClIsInOneList) {
  const std::set<std::string> core = CoreFunctions();
  EXPECT_THAT(core, SizeIs(::testing::Ge(100u)));
  const std::map<std::string, int> covered = Covered();
  std::set<std::string> missing;
  for (const std::string& name : core) {
    if (covered.count(name) == 0) missing.insert(name);
  }
  EXPECT_THAT(missing, IsEmpty());
}

TEST(EntryPoints, WhateverIsEnqueuedOrCreatedInMemoryIsHooked) {
  std::set<std::string> hooked;
#define HET_COLLECT(name) hooked.insert(#name);
  HET_LAYER_HOOKED(HET_COLLECT)
#undef HET_COLLECT
  for (const std::string& name : CoreFunctions()) {
    const bool memory = absl::StartsWith(name, "clCreateBuffer") ||
                        absl::StartsWith(name, "clCreateImage") || name == "clCreatePipe" ||
                        absl::StartsWith(name, "clSVM");
    if (memory || absl::StartsWith(name, "clEnqueue")) {
      EXPECT_EQ(hooked.count(name), 1u) << name;
    }
  }
}

TEST(EntryPoints, WhatIsPassedHasAReason) {
#define HET_HAS_REASON(name, reason) EXPECT_GE(std::string(reason).size(), 7u) << #name;
  HET_LAYER_PASSED(HET_HAS_REASON)
#undef HET_HAS_REASON
}

}  // namespace
}  // namespace het::interpose
