// Measure: how fast some cores of this host really are, in a few tens of milliseconds: the read
// bandwidth they reach together, and their f32 multiply-add peak. het-probe calls it; a stage's
// cost is measured on its own kernels (scheduler/), this is only the yardstick beside it.
#ifndef HET_DEVICES_CPU_MEASURE_H_
#define HET_DEVICES_CPU_MEASURE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace het::cpu {

struct HostRates {
  double read_bytes_per_s = 0;  // sums of a region several times the last-level cache, all at once
  double f32_flops_per_s = 0;   // a multiply-add counts 2
  std::string simd;             // the instruction set that ran: "AVX2", "AVX3", "NEON", ...
};

// One thread bound to each of `cores`, all starting together. Each of the two measurements takes
// about `budget`; the best of several short rounds counts, and in each the time that a thread
// really ran, so that a busy machine measures about as well as an idle one. Touching the memory
// first takes some more. InvalidArgument without cores, ResourceExhausted without memory.
absl::StatusOr<HostRates> MeasureHost(const std::vector<uint32_t>& cores,
                                      absl::Duration budget = absl::Milliseconds(40));

}  // namespace het::cpu

#endif  // HET_DEVICES_CPU_MEASURE_H_
