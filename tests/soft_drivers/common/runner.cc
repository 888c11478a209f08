#include "tests/soft_drivers/common/runner.h"

#include <dlfcn.h>

#include <cstring>
#include <mutex>
#include <regex>
#include <set>
#include <utility>

#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl_icd.h>

#include "devices/kernels/prelude.h"

namespace het::soft {
namespace {

// An ICD's platform begins with its table of entry points.
struct Platform {
  const cl_icd_dispatch* dispatch;
};

struct Pocl {
  const cl_icd_dispatch* cl = nullptr;
  cl_device_id device = nullptr;
  cl_context context = nullptr;
  std::string missing;  // why there is none
};

Pocl Open() {
  Pocl pocl;
  void* library = dlopen("libpocl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    pocl.missing = "soft drivers run kernels on PoCL, and libpocl.so.2 cannot be opened";
    return pocl;
  }
  using GetExtension = void* (*)(const char*);
  using GetPlatforms = cl_int (*)(cl_uint, cl_platform_id*, cl_uint*);
  const auto extension =
      reinterpret_cast<GetExtension>(dlsym(library, "clGetExtensionFunctionAddress"));
  const auto platforms = extension == nullptr
                             ? nullptr
                             : reinterpret_cast<GetPlatforms>(extension("clIcdGetPlatformIDsKHR"));
  cl_platform_id platform = nullptr;
  if (platforms == nullptr || platforms(1, &platform, nullptr) != CL_SUCCESS) {
    pocl.missing = "libpocl.so.2 shows no platform";
    return pocl;
  }
  pocl.cl = reinterpret_cast<const Platform*>(platform)->dispatch;
  cl_int error = CL_SUCCESS;
  if (pocl.cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_CPU, 1, &pocl.device, nullptr) == CL_SUCCESS)
    pocl.context = pocl.cl->clCreateContext(nullptr, 1, &pocl.device, nullptr, nullptr, &error);
  if (pocl.context == nullptr) pocl.missing = "PoCL has no processor to run on";
  return pocl;
}

const Pocl& ThePocl() {
  // Never destroyed: PoCL's threads live until the end of the process.
  static const Pocl* const pocl = new Pocl(Open());
  return *pocl;
}

std::string Failed(const char* call, cl_int error) {
  return std::string("PoCL: ") + call + " gives " + std::to_string(error);
}

uint32_t ScalarBytes(std::string_view type) {
  if (type == "ulong" || type == "long" || type == "double" || type == "size_t") return 8;
  if (type == "uint" || type == "int" || type == "float") return 4;
  if (type == "ushort" || type == "short") return 2;
  if (type == "uchar" || type == "char") return 1;
  return 0;
}

// The structs that functions of the text take by value as their last argument.
std::set<std::string> ParameterStructs(const std::string& text) {
  static const std::regex pattern(R"(struct\s+(\w+)\s+\w+\s*\))");
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it) {
    names.insert((*it)[1]);
  }
  return names;
}

// OpenCL does not tell the size of a struct argument. So each struct gets a kernel whose group size
// is the struct's size: that can be asked.
constexpr char kSizePrefix[] = "het_soft_size_of_";

std::string SizeKernels(const std::string& text) {
  std::string kernels = "\n";
  for (const std::string& name : ParameterStructs(text)) {
    kernels += "__kernel __attribute__((reqd_work_group_size(sizeof(struct " + name +
               "), 1, 1))) void " + kSizePrefix + name +
               "(__global uint* unused) { unused[0] = 0; }\n";
  }
  return kernels;
}

KernelShape ShapeOf(cl_kernel kernel, const std::map<std::string, uint32_t>& struct_bytes) {
  const cl_icd_dispatch& cl = *ThePocl().cl;
  char name[256] = "";
  cl_uint arguments = 0;
  cl.clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof(name), name, nullptr);
  cl.clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof(arguments), &arguments, nullptr);
  KernelShape shape{.name = name, .pocl_name = name, .arguments = {}};
  for (cl_uint i = 0; i < arguments; ++i) {
    cl_kernel_arg_address_qualifier space = CL_KERNEL_ARG_ADDRESS_PRIVATE;
    char type[256] = "";
    cl.clGetKernelArgInfo(kernel, i, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof(space), &space,
                          nullptr);
    cl.clGetKernelArgInfo(kernel, i, CL_KERNEL_ARG_TYPE_NAME, sizeof(type), type, nullptr);
    if (space != CL_KERNEL_ARG_ADDRESS_PRIVATE) {
      shape.arguments.push_back({true, 8, 8});
    } else if (const uint32_t bytes = ScalarBytes(type); bytes != 0) {
      shape.arguments.push_back({false, bytes, bytes});
    } else {
      const auto found = struct_bytes.find(type);
      const uint32_t size = found == struct_bytes.end() ? 0 : found->second;
      shape.arguments.push_back({false, size, size % 8 == 0 ? 8u : 4u});
    }
  }
  return shape;
}

cl_program BuildText(const Pocl& pocl, const std::string& text, const std::string& options,
                     std::string& log) {
  const absl::string_view prelude = OpenClPrelude();
  const char* texts[] = {prelude.data(), text.c_str()};
  const size_t lengths[] = {prelude.size(), text.size()};
  cl_int error = CL_SUCCESS;
  cl_program program = pocl.cl->clCreateProgramWithSource(pocl.context, 2, texts, lengths, &error);
  if (program == nullptr) {
    log = Failed("clCreateProgramWithSource", error);
    return nullptr;
  }
  const std::string all = options + " -cl-kernel-arg-info";
  error = pocl.cl->clBuildProgram(program, 1, &pocl.device, all.c_str(), nullptr, nullptr);
  if (error == CL_SUCCESS) return program;
  size_t bytes = 0;
  pocl.cl->clGetProgramBuildInfo(program, pocl.device, CL_PROGRAM_BUILD_LOG, 0, nullptr, &bytes);
  std::string text_log(bytes, '\0');
  pocl.cl->clGetProgramBuildInfo(program, pocl.device, CL_PROGRAM_BUILD_LOG, bytes, text_log.data(),
                                 nullptr);
  log = text_log.c_str();
  if (log.empty()) log = Failed("clBuildProgram", error);
  pocl.cl->clReleaseProgram(program);
  return nullptr;
}

}  // namespace

std::string ProcessorName() {
  const Pocl& pocl = ThePocl();
  if (!pocl.missing.empty()) return "";
  char name[256] = "";
  pocl.cl->clGetDeviceInfo(pocl.device, CL_DEVICE_NAME, sizeof(name), name, nullptr);
  return name;
}

uint32_t KernelShape::OffsetOf(size_t i) const {
  uint32_t offset = 0;
  for (size_t at = 0; at < arguments.size() && at <= i; ++at) {
    const uint32_t alignment = arguments[at].alignment;
    offset = (offset + alignment - 1) / alignment * alignment;
    if (at < i) offset += arguments[at].bytes;
  }
  return offset;
}

std::shared_ptr<const Program> Program::Build(const std::string& portable,
                                              const std::string& options, std::string& log) {
  const Pocl& pocl = ThePocl();
  if (!pocl.missing.empty()) {
    log = pocl.missing;
    return nullptr;
  }
  // One at a time: a program is mostly built twice (by the compiler, then by the driver), and the
  // second time PoCL finds it in its cache.
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  std::string sizes_log;
  cl_program handle = BuildText(pocl, portable + SizeKernels(portable), options, sizes_log);
  // A struct may be hidden by the preprocessor; and a log must speak of the caller's text alone.
  if (handle == nullptr) handle = BuildText(pocl, portable, options, log);
  if (handle == nullptr) return nullptr;
  std::shared_ptr<Program> program(new Program(handle));
  if (!program->Inspect(portable, log)) return nullptr;
  return program;
}

Program::~Program() { ThePocl().cl->clReleaseProgram(handle_); }

bool Program::Inspect(const std::string& portable, std::string& log) {
  const cl_icd_dispatch& cl = *ThePocl().cl;
  cl_uint count = 0;
  cl_int error = cl.clCreateKernelsInProgram(handle_, 0, nullptr, &count);
  std::vector<cl_kernel> kernels(count);
  if (error == CL_SUCCESS && count > 0) {
    error = cl.clCreateKernelsInProgram(handle_, count, kernels.data(), nullptr);
  }
  if (error != CL_SUCCESS) {
    log = Failed("clCreateKernelsInProgram", error);
    return false;
  }
  std::map<std::string, uint32_t> struct_bytes;
  for (cl_kernel kernel : kernels) {
    char name[256] = "";
    size_t group[3] = {};
    cl.clGetKernelInfo(kernel, CL_KERNEL_FUNCTION_NAME, sizeof(name), name, nullptr);
    cl.clGetKernelWorkGroupInfo(kernel, ThePocl().device, CL_KERNEL_COMPILE_WORK_GROUP_SIZE,
                                sizeof(group), group, nullptr);
    std::string_view text = name;
    if (!text.starts_with(kSizePrefix)) continue;
    text.remove_prefix(sizeof(kSizePrefix) - 1);
    struct_bytes["struct " + std::string(text)] = static_cast<uint32_t>(group[0]);
  }
  for (cl_kernel kernel : kernels) {
    KernelShape shape = ShapeOf(kernel, struct_bytes);
    cl.clReleaseKernel(kernel);
    if (shape.name.starts_with(kSizePrefix)) continue;
    // PoCL renames what has the name of a built-in function: "step" becomes "_cl_step".
    if (portable.find(shape.name) == std::string::npos && shape.name.starts_with("_cl_")) {
      shape.name = shape.name.substr(4);
    }
    kernels_.push_back(std::move(shape));
  }
  return true;
}

const KernelShape* Program::Find(std::string_view name) const {
  for (const KernelShape& kernel : kernels_) {
    if (kernel.name == name) return &kernel;
  }
  return nullptr;
}

Lane::Lane() {
  const Pocl& pocl = ThePocl();
  if (!pocl.missing.empty()) return;
  cl_int error = CL_SUCCESS;
  queue_ = pocl.cl->clCreateCommandQueue(pocl.context, pocl.device, 0, &error);
}

Lane::~Lane() {
  const Pocl& pocl = ThePocl();
  if (queue_ == nullptr) return;
  pocl.cl->clFinish(queue_);
  for (auto& [shape, kernel] : kernels_) pocl.cl->clReleaseKernel(kernel.second);
  pocl.cl->clReleaseCommandQueue(queue_);
}

std::string Lane::Enqueue(const Launch& launch) {
  const Pocl& pocl = ThePocl();
  if (queue_ == nullptr) return pocl.missing.empty() ? "PoCL made no queue" : pocl.missing;
  auto& [program, kernel] = kernels_[launch.kernel];
  cl_int error = CL_SUCCESS;
  if (kernel == nullptr) {
    kernel =
        pocl.cl->clCreateKernel(launch.program->handle_, launch.kernel->pocl_name.c_str(), &error);
    if (kernel == nullptr) return Failed("clCreateKernel", error);
    program = launch.program;
  }
  for (cl_uint i = 0; i < launch.kernel->arguments.size(); ++i) {
    const ArgumentShape& argument = launch.kernel->arguments[i];
    const uint32_t offset = launch.kernel->OffsetOf(i);
    if (argument.bytes == 0 || offset + argument.bytes > launch.arguments.size()) {
      return "kernel " + launch.kernel->name + ", argument " + std::to_string(i) + ": " +
             std::to_string(argument.bytes) + " bytes at " + std::to_string(offset) + " of " +
             std::to_string(launch.arguments.size()) + " that were given";
    }
    const std::byte* value = launch.arguments.data() + offset;
    if (argument.is_pointer) {
      void* address = nullptr;
      memcpy(&address, value, sizeof(address));
      error = pocl.cl->clSetKernelArgSVMPointer(kernel, i, address);
    } else {
      error = pocl.cl->clSetKernelArg(kernel, i, argument.bytes, value);
    }
    if (error != CL_SUCCESS) return Failed("clSetKernelArg", error);
  }
  size_t global[3], local[3];
  for (int axis = 0; axis < 3; ++axis) {
    local[axis] = launch.group_size[axis];
    global[axis] = local[axis] * launch.groups[axis];
  }
  error = pocl.cl->clEnqueueNDRangeKernel(queue_, kernel, 3, nullptr, global, local, 0, nullptr,
                                          nullptr);
  if (error != CL_SUCCESS) return Failed("clEnqueueNDRangeKernel", error);
  outstanding_ = true;
  return "";
}

std::string Lane::Finish() {
  if (!outstanding_) return "";
  outstanding_ = false;
  const cl_int error = ThePocl().cl->clFinish(queue_);
  return error == CL_SUCCESS ? "" : Failed("clFinish", error);
}

}  // namespace het::soft
