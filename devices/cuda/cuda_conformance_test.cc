// Built twice: for the soft driver of tests/soft_drivers, which must be there, and for the
// machine's own driver, which is skipped where there is none.
#include "devices/conformance/conformance.h"
#include "devices/cuda/driver.h"

namespace {

const bool joined = het::conformance::Join({
    .name = HET_TEST_NAME,
    .create_driver = [] { return het::cuda::CreateDriver({}); },
    .open = {.cores = {}, .compute_units = HET_TEST_UNITS},
    .form = het::KernelForm::kPortable,
    .required = HET_TEST_REQUIRED,
});

}  // namespace
