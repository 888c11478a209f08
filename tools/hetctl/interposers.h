// Interposers: where the libraries are that put unmodified programs into slices, beside this
// hetctl in a build tree or installed; and which of the vendor's they stand before. Looked at by
// names only: hetctl loads no driver.
//
// Failures: FailedPrecondition names everything that is missing, where it was looked for, and what
// would help.
#ifndef HET_TOOLS_HETCTL_INTERPOSERS_H_
#define HET_TOOLS_HETCTL_INTERPOSERS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "devices/device_info.h"
#include "tools/hetctl/vendors.h"

namespace het::hetctl {

// The OpenCL layer; HET_OPENCL_LAYER says otherwise.
absl::StatusOr<std::string> FindOpenClLayer();

struct CudaShadow {
  std::string folder;      // of the shadow libraries
  std::string driver;      // NVIDIA's libcuda.so.1; HET_CUDA_DRIVER says otherwise
  std::string management;  // NVIDIA's libnvidia-ml.so.1; empty: it is not there
};
absl::StatusOr<CudaShadow> FindCudaShadow();

// What CUDA_VISIBLE_DEVICES calls the device: "GPU-..." or "MIG-...".
std::string CudaName(const DeviceInfo& device);

// For hetctl doctor: whether programs of each API can be held.
std::vector<Finding> CheckInterposers();

}  // namespace het::hetctl

#endif  // HET_TOOLS_HETCTL_INTERPOSERS_H_
