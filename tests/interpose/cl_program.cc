#include "tests/interpose/cl_program.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

namespace het::interpose {
namespace {

constexpr size_t kItems = 4096;
constexpr char kSource[] = R"(
kernel void work(global uint* counter, uint rounds) {
  uint x = (uint)get_global_id(0) + 1;
  for (uint i = 0; i < rounds; ++i) x = x * 1664525u + 1013904223u;
  // x is never 0 after an odd multiplier and this increment more than once in 2^32 rounds; the
  // compiler does not know.
  counter[get_global_id(0)] += (x == 0 && rounds > 0) ? 2 : 1;
}
)";

ClApi Load() {
  void* library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_GLOBAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(3);
  }
  ClApi api;
#define HET_PROGRAM_LOAD(name) \
  api.name = reinterpret_cast<decltype(api.name)>(dlsym(library, #name));
  HET_PROGRAM_FUNCTIONS(HET_PROGRAM_LOAD)
#undef HET_PROGRAM_LOAD
  return api;
}

}  // namespace

const ClApi& Cl() {
  static const ClApi api = Load();
  return api;
}

void Check(cl_int error, const char* what) {
  if (error == CL_SUCCESS) return;
  std::fprintf(stderr, "%s: error %d\n", what, error);
  std::exit(3);
}

cl_device_id FirstDevice(cl_platform_id* platform_ret) {
  cl_platform_id platform = nullptr;
  cl_device_id device = nullptr;
  if (Cl().clGetPlatformIDs(1, &platform, nullptr) != CL_SUCCESS ||
      Cl().clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr) != CL_SUCCESS) {
    std::fprintf(stderr, "no device\n");
    std::exit(4);
  }
  if (platform_ret != nullptr) *platform_ret = platform;
  return device;
}

ClProgram::ClProgram() {
  device = FirstDevice(&platform);
  cl_int error = CL_SUCCESS;
  context = Cl().clCreateContext(nullptr, 1, &device, nullptr, nullptr, &error);
  Check(error, "clCreateContext");
  queue = NewQueue();
  const char* source = kSource;
  program_ = Cl().clCreateProgramWithSource(context, 1, &source, nullptr, &error);
  Check(error, "clCreateProgramWithSource");
  Check(Cl().clBuildProgram(program_, 1, &device, "", nullptr, nullptr), "clBuildProgram");
  kernel_ = Cl().clCreateKernel(program_, "work", &error);
  Check(error, "clCreateKernel");
  counter_ =
      Cl().clCreateBuffer(context, CL_MEM_READ_WRITE, kItems * sizeof(cl_uint), nullptr, &error);
  Check(error, "clCreateBuffer");
  const cl_uint zero = 0;
  Check(Cl().clEnqueueFillBuffer(queue, counter_, &zero, sizeof(zero), 0, kItems * sizeof(cl_uint),
                                 0, nullptr, nullptr),
        "clEnqueueFillBuffer");
  Check(Cl().clFinish(queue), "clFinish");
}

ClProgram::~ClProgram() {
  Cl().clReleaseMemObject(counter_);
  Cl().clReleaseKernel(kernel_);
  Cl().clReleaseProgram(program_);
  Cl().clReleaseCommandQueue(queue);
  Cl().clReleaseContext(context);
}

cl_command_queue ClProgram::NewQueue(bool in_order) {
  const cl_queue_properties properties[] = {
      CL_QUEUE_PROPERTIES,
      in_order ? 0 : cl_queue_properties{CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE}, 0};
  cl_int error = CL_SUCCESS;
  cl_command_queue made =
      Cl().clCreateCommandQueueWithProperties(context, device, properties, &error);
  Check(error, "clCreateCommandQueueWithProperties");
  return made;
}

cl_int ClProgram::Launch(cl_command_queue on, size_t items, cl_uint rounds, cl_uint waits,
                         const cl_event* wait_list, cl_event* event) {
  Check(Cl().clSetKernelArg(kernel_, 0, sizeof(counter_), &counter_), "clSetKernelArg");
  Check(Cl().clSetKernelArg(kernel_, 1, sizeof(rounds), &rounds), "clSetKernelArg");
  return Cl().clEnqueueNDRangeKernel(on, kernel_, 1, nullptr, &items, nullptr, waits, wait_list,
                                     event);
}

cl_uint ClProgram::Counter(size_t item) {
  cl_uint value = 0;
  Check(Cl().clEnqueueReadBuffer(queue, counter_, CL_TRUE, item * sizeof(value), sizeof(value),
                                 &value, 0, nullptr, nullptr),
        "clEnqueueReadBuffer");
  return value;
}

}  // namespace het::interpose
