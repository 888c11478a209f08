// Conformance: the one suite of tests that every backend passes, so that what is above the contract
// (runtime/, the engine) need not know which vendor it runs on.
//
// A backend joins with one file of its own, `devices/<backend>/<backend>_conformance_test.cc`:
//
//   #include "devices/conformance/conformance.h"
//   namespace {
//   const bool joined = het::conformance::Join({
//       .name = "pocl",
//       .create_driver = [] { return het::opencl::CreateDriver({}); },
//       .select = [](const het::DeviceInfo& info) { return info.vendor == "PoCL"; },
//       .form = het::KernelForm::kPortable,
//       .unsupported = {{"Memory.WrapsHostMemory*", "PoCL copies what it is asked to wrap"}},
//       .expected_failures = {{"Timeline.GivesAnEventFd", "driver bug 1234: no completion
//       callback"}},
//   });
//   }  // namespace
//
//   het_test(opencl_conformance_test SRCS opencl_conformance_test.cc
//            DEPS het_backend_opencl het_conformance TIMEOUT 120)
//
// main comes with the library (main.cc): with --performance the program prints how fast the
// devices are (performance.h) instead of testing them. A test's full name is
// `<name>/<Suite>.<Test>`; the lists use
// `<Suite>.<Test>` and may use * and ?. Several devices join with several calls (in one file or
// more).
//
// Rules: an entry of a list that matches no test fails the program; a test of `expected_failures`
// that passes fails; a device that is not there is a failure and no skip, unless `required` is
// false. After every test the device's allocated_bytes() must be 0 again.
//
// Threads: Join is called before main or from it, on one thread. The driver and the device are made
// once per backend, on first use, and shared by its tests.
#ifndef HET_DEVICES_CONFORMANCE_CONFORMANCE_H_
#define HET_DEVICES_CONFORMANCE_CONFORMANCE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/device.h"
#include "devices/device_info.h"
#include "devices/driver.h"
#include "devices/program.h"

namespace het::conformance {

// A test that this backend does not take, or fails, and why: a sentence for the reader.
struct Excuse {
  std::string test;  // "Suite.Test", "Suite.*"
  std::string reason;
};

struct Backend {
  std::string name;  // of the instantiation: letters, digits, '_'
  std::function<absl::StatusOr<std::unique_ptr<Driver>>()> create_driver;
  // The first device of Enumerate() for which this is true; null: the first whose state is kOk.
  std::function<bool(const DeviceInfo&)> select = {};
  OpenOptions open = {};
  // The form its kernels must turn out to have: the programs of the suite carry both.
  KernelForm form = KernelForm::kNative;
  // Not run, because the device cannot. Listed on stdout with the reason.
  std::vector<Excuse> unsupported = {};
  // Run, and must fail.
  std::vector<Excuse> expected_failures = {};
  // For devices with kRunsGraphs: a compiled graph of one input x (f32, 4 rows of 8) and one
  // output, relu(x w^T + b), with w[o][i] = (o + 1) (i - 3) / 4 (3 rows of 8) and b[o] = o - 1.
  std::string graph = {};
  // false: where create_driver says Unavailable, the tests are skipped.
  bool required = true;
};

// Registers every test for `backend`. Always true, to be called from a static initialiser.
bool Join(Backend backend);

// --performance: prints the figures of every joined device; the number of those that failed.
int RunPerformance();

}  // namespace het::conformance

#endif  // HET_DEVICES_CONFORMANCE_CONFORMANCE_H_
