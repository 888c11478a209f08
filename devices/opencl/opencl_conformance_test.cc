// PoCL and rusticl join the conformance suite, each in a program of its own (HET_TEST_PLATFORM):
// the ctest entries choose the ICD by environment. A driver that is not there is a failure.
#include "devices/conformance/conformance.h"
#include "devices/opencl/driver.h"

namespace {

const bool joined = het::conformance::Join({
    .name = HET_TEST_NAME,
    .create_driver = [] { return het::opencl::CreateDriver({}); },
    .select =
        [](const het::DeviceInfo& info) {
          return info.attributes.at("platform") == HET_TEST_PLATFORM;
        },
    .open = {},
    .form = het::KernelForm::kPortable,
    .unsupported = {},
    .expected_failures = {},
});

}  // namespace
