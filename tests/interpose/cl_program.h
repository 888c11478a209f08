// ClProgram: the small OpenCL program that the layer's tests and benchmarks run: one context, one
// in-order queue and a kernel of adjustable length, on the first device it finds. It knows nothing
// of het. OpenCL by dlopen, as in any program without the SDK.
//
// Threads: one. Failures: a message on stderr and exit 3, so that a test sees which call it was.
#ifndef HET_TESTS_INTERPOSE_CL_PROGRAM_H_
#define HET_TESTS_INTERPOSE_CL_PROGRAM_H_

#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>

#include <cstdint>

namespace het::interpose {

// clang-format never comes to rest here.
// clang-format off
#define HET_PROGRAM_FUNCTIONS(X) \
  X(clGetPlatformIDs) X(clGetDeviceIDs) X(clGetDeviceInfo) X(clCreateContext) \
  X(clCreateCommandQueueWithProperties) X(clCreateProgramWithSource) X(clBuildProgram) \
  X(clCreateKernel) X(clSetKernelArg) X(clCreateBuffer) X(clCreateSubBuffer) X(clCreateImage) \
  X(clReleaseMemObject) X(clRetainMemObject) X(clSVMAlloc) X(clSVMFree) X(clEnqueueSVMFree) \
  X(clEnqueueNDRangeKernel) X(clEnqueueReadBuffer) X(clEnqueueWriteBuffer) \
  X(clEnqueueFillBuffer) X(clFinish) X(clFlush) X(clWaitForEvents) X(clGetEventInfo) \
  X(clReleaseEvent) X(clCreateUserEvent) X(clSetUserEventStatus) X(clSetEventCallback) \
  X(clReleaseCommandQueue) X(clReleaseContext) X(clReleaseKernel) X(clReleaseProgram) \
  X(clCreatePipe) X(clGetMemObjectInfo) X(clCreateSubDevices) X(clReleaseDevice) \
  X(clGetExtensionFunctionAddressForPlatform) X(clEnqueueMarkerWithWaitList)
// clang-format on

struct ClApi {
#define HET_PROGRAM_MEMBER(name) decltype(&::name) name = nullptr;
  HET_PROGRAM_FUNCTIONS(HET_PROGRAM_MEMBER)
#undef HET_PROGRAM_MEMBER
};
const ClApi& Cl();

// Exits when `error` is not CL_SUCCESS.
void Check(cl_int error, const char* what);

// The first device of the first platform, or exit 4: no device.
cl_device_id FirstDevice(cl_platform_id* platform = nullptr);

class ClProgram {
 public:
  ClProgram();
  ~ClProgram();

  cl_command_queue NewQueue(bool in_order = true);
  // `rounds` of dependent arithmetic per item; adds 1 to counter[item] as well.
  cl_int Launch(cl_command_queue queue, size_t items, cl_uint rounds, cl_uint waits = 0,
                const cl_event* wait_list = nullptr, cl_event* event = nullptr);
  cl_uint Counter(size_t item);

  cl_device_id device = nullptr;
  cl_platform_id platform = nullptr;
  cl_context context = nullptr;
  cl_command_queue queue = nullptr;

 private:
  cl_program program_ = nullptr;
  cl_kernel kernel_ = nullptr;
  cl_mem counter_ = nullptr;
};

}  // namespace het::interpose

#endif  // HET_TESTS_INTERPOSE_CL_PROGRAM_H_
