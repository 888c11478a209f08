#include "devices/conformance/conformance.h"
#include "devices/cpu/cpu_driver.h"

namespace {

const std::vector<het::conformance::Excuse> kNative = {
    {"Kernel.Portable*", "the cpu device runs native functions and has no compiler"}};

std::vector<uint32_t> FirstCore() {
  const auto driver = het::cpu::CreateDriver({});
  return {(*(*driver)->Enumerate())[0].cores[0]};
}

const bool whole = het::conformance::Join({
    .name = "cpu",
    .create_driver = [] { return het::cpu::CreateDriver({}); },
    .unsupported = kNative,
});

const bool slice = het::conformance::Join({
    .name = "cpu_one_core",
    .create_driver = [] { return het::cpu::CreateDriver({}); },
    .open = {.cores = FirstCore()},
    .unsupported = kNative,
});

}  // namespace
