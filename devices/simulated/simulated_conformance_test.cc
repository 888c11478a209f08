#include "devices/conformance/conformance.h"
#include "devices/simulated/simulated_driver.h"

namespace {

using het::conformance::Excuse;
using het::conformance::Join;

auto Profile(const char* name) {
  return [path = std::string(HET_SOURCE_DIR "/devices/simulated/profiles/") + name] {
    return het::simulated::CreateDriver({.settings = {{"profile", path}}});
  };
}

const Excuse kNative = {"Kernel.Portable*", "a simulated device runs native functions"};
const std::string kNoData = "in timing mode no data moves, so there is none to look at";

const bool functional = Join({
    .name = "functional",
    .create_driver = Profile("small-pair.toml"),
    .unsupported = {kNative},
});

const bool functional_part = Join({
    .name = "functional_part",
    .create_driver = Profile("small-pair.toml"),
    .select = [](const het::DeviceInfo& info) { return info.kind == het::DeviceKind::kNpu; },
    .open = {.compute_units = 2},
    .unsupported = {kNative},
});

const bool timing = Join({
    .name = "timing",
    .create_driver = Profile("mixed8.toml"),
    .unsupported = {kNative,
                    {"Memory.HostAddressesShowTheData", kNoData},
                    {"Copy.RoundTripsOddSizesAndOffsets", kNoData},
                    {"Copy.FillsOddRanges", kNoData},
                    {"Copy.CopiesBetweenAndWithinBuffers", kNoData},
                    {"Copy.MovesManyMegabytes", kNoData},
                    {"Queue.RunsLaunchesInOrder", kNoData},
                    {"Queue.RunsDifferentOperationsInOrder", kNoData},
                    {"Queue.ManyQueuesAtOnce", kNoData},
                    {"Kernel.SaxpyWithOffsets", kNoData},
                    {"Kernel.ReduceWithLocalMemory", kNoData},
                    {"Kernel.GridHasThreeAxes", kNoData},
                    {"Kernel.ParametersArriveFieldByField", kNoData},
                    {"Kernel.EstimatesChangeNoResult", kNoData},
                    {"Threads.EveryThreadItsOwnQueue", kNoData}},
});

}  // namespace
