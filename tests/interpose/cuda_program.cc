#include "tests/interpose/cuda_program.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>

#include "devices/kernels/prelude.h"

#ifdef HET_PROBE_LINKED
namespace het::cuda {
#define HET_PROBE_DECLARE(name, version, arguments) extern "C" CUresult name arguments;
HET_PROBE_CALLS(HET_PROBE_DECLARE)
#undef HET_PROBE_DECLARE
}  // namespace het::cuda
#endif

namespace het::interpose {

using cuda::CUresult;

namespace {

constexpr unsigned int kGroup = 64;
constexpr char kSource[] = R"CL(
struct WorkParams { uint rounds; uint one; };
HET_KERNEL void work(HET_BUFFER(0), struct WorkParams p) {
  const uint i = het_global_id(0);
  uint x = i;
  for (uint r = 0; r < p.rounds; ++r) x = x * 1664525u + 1013904223u;
  HET_PTR(uint, 0)[i] += p.one + (x == 12345u && p.one == 0u ? 1u : 0u);
}
)CL";

cuda::ProbeCalls calls;

[[noreturn]] void Missing(const char* what) {
  std::fprintf(stderr, "cuda_probe: no %s\n", what);
  std::exit(4);
}

void* Opened(const char* library) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) Missing(dlerror());
  return handle;
}

[[maybe_unused]] void* BySearch(const char* name, int version) {
  static const auto search = reinterpret_cast<decltype(calls.cuGetProcAddress_v2)>(
      dlsym(Opened("libcuda.so.1"), "cuGetProcAddress_v2"));
  if (search == nullptr) Missing("cuGetProcAddress_v2");
  std::string base = name;
  const bool per_thread = base.ends_with("_ptsz");
  if (per_thread) base.resize(base.size() - 5);
  const size_t number = base.rfind("_v");
  if (number != std::string::npos) base.resize(number);
  void* function = nullptr;
  int status = 0;
  Check(search(base.c_str(), &function, version, per_thread ? cuda::kProcPerThreadStream : 0,
               &status),
        "cuGetProcAddress");
  return function;
}

// The code that NVRTC makes of the kernel for this device.
std::string Compiled(cuda::CUdevice device) {
  void* nvrtc = nullptr;
  for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12"}) {
    if (nvrtc == nullptr) nvrtc = dlopen(name, RTLD_NOW);
  }
  if (nvrtc == nullptr) Missing("libnvrtc");
  using cuda::nvrtcProgram;
  const auto create = reinterpret_cast<cuda::nvrtcResult (*)(
      nvrtcProgram*, const char*, const char*, int, const char* const*, const char* const*)>(
      dlsym(nvrtc, "nvrtcCreateProgram"));
  const auto compile =
      reinterpret_cast<cuda::nvrtcResult (*)(nvrtcProgram, int, const char* const*)>(
          dlsym(nvrtc, "nvrtcCompileProgram"));
  const auto size = reinterpret_cast<cuda::nvrtcResult (*)(nvrtcProgram, size_t*)>(
      dlsym(nvrtc, "nvrtcGetPTXSize"));
  const auto get =
      reinterpret_cast<cuda::nvrtcResult (*)(nvrtcProgram, char*)>(dlsym(nvrtc, "nvrtcGetPTX"));
  int major = 0, minor = 0;
  Check(
      Cu().cuDeviceGetAttribute(&major, cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device),
      "capability");
  Check(
      Cu().cuDeviceGetAttribute(&minor, cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device),
      "capability");
  const std::string text = std::string(kIncludePrelude) + kSource;
  const std::string prelude(CxxPrelude());
  const char* header = prelude.c_str();
  const char* header_name = kCxxPreludeName;
  const std::string architecture =
      "--gpu-architecture=compute_" + std::to_string(major * 10 + minor);
  const char* options[] = {architecture.c_str(), "--std=c++17"};
  nvrtcProgram program = nullptr;
  Check(create(&program, text.c_str(), "program", 1, &header, &header_name), "nvrtcCreateProgram");
  Check(compile(program, 2, options), "nvrtcCompileProgram");
  size_t bytes = 0;
  Check(size(program, &bytes), "nvrtcGetPTXSize");
  std::string code(bytes, '\0');
  Check(get(program, code.data()), "nvrtcGetPTX");
  return code;
}

}  // namespace

const cuda::ProbeCalls& Cu() { return calls; }

void FindCallsBy([[maybe_unused]] const std::string& way) {
#ifdef HET_PROBE_LINKED
#define HET_PROBE_FIND(name, version, arguments) calls.name = &cuda::name;
  HET_PROBE_CALLS(HET_PROBE_FIND)
#undef HET_PROBE_FIND
#else
  void* const library = Opened("libcuda.so.1");
#define HET_PROBE_FIND(name, version, arguments)                                               \
  calls.name = reinterpret_cast<decltype(calls.name)>(way == "proc" ? BySearch(#name, version) \
                                                                    : dlsym(library, #name));  \
  if (calls.name == nullptr) Missing(#name);
  HET_PROBE_CALLS(HET_PROBE_FIND)
#undef HET_PROBE_FIND
#endif
}

void Check(CUresult error, const char* what) {
  if (error == 0) return;
  std::fprintf(stderr, "cuda_probe: %s gives %d\n", what, error);
  std::exit(3);
}

CudaProgram::CudaProgram(bool own_context) {
  const CUresult error = Cu().cuInit(0);
  if (error == cuda::CUDA_ERROR_NO_DEVICE || error == cuda::CUDA_ERROR_NOT_INITIALIZED) {
    Missing("device");
  }
  Check(error, "cuInit");
  Check(Cu().cuDeviceGet(&device, 0), "cuDeviceGet");
  if (own_context) {
    Check(Cu().cuCtxCreate_v2(&context, 0, device), "cuCtxCreate");
  } else {
    Check(Cu().cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
    Check(Cu().cuCtxSetCurrent(context), "cuCtxSetCurrent");
  }
}

void CudaProgram::Compile() {
  cuda::CUmodule module = nullptr;
  Check(Cu().cuModuleLoadData(&module, Compiled(device).c_str()), "cuModuleLoadData");
  Check(Cu().cuModuleGetFunction(&kernel_, module, "work"), "cuModuleGetFunction");
  Check(Cu().cuStreamCreateWithPriority(&stream, cuda::CU_STREAM_NON_BLOCKING, 0),
        "cuStreamCreate");
  Check(Cu().cuMemAlloc_v2(&counter_, kItems * sizeof(uint32_t)), "cuMemAlloc");
  Check(Cu().cuMemsetD8Async(counter_, 0, kItems * sizeof(uint32_t), stream), "cuMemsetD8Async");
  Check(Cu().cuStreamSynchronize(stream), "cuStreamSynchronize");
}

CUresult CudaProgram::Launch(cuda::CUstream on, unsigned int items, uint32_t rounds, Way way) {
  uint64_t offset = 0;
  struct {
    uint32_t rounds, one;
  } work = {rounds, 1};
  void* arguments[] = {&counter_, &offset, &work};
  const unsigned int group = items < kGroup ? items : kGroup;
  const unsigned int groups = items / group;
  switch (way) {
    case Way::kPlain:
      return Cu().cuLaunchKernel(kernel_, groups, 1, 1, group, 1, 1, 0, on, arguments, nullptr);
    case Way::kPerThread:
      return Cu().cuLaunchKernel_ptsz(kernel_, groups, 1, 1, group, 1, 1, 0, on, arguments,
                                      nullptr);
    case Way::kCooperative:
      return Cu().cuLaunchCooperativeKernel(kernel_, groups, 1, 1, group, 1, 1, 0, on, arguments);
    case Way::kExtended:
      break;
  }
  const cuda::CUlaunchConfig launch = {groups, 1, 1, group, 1, 1, 0, on, nullptr, 0};
  return Cu().cuLaunchKernelEx(&launch, kernel_, arguments, nullptr);
}

uint32_t CudaProgram::Counter(size_t item) {
  uint32_t value = 0;
  Check(Cu().cuCtxSynchronize(), "cuCtxSynchronize");
  Check(Cu().cuMemcpyDtoH_v2(&value, counter_ + item * sizeof(value), sizeof(value)),
        "cuMemcpyDtoH");
  return value;
}

}  // namespace het::interpose
