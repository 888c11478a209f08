// OpenCL's error numbers as absl::Status. Pure functions.
#ifndef HET_DEVICES_OPENCL_ERRORS_H_
#define HET_DEVICES_OPENCL_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "devices/opencl/api.h"

namespace het::opencl {

// "CL_OUT_OF_RESOURCES", or "OpenCL error -9999" for a number of no header.
std::string ErrorName(cl_int error);

// "<what>: CL_..." with the canonical code: out of memory or resources is ResourceExhausted, a
// device that is gone DataLoss, a wrong argument InvalidArgument, anything else Internal.
absl::Status ErrorStatus(cl_int error, absl::string_view what);

// The same for the negative execution status of a queued command: what is not out of resources is
// DataLoss, because what the command should have written is not there.
absl::Status ExecutionStatus(cl_int status, absl::string_view what);

#define HET_CL_RETURN_IF_ERROR(call, what)                    \
  do {                                                        \
    if (const cl_int het_cl_ = (call); het_cl_ != CL_SUCCESS) \
      return ::het::opencl::ErrorStatus(het_cl_, what);       \
  } while (false)

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_ERRORS_H_
