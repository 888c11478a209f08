// Affinity: where the threads of an OpenCL driver for CPUs come to run. PoCL and llvmpipe make
// their pool inside the first clGetDeviceIDs and a thread per queue inside clCreateCommandQueue;
// Linux threads inherit the affinity of the thread that makes them. So het makes such calls on a
// short-lived thread that is bound to the wanted processors. Thread-safe.
#ifndef HET_DEVICES_OPENCL_AFFINITY_H_
#define HET_DEVICES_OPENCL_AFFINITY_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace het::opencl {

// Processors (OS numbers, ascending) that the calling thread may run on.
std::vector<uint32_t> AllowedCores();

// Runs `call` on a new thread bound to `cores` and waits for it. Empty `cores`: runs it here.
// InvalidArgument when the kernel refuses the set; `call` is not run then.
absl::Status RunOnCores(const std::vector<uint32_t>& cores, absl::FunctionRef<void()> call);

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_AFFINITY_H_
