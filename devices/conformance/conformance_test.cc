// The suite's own rules, tried on the cpu backend with lists that are wrong on purpose: the tests
// below fail where they must and nowhere else. The program is a plain main, since it looks at the
// outcome of GoogleTest from outside.
#include "devices/conformance/conformance.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>

#include "devices/cpu/cpu_driver.h"

namespace het::conformance {
namespace {

absl::StatusOr<std::unique_ptr<Driver>> Cpu() { return cpu::CreateDriver({}); }
absl::StatusOr<std::unique_ptr<Driver>> Missing() {
  return absl::UnavailableError("libnowhere.so.1 is not installed");
}

class Outcomes : public testing::EmptyTestEventListener {
 public:
  void OnTestEnd(const testing::TestInfo& test) override {
    const std::string name = std::string(test.test_suite_name()) + "." + test.name();
    if (test.result()->Failed()) failed.insert(name);
    if (test.result()->Skipped()) skipped.insert(name);
  }
  std::set<std::string> failed, skipped;
};

int Run() {
  // It needs the compiler test, which the cpu device does fail, and one that it passes.
  Join({.name = "listed",
        .create_driver = Cpu,
        .unsupported = {{"Kernel.PortableOptions*", "no compiler"}},
        .expected_failures = {{"Kernel.PortableErrors*", "no compiler"},
                              {"Memory.RefusesZeroBytes", "a lie"}}});
  Join({.name = "stale",
        .create_driver = Cpu,
        .unsupported = {{"Kernel.*", "not needed here"}, {"Kernel.NoSuchTest", "a stale entry"}}});
  Join({.name = "missing", .create_driver = Missing});
  Join({.name = "optional", .create_driver = Missing, .required = false});
  Join({.name = "unselected", .create_driver = Cpu, .select = [](const DeviceInfo& info) {
          return info.vendor == "Acme";
        }});

  testing::GTEST_FLAG(filter) =
      "listed/*:*/Lists.*:missing/Memory.RefusesZeroBytes:optional/Memory.RefusesZeroBytes:"
      "unselected/Memory.RefusesZeroBytes";
  Outcomes outcomes;
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(&outcomes);
  const bool passed = RUN_ALL_TESTS() == 0;
  listeners.Release(&outcomes);

  const std::set<std::string> must_fail = {
      "listed/Memory.RefusesZeroBytes",   // passes, though expected to fail
      "stale/Lists.NameTestsAndReasons",  // names a test that is not there
      "missing/Memory.RefusesZeroBytes",  // no driver, and it is required
      "unselected/Memory.RefusesZeroBytes"};
  const std::set<std::string> must_skip = {"optional/Memory.RefusesZeroBytes"};
  for (const std::string& name : outcomes.failed) std::printf("failed: %s\n", name.c_str());
  for (const std::string& name : outcomes.skipped) std::printf("skipped: %s\n", name.c_str());
  const bool right = !passed && outcomes.failed == must_fail && outcomes.skipped == must_skip;
  std::printf("%s\n", right ? "as it must be" : "not what must fail and be skipped");
  return right ? 0 : 1;
}

}  // namespace
}  // namespace het::conformance

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return het::conformance::Run();
}
