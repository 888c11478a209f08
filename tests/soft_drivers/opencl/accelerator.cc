// A soft OpenCL accelerator without a compiler: an ICD whose one device has nothing but kernels of
// its own. It is PoCL behind another table: the entry points that say what the device is are ours,
// and so is the program of built-in kernels; everything else is PoCL's, on its objects.
//
// Built-in kernels: het.soft.add (a, b, sum: float*) and het.soft.scale (x, y: float*; a float),
// an item per element.
#include <dlfcn.h>

#include <cstring>
#include <string>

#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl_icd.h>

#define HET_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr char kNames[] = "het.soft.add;het.soft.scale";
// OpenCL C has no dots in names: a kernel's name is its built-in one with '_'.
constexpr char kSource[] =
    "__kernel void het_soft_add(__global const float* a, __global const float* b,\n"
    "                           __global float* sum) {\n"
    "  const size_t i = get_global_id(0);\n"
    "  sum[i] = a[i] + b[i];\n"
    "}\n"
    "__kernel void het_soft_scale(__global const float* x, __global float* y, float factor) {\n"
    "  const size_t i = get_global_id(0);\n"
    "  y[i] = x[i] * factor;\n"
    "}\n";

// What a platform, a device and a context of an ICD begin with.
struct Object {
  const cl_icd_dispatch* dispatch;
};

struct Soft {
  const cl_icd_dispatch* pocl = nullptr;
  cl_platform_id platform = nullptr;  // PoCL's
  cl_icd_dispatch table = {};         // PoCL's, with ours in it
  Object own_platform = {};
};
Soft& The() {
  static Soft* const soft = new Soft;  // PoCL's threads live until the end of the process
  return *soft;
}

cl_int Answer(const void* value, size_t bytes, size_t size, void* to, size_t* size_ret) {
  if (size_ret != nullptr) *size_ret = bytes;
  if (to == nullptr) return CL_SUCCESS;
  if (size < bytes) return CL_INVALID_VALUE;
  std::memcpy(to, value, bytes);
  return CL_SUCCESS;
}
cl_int Answer(const std::string& text, size_t size, void* to, size_t* size_ret) {
  return Answer(text.c_str(), text.size() + 1, size, to, size_ret);
}

cl_int CL_API_CALL PlatformInfo(cl_platform_id, cl_platform_info what, size_t size, void* to,
                                size_t* size_ret) {
  switch (what) {
    case CL_PLATFORM_NAME:
      return Answer("het soft accelerator", size, to, size_ret);
    case CL_PLATFORM_EXTENSIONS:
      return Answer("cl_khr_icd", size, to, size_ret);
    case CL_PLATFORM_ICD_SUFFIX_KHR:
      return Answer("HETSOFT", size, to, size_ret);
    default:
      return The().pocl->clGetPlatformInfo(The().platform, what, size, to, size_ret);
  }
}

cl_int CL_API_CALL DeviceIds(cl_platform_id, cl_device_type type, cl_uint count, cl_device_id* ids,
                             cl_uint* found) {
  if ((type & CL_DEVICE_TYPE_ACCELERATOR) == 0) return CL_DEVICE_NOT_FOUND;
  cl_device_id id = nullptr;
  const cl_int error =
      The().pocl->clGetDeviceIDs(The().platform, CL_DEVICE_TYPE_CPU, 1, &id, nullptr);
  if (error != CL_SUCCESS) return error;
  reinterpret_cast<Object*>(id)->dispatch = &The().table;
  if (ids != nullptr && count > 0) ids[0] = id;
  if (found != nullptr) *found = 1;
  return CL_SUCCESS;
}

cl_int CL_API_CALL DeviceInfo(cl_device_id id, cl_device_info what, size_t size, void* to,
                              size_t* size_ret) {
  const cl_device_type accelerator = CL_DEVICE_TYPE_ACCELERATOR;
  const cl_bool no = CL_FALSE;
  switch (what) {
    case CL_DEVICE_TYPE:
      return Answer(&accelerator, sizeof(accelerator), size, to, size_ret);
    case CL_DEVICE_NAME:
      return Answer("accelerator (soft)", size, to, size_ret);
    case CL_DEVICE_COMPILER_AVAILABLE:
    case CL_DEVICE_HOST_UNIFIED_MEMORY:
      return Answer(&no, sizeof(no), size, to, size_ret);
    case CL_DEVICE_BUILT_IN_KERNELS:
      return Answer(kNames, size, to, size_ret);
    default:
      return The().pocl->clGetDeviceInfo(id, what, size, to, size_ret);
  }
}

cl_context CL_API_CALL CreateContext(
    const cl_context_properties*, cl_uint count, const cl_device_id* devices,
    void(CL_CALLBACK* notify)(const char*, const void*, size_t, void*), void* user, cl_int* error) {
  cl_context context = The().pocl->clCreateContext(nullptr, count, devices, notify, user, error);
  if (context != nullptr) reinterpret_cast<Object*>(context)->dispatch = &The().table;
  return context;
}

cl_program CL_API_CALL NoSource(cl_context, cl_uint, const char**, const size_t*, cl_int* error) {
  if (error != nullptr) *error = CL_COMPILER_NOT_AVAILABLE;
  return nullptr;
}

cl_program CL_API_CALL BuiltIn(cl_context context, cl_uint, const cl_device_id*, const char* names,
                               cl_int* error) {
  const std::string known = std::string(";") + kNames + ";";
  for (std::string rest = names; !rest.empty();) {
    const size_t end = rest.find(';');
    if (known.find(";" + rest.substr(0, end) + ";") == std::string::npos) {
      if (error != nullptr) *error = CL_INVALID_VALUE;
      return nullptr;
    }
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
  }
  const char* text = kSource;
  cl_program program = The().pocl->clCreateProgramWithSource(context, 1, &text, nullptr, error);
  // Its kernels' names are ours to translate, too.
  if (program != nullptr) reinterpret_cast<Object*>(program)->dispatch = &The().table;
  return program;
}

cl_kernel CL_API_CALL CreateKernel(cl_program program, const char* name, cl_int* error) {
  std::string own = name;
  for (char& c : own) c = c == '.' ? '_' : c;
  return The().pocl->clCreateKernel(program, own.c_str(), error);
}

bool Open() {
  Soft& soft = The();
  if (soft.pocl != nullptr) return true;
  void* library = dlopen("libpocl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return false;
  using GetExtension = void* (*)(const char*);
  using GetPlatforms = cl_int (*)(cl_uint, cl_platform_id*, cl_uint*);
  const auto extension =
      reinterpret_cast<GetExtension>(dlsym(library, "clGetExtensionFunctionAddress"));
  const auto platforms = extension == nullptr
                             ? nullptr
                             : reinterpret_cast<GetPlatforms>(extension("clIcdGetPlatformIDsKHR"));
  if (platforms == nullptr || platforms(1, &soft.platform, nullptr) != CL_SUCCESS) return false;
  soft.pocl = reinterpret_cast<const Object*>(soft.platform)->dispatch;
  soft.table = *soft.pocl;
  soft.table.clGetPlatformInfo = PlatformInfo;
  soft.table.clGetDeviceIDs = DeviceIds;
  soft.table.clGetDeviceInfo = DeviceInfo;
  soft.table.clCreateContext = CreateContext;
  soft.table.clCreateProgramWithSource = NoSource;
  soft.table.clCreateProgramWithBuiltInKernels = BuiltIn;
  soft.table.clCreateKernel = CreateKernel;
  soft.own_platform.dispatch = &soft.table;
  return true;
}

cl_int CL_API_CALL PlatformIds(cl_uint count, cl_platform_id* ids, cl_uint* found) {
  if (!Open()) return -1001;  // CL_PLATFORM_NOT_FOUND_KHR
  if (ids != nullptr && count > 0) {
    ids[0] = reinterpret_cast<cl_platform_id>(&The().own_platform);
  }
  if (found != nullptr) *found = 1;
  return CL_SUCCESS;
}

}  // namespace

HET_EXPORT void* clGetExtensionFunctionAddress(const char* name) {
  return std::strcmp(name, "clIcdGetPlatformIDsKHR") == 0 ? reinterpret_cast<void*>(PlatformIds)
                                                          : nullptr;
}
HET_EXPORT cl_int clIcdGetPlatformIDsKHR(cl_uint count, cl_platform_id* ids, cl_uint* found) {
  return PlatformIds(count, ids, found);
}
HET_EXPORT cl_int clGetPlatformInfo(cl_platform_id id, cl_platform_info what, size_t size, void* to,
                                    size_t* size_ret) {
  return PlatformInfo(id, what, size, to, size_ret);
}
