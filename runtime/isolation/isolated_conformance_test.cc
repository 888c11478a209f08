// PoCL in a worker process passes the suite that PoCL in this process passes.
#include "devices/conformance/conformance.h"
#include "runtime/isolation/driver.h"

namespace {

const bool joined = het::conformance::Join({
    .name = "isolated_pocl",
    .create_driver = [] { return het::runtime::isolation::CreateIsolatedDriver("opencl", {}); },
    .select = {},
    .open = {},
    .form = het::KernelForm::kPortable,
    .unsupported = {},
    .expected_failures = {},
});

}  // namespace
