// main of the conformance programs. It lies in the library: a program that has a main of its own
// (conformance_test.cc) does not get it.
#include <gtest/gtest.h>

#include <cstring>

#include "devices/conformance/conformance.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--performance") == 0) {
    return het::conformance::RunPerformance() == 0 ? 0 : 1;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
