#include "devices/opencl/program.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "devices/kernels/prelude.h"
#include "devices/opencl/device.h"
#include "devices/opencl/errors.h"

namespace het::opencl {
namespace {

uint64_t NextSerial() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

std::string BuildLog(const Api& api, cl_program program, cl_device_id id) {
  size_t bytes = 0;
  if (api.clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, 0, nullptr, &bytes) !=
          CL_SUCCESS ||
      bytes == 0) {
    return "(the compiler left no log)";
  }
  std::string log(bytes, '\0');
  api.clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, bytes, log.data(), nullptr);
  return std::string(absl::StripAsciiWhitespace(log.c_str()));
}

// PoCL renames what has the name of a built-in function: the kernel "step" becomes "_cl_step".
std::string NameInSource(absl::string_view driver_name, absl::string_view text) {
  absl::string_view name = driver_name;
  if (!absl::StrContains(text, driver_name)) absl::ConsumePrefix(&name, "_cl_");
  return std::string(name);
}

}  // namespace

ClKernel::ClKernel(std::string name, std::string driver_name, KernelForm form,
                   const ClProgram& program, uint32_t arguments)
    : Kernel(std::move(name), form),
      driver_name_(std::move(driver_name)),
      program_(program),
      arguments_(arguments),
      serial_(NextSerial()) {}

ClProgram::~ClProgram() { device_.api().clReleaseProgram(program_); }

absl::StatusOr<const Kernel*> ClProgram::GetKernel(absl::string_view name) const {
  std::vector<absl::string_view> known;
  for (const auto& kernel : kernels_) {
    if (kernel->name() == name) return kernel.get();
    known.push_back(kernel->name());
  }
  return absl::NotFoundError(
      absl::StrCat("no kernel \"", name, "\"; there are: ", absl::StrJoin(known, ", ")));
}

absl::Status ClProgram::FindKernels(const ProgramSource& source, KernelForm form) {
  const Api& api = device_.api();
  const std::string what = absl::StrCat("kernels of program ", source.name);
  std::string names = absl::StrJoin(source.built_in, ";");
  if (form == KernelForm::kPortable) {
    size_t bytes = 0;
    HET_CL_RETURN_IF_ERROR(
        api.clGetProgramInfo(program_, CL_PROGRAM_KERNEL_NAMES, 0, nullptr, &bytes), what);
    names.assign(bytes, '\0');
    HET_CL_RETURN_IF_ERROR(
        api.clGetProgramInfo(program_, CL_PROGRAM_KERNEL_NAMES, bytes, names.data(), nullptr),
        what);
  }
  for (absl::string_view name : absl::StrSplit(names.c_str(), ';', absl::SkipWhitespace())) {
    cl_int error = CL_SUCCESS;
    cl_kernel kernel = api.clCreateKernel(program_, std::string(name).c_str(), &error);
    HET_CL_RETURN_IF_ERROR(error, absl::StrCat(what, ", ", name));
    cl_uint arguments = 0;
    error = api.clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof(arguments), &arguments, nullptr);
    api.clReleaseKernel(kernel);
    HET_CL_RETURN_IF_ERROR(error, absl::StrCat(what, ", ", name));
    const std::string own_name =
        form == KernelForm::kBuiltIn ? std::string(name) : NameInSource(name, source.portable);
    kernels_.push_back(
        std::make_unique<ClKernel>(own_name, std::string(name), form, *this, arguments));
  }
  return absl::OkStatus();
}

namespace {

// Whether an item is a SIMD thread (see devices/kernels/README.md): on processors, but for
// llvmpipe, which makes lanes of the items as a GPU does.
bool HasWideItems(const Found& found) {
  return found.is_cpu && found.info.attributes.at("platform") != "rusticl";
}

}  // namespace

absl::StatusOr<Ref<Program>> ChooseBuiltIn(ClDevice& device, const ProgramSource& source) {
  const std::vector<std::string>& known = device.found().built_in;
  for (const std::string& name : source.built_in) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    return absl::NotFoundError(absl::StrCat("program ", source.name, ": ", device.info().name,
                                            " has no built-in kernel \"", name,
                                            "\"; there are: ", absl::StrJoin(known, ", ")));
  }
  const cl_device_id id = device.id();
  cl_int error = CL_SUCCESS;
  cl_program handle = device.api().clCreateProgramWithBuiltInKernels(
      device.context(), 1, &id, absl::StrJoin(source.built_in, ";").c_str(), &error);
  HET_CL_RETURN_IF_ERROR(error, absl::StrCat("built-in kernels of program ", source.name));
  Ref<ClProgram> program = MakeRef<ClProgram>(device, handle);
  // Some drivers (PoCL) want them built, too.
  error = device.api().clBuildProgram(handle, 1, &id, nullptr, nullptr, nullptr);
  if (error == CL_BUILD_PROGRAM_FAILURE) {  // PoCL looks for files that Debian has no package of
    return absl::UnavailableError(
        absl::StrCat("program ", source.name, ": the driver of ", device.info().name,
                     " cannot build its own kernels:\n", BuildLog(device.api(), handle, id)));
  }
  HET_RETURN_IF_ERROR(program->FindKernels(source, KernelForm::kBuiltIn));
  return Ref<Program>(program);
}

absl::StatusOr<Ref<Program>> BuildProgram(ClDevice& device, const ProgramSource& source) {
  if (source.portable.empty() || !device.found().has_compiler) return ChooseBuiltIn(device, source);
  const Api& api = device.api();
  const char* texts[] = {OpenClPrelude().data(), source.portable.c_str()};
  const size_t lengths[] = {OpenClPrelude().size(), source.portable.size()};
  cl_int error = CL_SUCCESS;
  cl_program handle = api.clCreateProgramWithSource(device.context(), 2, texts, lengths, &error);
  HET_CL_RETURN_IF_ERROR(error, absl::StrCat("program ", source.name));
  Ref<ClProgram> program = MakeRef<ClProgram>(device, handle);
  const cl_device_id id = device.id();
  std::string options = source.options;
  if (HasWideItems(device.found()) && !absl::StrContains(options, "-DHET_WIDE_ITEMS=")) {
    absl::StrAppend(&options, " -DHET_WIDE_ITEMS=1");
  }
  error = api.clBuildProgram(handle, 1, &id, options.c_str(), nullptr, nullptr);
  if (error == CL_BUILD_PROGRAM_FAILURE || error == CL_INVALID_BUILD_OPTIONS) {
    return absl::InvalidArgumentError(absl::StrCat("program ", source.name, " does not build on ",
                                                   device.info().name, ":\n",
                                                   BuildLog(api, handle, id)));
  }
  HET_CL_RETURN_IF_ERROR(error, absl::StrCat("building ", source.name, " on ", device.info().name));
  HET_RETURN_IF_ERROR(program->FindKernels(source, KernelForm::kPortable));
  return Ref<Program>(program);
}

}  // namespace het::opencl
