// Level Zero joins the conformance suite: the soft driver (tests/soft_drivers) behind the real
// loader, a whole card and one tile of another. Neither may be missing.
#include <cstdlib>

#include "devices/conformance/conformance.h"
#include "devices/level_zero/driver.h"

namespace {

const bool cards_are_set = setenv("HET_SOFT_LEVEL_ZERO", "devices=2;units=32;tiles.1=2", 1) == 0;

bool JoinAs(const std::string& name, bool tiled, het::OpenOptions open) {
  return het::conformance::Join({
      .name = name,
      .create_driver = [] { return het::level_zero::CreateDriver({}); },
      .select = [tiled](const het::DeviceInfo& info) { return info.can_sub_divide == tiled; },
      .open = std::move(open),
      .form = het::KernelForm::kPortable,
      .unsupported = {},
      .expected_failures = {},
  });
}

const bool joined = JoinAs("soft_level_zero", false, {}) &&
                    JoinAs("soft_level_zero_tile", true, {.cores = {}, .compute_units = 16});

}  // namespace
