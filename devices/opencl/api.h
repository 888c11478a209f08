// Api: the OpenCL entry points of this process, found in libOpenCL.so.1 by dlopen. het never links
// the library and never closes it (drivers leave threads and thread-local destructors behind).
//
// Threads: immutable once loaded. Failures: LoadApi is Unavailable when the library or a required
// symbol is missing. An optional symbol is null where the loader is too old. A non-null pointer
// says nothing of the driver behind the loader: the loader jumps through the driver's own table,
// and a driver may leave an entry empty there (rusticl: clCreateSubDevices). What is optional in
// OpenCL is therefore asked by clGetDeviceInfo before it is called.
#ifndef HET_DEVICES_OPENCL_API_H_
#define HET_DEVICES_OPENCL_API_H_

#define CL_TARGET_OPENCL_VERSION 300
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS
#include <CL/cl.h>

#include "absl/status/statusor.h"

namespace het::opencl {

#define HET_OPENCL_REQUIRED(X)    \
  X(clBuildProgram)               \
  X(clCreateBuffer)               \
  X(clCreateCommandQueue)         \
  X(clCreateContext)              \
  X(clCreateKernel)               \
  X(clCreateProgramWithSource)    \
  X(clEnqueueBarrierWithWaitList) \
  X(clEnqueueCopyBuffer)          \
  X(clEnqueueFillBuffer)          \
  X(clEnqueueMapBuffer)           \
  X(clEnqueueMarkerWithWaitList)  \
  X(clEnqueueNDRangeKernel)       \
  X(clEnqueueReadBuffer)          \
  X(clEnqueueWriteBuffer)         \
  X(clFinish)                     \
  X(clFlush)                      \
  X(clGetCommandQueueInfo)        \
  X(clGetDeviceIDs)               \
  X(clGetDeviceInfo)              \
  X(clGetEventInfo)               \
  X(clGetEventProfilingInfo)      \
  X(clGetKernelInfo)              \
  X(clGetPlatformIDs)             \
  X(clGetPlatformInfo)            \
  X(clGetProgramBuildInfo)        \
  X(clGetProgramInfo)             \
  X(clReleaseCommandQueue)        \
  X(clReleaseContext)             \
  X(clReleaseEvent)               \
  X(clReleaseKernel)              \
  X(clReleaseMemObject)           \
  X(clReleaseProgram)             \
  X(clRetainCommandQueue)         \
  X(clRetainEvent)                \
  X(clSetEventCallback)           \
  X(clSetKernelArg)

#define HET_OPENCL_OPTIONAL(X)          \
  X(clCreateCommandQueueWithProperties) \
  X(clCreateProgramWithBuiltInKernels)  \
  X(clCreateSubDevices)                 \
  X(clReleaseDevice)

struct Api {
#define HET_OPENCL_MEMBER(name) decltype(&::name) name = nullptr;
  HET_OPENCL_REQUIRED(HET_OPENCL_MEMBER)
  HET_OPENCL_OPTIONAL(HET_OPENCL_MEMBER)
#undef HET_OPENCL_MEMBER
};

// Opens the library on the first call and gives the same table ever after. Thread-safe.
absl::StatusOr<const Api*> LoadApi();

}  // namespace het::opencl

#endif  // HET_DEVICES_OPENCL_API_H_
