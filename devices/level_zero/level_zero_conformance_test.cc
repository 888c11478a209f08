// Level Zero joins the conformance suite. Built twice: for the soft driver (tests/soft_drivers)
// behind the real loader, with a whole card, one tile of another and an NPU, none of which may be
// missing; and for the machine's own driver, which is skipped where there is none.
#include <cstdlib>

#include "devices/conformance/conformance.h"
#include "devices/level_zero/driver.h"

namespace {

#if HET_TEST_SOFT

const bool cards_are_set =
    setenv("HET_SOFT_LEVEL_ZERO", "devices=2;npus=1;units=32;tiles.1=2", 1) == 0;

bool JoinAs(const std::string& name, bool tiled, het::OpenOptions open) {
  return het::conformance::Join({
      .name = name,
      .create_driver = [] { return het::level_zero::CreateDriver({}); },
      .select =
          [tiled](const het::DeviceInfo& info) {
            return info.kind == het::DeviceKind::kGpu && info.can_sub_divide == tiled;
          },
      .open = std::move(open),
      .form = het::KernelForm::kPortable,
      .unsupported = {},
      .expected_failures = {},
  });
}

// relu(x w^T + b), in the soft NPU's form (tests/soft_drivers/level_zero/graphs.cc).
constexpr char kGraph[] =
    "HETSOFTGRAPH 1\n"
    "input x 4 8\n"
    "const w 3 8 : -0.75 -0.5 -0.25 0 0.25 0.5 0.75 1 -1.5 -1 -0.5 0 0.5 1 1.5 2 "
    "-2.25 -1.5 -0.75 0 0.75 1.5 2.25 3\n"
    "const b 3 : -1 0 1\n"
    "let product = matmul x w\n"
    "let sum = add product b\n"
    "output y = relu sum\n";

bool JoinNpu() {
  const std::string no_kernels = "an NPU runs compiled graphs, and no kernels";
  return het::conformance::Join({
      .name = "soft_level_zero_npu",
      .create_driver = [] { return het::level_zero::CreateDriver({}); },
      .select = [](const het::DeviceInfo& info) { return info.kind == het::DeviceKind::kNpu; },
      .open = {},
      .form = het::KernelForm::kGraph,
      .unsupported = {{"Kernel.*", no_kernels},
                      {"Threads.EveryThreadItsOwnQueue", no_kernels},
                      {"Queue.RunsLaunchesInOrder", no_kernels},
                      {"Queue.RunsDifferentOperationsInOrder", no_kernels},
                      {"Queue.TakesManyLaunches", no_kernels},
                      {"Queue.DestructionWaitsForWhatIsQueued", no_kernels},
                      {"Queue.ManyQueuesAtOnce", no_kernels}},
      .expected_failures = {},
      .graph = kGraph,
  });
}

const bool joined = JoinNpu() && JoinAs("soft_level_zero", false, {}) &&
                    JoinAs("soft_level_zero_tile", true, {.cores = {}, .compute_units = 16});

#else

const bool joined = het::conformance::Join({
    .name = "level_zero",
    .create_driver = [] { return het::level_zero::CreateDriver({}); },
    .select =
        [](const het::DeviceInfo& info) {
          return info.kind == het::DeviceKind::kGpu && info.state == het::DeviceState::kOk;
        },
    .open = {},
    .form = het::KernelForm::kPortable,
    .required = false,
});

#endif

}  // namespace
